"""What is trusted of messages and of what lies on a disk: nothing that was not checked."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import machines
from thrum import storage
from thrum.datasets import open_dataset
from thrum.embedders import EmbeddingStore, create_embedder
from thrum.errors import ProtocolError, StorageError, UnknownNameError
from thrum.federation.flare.settings import ServerSettings
from thrum.federation.messages import parse
from thrum.federation.piece_messages import Piece
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.systems import load_system
from thrum.systems.embedding_sharing import (
    FramePool,
    IDClassifier,
    preset_config,
    train_classifier,
)
from thrum.systems.embedding_sharing.config import Config

QUICK = preset_config("compact", assignments=["epochs=1", "members=1", "batch_size=32"])
STRANGE = "antigravity:fly"
"""A module of the standard library that nothing else imports, and that does something when imported."""


def pool(seed: int = 0, *, machines_: int = 2) -> FramePool:
    random = np.random.default_rng(seed)
    return FramePool(
        {
            ("Press", f"id_{number:02d}"): machines.frames(random, number, clips=4)
            for number in range(machines_)
        }
    )


@pytest.fixture(scope="module")
def classifier() -> IDClassifier:
    return train_classifier(pool(), QUICK, stack_frames=4, stack_hop=2, device="cpu")


def sites(tmp_path: Path, **settings: Any) -> dict[str, Site]:
    data = tmp_path / "data"
    if not data.exists():
        machines.write_arrays(data, machines=2, clips=8)
    made = {}
    for machine, machine_id in open_dataset(data).machine_keys:
        clips = open_dataset(data).where(machine=machine, machine_id=machine_id).clips
        name = f"{machine}_{machine_id}"
        folder = tmp_path / "sites" / name
        made[name] = Site(
            name, clips, create_embedder("precomputed"), folder, sharing="embeddings", **settings
        )
        made[name].prepare()
    return made


def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server", config=QUICK, device="cpu", whitening_from=1)


def round_of(tmp_path: Path) -> np.ndarray[Any, Any]:
    """Run a round; return what it taught the first network."""
    taught = server(tmp_path).collaborate(sites(tmp_path), sharing="embeddings").classifiers["all"]
    state, _ = taught.message()
    return np.concatenate([value.ravel() for value in state.values()])


def swap_a_bit(path: Path, *, at: float = 0.9) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 16
    path.write_bytes(content)


# Names


@pytest.mark.parametrize("name", ["detector", "embedder"])
def test_a_message_decides_not_what_is_imported(classifier: IDClassifier, name: str) -> None:
    state, description = classifier.message()
    description["config"] = {**description["config"], name: STRANGE}
    with pytest.raises(ProtocolError, match=rf"{name} '{STRANGE}' is refused: files and messages"):
        IDClassifier.from_message(state, description)
    assert STRANGE.partition(":")[0] not in sys.modules


@pytest.mark.parametrize("name", ["detector", "embedder"])
def test_a_saved_run_decides_not_what_is_imported(
    classifier: IDClassifier, tmp_path: Path, name: str
) -> None:
    config = {**asdict(QUICK), name: STRANGE}
    classifier.save(tmp_path / "classifier", config=config)
    with pytest.raises(StorageError, match=rf"{name} '{STRANGE}' is refused"):
        IDClassifier.load(tmp_path / "classifier")
    storage.save_state(tmp_path, {}, {"system": "knn", "config": {"embedder": STRANGE}, "seed": 0})
    with pytest.raises(StorageError, match=f"embedder '{STRANGE}' is refused"):
        load_system(tmp_path)
    storage.save_state(tmp_path, {}, {"system": STRANGE, "config": {}, "seed": 0})
    with pytest.raises(StorageError, match=f"system '{STRANGE}' is refused"):
        load_system(tmp_path)
    assert STRANGE.partition(":")[0] not in sys.modules


def test_what_sites_would_refuse_is_refused_at_the_server_before_a_round(tmp_path: Path) -> None:
    own = Config(detector="thrum.detectors.knn:KNN")  # said by a person: allowed in itself
    with pytest.raises(UnknownNameError, match="refused"):
        Server(tmp_path, config=own)
    with pytest.raises(UnknownNameError, match="refused"):
        ServerSettings(tmp_path, {}, config=own)


@pytest.mark.parametrize(
    "fingerprint", ["/../../../../../" + "f" * 48, "f" * 63, "F" * 64, "f" * 65, "f" * 64 + "\n", 7]
)
def test_a_fingerprint_is_hexadecimal(fingerprint: object) -> None:
    line = {"key": ["Press", "id_00"], "places": [0], "n_bytes": 8}
    parse(Piece, {**line, "fingerprint": "f" * 64}, what="a piece")
    with pytest.raises(ProtocolError, match="fingerprint"):
        parse(Piece, {**line, "fingerprint": fingerprint}, what="a piece")


# What lies on the disk


def test_a_pool_differs_wherever_one_value_does() -> None:
    keys = [("a", "1"), ("b", "1")]
    clips = [np.zeros((9, 4), np.float16) for _ in keys]
    before = FramePool({key: [clip] for key, clip in zip(keys, clips, strict=True)}).fingerprint()
    clips[1][4, 2] = 1  # neither in the first frame nor in the last
    assert FramePool(dict(zip(keys, [[c] for c in clips], strict=True))).fingerprint() != before


def test_recordings_that_changed_between_equal_ends_are_learnt_anew(tmp_path: Path) -> None:
    """Clips that begin and end in silence."""
    random = np.random.default_rng(1)
    for machine in range(2):
        clips = np.stack(machines.frames(random, machine, clips=8))
        clips[:, [0, -1]] = 0
        (tmp_path / "data").mkdir(exist_ok=True)
        np.savez(tmp_path / "data" / f"Press_id_{machine:02d}.npz", train_normal=clips)
    round_of(tmp_path)
    clips[:, 4:9] += 3
    np.savez(tmp_path / "data" / "Press_id_01.npz", train_normal=clips)
    again = round_of(tmp_path)
    for folder in ("server", "sites"):
        (tmp_path / folder).rename(tmp_path / f"old-{folder}")
    assert np.array_equal(again, round_of(tmp_path))


def damaged_piece(tmp_path: Path) -> Path:
    return sorted((tmp_path / "server" / "pieces").rglob("*.npy"))[0]


@pytest.mark.parametrize("what", ["array", "lengths", "truncated", "missing", "of another site"])
def test_a_piece_that_changed_at_the_server_is_asked_for_again(tmp_path: Path, what: str) -> None:
    before = round_of(tmp_path)
    piece = damaged_piece(tmp_path)
    if what == "array":
        swap_a_bit(piece)
    elif what == "lengths":
        known = json.loads(piece.with_suffix(".json").read_text())
        known["lengths"][0] -= 1
        known["lengths"][1] += 1
        piece.with_suffix(".json").write_text(json.dumps(known))
    elif what == "truncated":
        piece.write_bytes(piece.read_bytes()[:-9])
    elif what == "missing":
        piece.unlink()
    else:
        other = sorted((tmp_path / "server" / "pieces").rglob("*.npy"))[-1]
        piece.write_bytes(other.read_bytes())
    taken = sites(tmp_path)
    outcome = server(tmp_path).collaborate(taken, sharing="embeddings")
    assert outcome.remarks == [
        "a piece of site 'Press_id_00' was damaged on the server's disk and is asked for again"
    ]
    state, _ = outcome.classifiers["all"].message()
    assert np.array_equal(before, np.concatenate([value.ravel() for value in state.values()]))
    sent = {
        name: sum(entry.what == "embeddings" for entry in site.ledger.entries())
        for name, site in taken.items()
    }
    assert sent == {"Press_id_00": 2, "Press_id_01": 1}


def test_a_checkpoint_that_changed_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = round_of(tmp_path)
    for checkpoint in (tmp_path / "server" / "training").iterdir():
        swap_a_bit(checkpoint, at=0.5)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(before, round_of(tmp_path))
    assert "training begins anew" in caplog.text


def test_a_shard_that_changed_at_a_site_is_embedded_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = round_of(tmp_path)
    shards = sorted((tmp_path / "sites").rglob("00000.npy"))
    swap_a_bit(shards[0])
    swap_a_bit(shards[1].with_suffix(".json"), at=0.5)
    store = EmbeddingStore(shards[0].parent)
    clips = open_dataset(tmp_path / "data").where(machine_id="id_00", split="train").clips
    with pytest.raises(StorageError, match=r"00000\.npy is damaged"):
        store.frames(clips[0])
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(before, round_of(tmp_path))
    assert caplog.text.count("embedded again") >= 2
    assert str(shards[0]) in caplog.text


def test_a_classifier_that_changed_on_disk_is_named(tmp_path: Path) -> None:
    round_of(tmp_path)
    folder = tmp_path / "sites" / "Press_id_00" / "classifiers" / "all"
    IDClassifier.load(folder)
    weights, described = folder / "model.safetensors", folder / "model.json"
    whole = described.read_text()
    described.write_text(whole.replace('"scale": 16.0', '"scale": 17.0'))
    with pytest.raises(StorageError, match="model.json is damaged"):
        IDClassifier.load(folder)
    described.write_text(whole)
    swap_a_bit(weights)
    with pytest.raises(StorageError, match="model.safetensors is damaged"):
        IDClassifier.load(folder)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_lies_at_sites_and_server_is_its_owner_s_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "server").mkdir(mode=0o777)
        ledger = tmp_path / "sites" / "Press_id_00" / "ledger.jsonl"
        ledger.parent.mkdir(parents=True, mode=0o777)
        ledger.touch(0o666)
        round_of(tmp_path)
    finally:
        os.umask(before)
    folders = [tmp_path / "server", *(tmp_path / "sites").iterdir()]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    files = list((tmp_path / "server" / "pieces").rglob("*.*"))
    files += [*(tmp_path / "sites").rglob("ledger.jsonl"), *(tmp_path / "sites").rglob("*.key")]
    assert len(files) >= 2 * 2 + 2 + 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
