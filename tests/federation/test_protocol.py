from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import machines
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import DataError, DatasetError, FederationError, ProtocolError
from thrum.federation import messages
from thrum.federation.chunks import chunk_message, parse_chunk
from thrum.federation.messages import VERSION, Machine, parse, plain
from thrum.federation.piece_messages import Piece
from thrum.federation.protocol import QUESTIONS
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.privacy.mechanisms import release
from thrum.storage import sha256_bytes
from thrum.systems.embedding_sharing import network_scores, preset_config
from thrum.types import Clip

QUICK = preset_config("compact", assignments=["epochs=1", "members=2", "batch_size=64"])
PIECE = Piece(("Press", "id_00"), [0, 1], 2 * 5 * 4, "f" * 64)


def sites(tmp_path: Path, data: Path, **settings: Any) -> dict[str, Site]:
    made = {}
    dataset = open_dataset(data)
    for machine, machine_id in dataset.machine_keys:
        clips = dataset.where(machine=machine, machine_id=machine_id).clips
        name = f"{machine}_{machine_id}"
        folder = tmp_path / "sites" / name
        made[name] = Site(
            name, clips, create_embedder("precomputed"), folder, sharing="embeddings", **settings
        )
        made[name].prepare()
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return machines.write_arrays(tmp_path / "data", clips=20)


def server(tmp_path: Path, **settings: Any) -> Server:
    return Server(tmp_path / "server", config=QUICK, device="cpu", **settings)


def message() -> dict[str, Any]:
    return chunk_message(np.arange(20, dtype=np.float16).reshape(5, 4), [2, 3])


def test_a_piece_arrives_as_it_was_sent() -> None:
    embeddings, lengths = parse_chunk(message(), PIECE, dimensions=4)
    assert np.array_equal(embeddings, np.arange(20, dtype=np.float16).reshape(5, 4))
    assert lengths == [2, 3]
    assert parse(Piece, json.loads(json.dumps(plain(PIECE))), what="a piece") == PIECE


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"embeddings": np.ones((5, 4), np.float16)}, "damaged on the way"),
        ({"lengths": [3, 2]}, "damaged on the way"),
        ({"lengths": None}, "not understood"),
        ({"lengths": [2, 1 << 70]}, "not understood"),
        ({"lengths": [0, 5]}, "not understood"),
        *(
            (chunk_message(np.ones((5, 4), np.float16), lengths), "does not hold the 2 clips")
            for lengths in ([2, 2], [5])
        ),
        (chunk_message(np.ones((5, 4)), [2, 3]), "float64"),  # type: ignore[arg-type]
        (chunk_message(np.ones((4, 5), np.float16), [2, 2]), r"\(4, 5\), wanted float16 \(T, 4\)"),
        (chunk_message(np.ones((6, 4), np.float16), [3, 3]), "48 bytes, 40 were announced"),
        ({"embeddings": [[1.0] * 4] * 5}, "not understood"),
        (chunk_message(np.full((5, 4), np.nan, np.float16), [2, 3]), "NaN"),
    ],
)
def test_a_bad_piece_is_refused(change: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ProtocolError, match=wanted):
        parse_chunk({**message(), **change}, PIECE, dimensions=4)


@pytest.mark.parametrize(
    "name",
    ["../escape", "a/b", ".hidden", "", "nul\0", "\x1b[2J", "a\nb", "\u202e", "é" * 41, "\ud800"],
)
def test_a_name_that_would_leave_the_folder_or_move_the_cursor_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="is refused|not understood") as error:
        parse(Machine, ["Press", name, 1, 1], what="a machine")
    assert str(error.value).isprintable()


def test_only_embeddings_are_released() -> None:
    assert release(np.ones((3, 2))).dtype == np.float16
    for waveform in (np.zeros(16000), np.zeros((16000, 1))):
        with pytest.raises(ProtocolError, match="refused to let"):
            release(waveform)
    with pytest.raises(ProtocolError, match="beyond 65504"):
        release(np.full((2, 2), 1e6))


def test_what_leaves_stands_in_the_ledger_with_its_checksum(tmp_path: Path, data: Path) -> None:
    site = sites(tmp_path, data)["Press_id_00"]
    piece = site.manifest("train")["pieces"][1]
    sent = site.chunk("train", piece["fingerprint"])
    _, entry = site.ledger.entries()
    assert entry.what == "embeddings"
    assert entry.detail == f"Press/id_00, train, piece {piece['fingerprint'][:12]}"
    lengths = np.asarray(sent["lengths"], "<i8").tobytes()
    clips, n_bytes = len(piece["places"]), sent["embeddings"].nbytes + len(lengths)
    assert (entry.clips, entry.n_bytes) == (clips, n_bytes)
    assert entry.sha256 == sha256_bytes(sent["embeddings"].tobytes() + lengths)
    assert entry.embedder == "Precomputed"


def test_no_answer_of_a_site_holds_a_label_a_name_or_sound(tmp_path: Path, data: Path) -> None:
    site = sites(tmp_path, data, algorithm=2)["Press_id_00"]
    listed = site.manifest("test")
    texts = [json.dumps(site.describe(VERSION, 2)), json.dumps(listed)]
    assert not any(word in text for text in texts for word in ("anomaly", "normal", "npz", "/"))
    sent = site.chunk("test", listed["pieces"][0]["fingerprint"])
    assert set(sent) == {"embeddings", "lengths", "sha256"}
    assert all(hasattr(site, method) for method in QUESTIONS)


def test_a_fingerprint_cannot_be_tried_out(tmp_path: Path, data: Path) -> None:
    """The same files under another secret have other fingerprints; a site that starts again keeps its."""
    here, again = (sites(tmp_path, data)["Press_id_00"] for _ in range(2))
    elsewhere = sites(tmp_path / "elsewhere", data)["Press_id_00"]
    assert here.manifest("train") == again.manifest("train")
    own, other = (
        {piece["fingerprint"] for piece in site.manifest("train")["pieces"]}
        for site in (here, elsewhere)
    )
    assert len(own) >= 2  # 20 clips, 16 a piece
    assert not own & other


def test_under_algorithm_1_no_test_clip_leaves_whatever_the_server_asks(
    tmp_path: Path, data: Path
) -> None:
    taken = sites(tmp_path, data)
    site = taken["Press_id_00"]
    for ask in (lambda: site.manifest("test"), lambda: site.chunk("test", "f" * 64)):
        with pytest.raises(ProtocolError, match=r"asked for the 'test' clips; under Algorithm 1"):
            ask()
    assert site.ledger.entries() == []
    with pytest.raises(FederationError, match="do not leave Press_id_00, Press_id_01, Press_id_02"):
        server(tmp_path).collaborate(taken, sharing="embeddings", algorithm=2)
    assert {entry.what for entry in site.ledger.entries()} == {"description"}


def test_a_classifier_does_not_name_the_machines_of_others(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    outcome = server(tmp_path).collaborate(taken, sharing="embeddings")
    own = json.loads((taken["Press_id_01"].folder / "classifiers/all/model.json").read_text())
    place = own["keys"].index(["Press", "id_01"])
    others = [["", str(number)] for number in range(3) if number != place]
    assert own["keys"] == [*others[:place], ["Press", "id_01"], *others[place:]]
    machine = ("Press", "id_01")
    site = taken["Press_id_01"]
    train, test = (
        [release(f) for f in site.frames([c for c in site.machines[machine] if c.split == split])]
        for split in ("train", "test")
    )
    pooled = network_scores(outcome.classifiers["all"], machine, train, test)
    assert np.array_equal(site.score()[0].scores["network"].test, pooled.scores.test)


def test_a_round_leaves_no_classifier_of_an_earlier_one(tmp_path: Path) -> None:
    data = machines.write_arrays(tmp_path / "data", machines=2, kind="Press")
    machines.write_arrays(data, machines=2, kind="Saw")
    taken = sites(tmp_path, data)
    for per_machine_type, kept in ((True, {"Press", "Saw"}), (False, {"all"})):
        server(tmp_path, per_machine_type=per_machine_type).collaborate(taken, sharing="embeddings")
        assert {path.name for path in (tmp_path / "server" / "classifiers").iterdir()} == kept


def test_machines_of_one_name_on_disk_are_refused(tmp_path: Path) -> None:
    keys = (("press", "hall_2"), ("press_hall", "2"))
    clips = [Clip(tmp_path / "a.wav", *key, "train") for key in keys]
    with pytest.raises(DatasetError, match="press/hall_2 and press_hall/2 would both .*rename"):
        Site("north", clips, create_embedder("logmel"), tmp_path)


def test_two_sites_may_not_claim_one_machine_id(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    twin = taken["Press_id_00"]
    with pytest.raises(FederationError, match="'Press_id_00' and 'twin' both claim .* Press/id_00"):
        server(tmp_path).collaborate({"Press_id_00": twin, "twin": twin}, sharing="embeddings")


def test_a_site_may_speak_for_its_registered_machines_only(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    registry = {name: list(site.machines) for name, site in taken.items()}
    registry["Press_id_01"] = [("Press", "id_07")]
    with pytest.raises(FederationError, match="speaks for Press/id_01, which is not registered"):
        server(tmp_path, registry=registry).collaborate(taken, sharing="embeddings")


def test_all_sites_must_use_one_embedder(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    other = taken["Press_id_01"]
    other.embedder = create_embedder("precomputed", stack_frames=5)
    with pytest.raises(FederationError, match="use different embedders"):
        server(tmp_path).collaborate(taken, sharing="embeddings")


def test_two_minor_versions_apart_still_talk_and_no_others(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = sites(tmp_path, data)
    major, minor = messages.VERSION
    for version in ((major, minor + 1), (major, minor + 2)):
        monkeypatch.setattr("thrum.federation.site.VERSION", version)
        server(tmp_path).collaborate(taken, sharing="embeddings")
    for version in ((major, minor + 3), (major - 1, minor), (major + 1, minor), 2):
        monkeypatch.setattr("thrum.federation.site.VERSION", version)
        with pytest.raises(ProtocolError, match=f"another version .* than {major}.{minor}"):
            server(tmp_path).collaborate(taken, sharing="embeddings")


def test_a_site_that_sends_a_foreign_machine_is_refused(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = sites(tmp_path, data)
    liar = taken["Press_id_01"]
    monkeypatch.setattr(liar, "manifest", taken["Press_id_00"].manifest)
    with pytest.raises(ProtocolError, match="that it did not describe"):
        server(tmp_path).collaborate(taken, sharing="embeddings")


def test_pieces_that_have_arrived_are_not_asked_for_again(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    breaking = taken["Press_id_02"]
    whole = breaking.chunk
    asked: set[str] = set()

    def broken(split: str, fingerprint: str) -> dict[str, Any]:
        asked.add(fingerprint)
        if len(asked) == 2:
            raise ConnectionError("the line is down")
        return whole(split, fingerprint)

    breaking.chunk = broken  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        server(tmp_path).collaborate(taken, sharing="embeddings")
    breaking.chunk = whole  # type: ignore[method-assign]
    server(tmp_path).collaborate(taken, sharing="embeddings")
    server(tmp_path).collaborate(taken, sharing="embeddings")
    for site in taken.values():
        sent = [e.detail for e in site.ledger.entries() if e.what == "embeddings"]
        assert len(sent) == len(set(sent)) >= 2  # 20 clips, 16 a piece


@pytest.mark.parametrize("algorithm", [1, 2])
def test_more_pieces_than_files_may_be_open(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, few_files: int, algorithm: Any
) -> None:
    monkeypatch.setattr("thrum.federation.cutting.CLIPS_PER_PIECE", 1)
    taken = sites(tmp_path, data, algorithm=algorithm)
    server(tmp_path).collaborate(taken, sharing="embeddings", algorithm=algorithm)
    pieces = list((tmp_path / "server" / "pieces").rglob("*.npy"))
    assert len(pieces) > few_files
    assert all(own.score() for own in taken.values())


def test_changed_recordings_are_asked_for_again(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data")

    def taken() -> dict[str, Site]:
        dataset = open_dataset(data)
        made = {}
        for machine in dataset.machines:
            clips = dataset.where(machine=machine).clips
            made[machine] = Site(
                machine, clips, create_embedder("logmel"), tmp_path / machine, sharing="embeddings"
            )
            made[machine].prepare()
        return made

    server(tmp_path).collaborate(taken(), sharing="embeddings")
    random = np.random.default_rng(9)
    sound = machines.tone(random, 300, seconds=1.5, rate=16000)
    from thrum import audio

    audio.write(data / "machine0" / "normal" / "001.wav", sound, 16000)
    server(tmp_path).collaborate(taken(), sharing="embeddings")
    sent = {
        name: sum(entry.what == "embeddings" for entry in site.ledger.entries())
        for name, site in taken().items()
    }
    assert sent == {"machine0": 2, "machine1": 1}


def test_one_process_works_in_a_folder_at_a_time(tmp_path: Path, data: Path) -> None:
    taken = sites(tmp_path, data)
    first = taken["Press_id_00"]
    describe = first.describe

    def second_server(*told: Any) -> dict[str, Any]:
        with pytest.raises(FederationError, match="another process works in"):
            server(tmp_path).collaborate(taken, sharing="embeddings")
        return describe(*told)

    first.describe = second_server  # type: ignore[method-assign]
    server(tmp_path).collaborate(taken, sharing="embeddings")


def test_wrong_scores_and_pieces_are_refused_at_the_site(tmp_path: Path, data: Path) -> None:
    site = sites(tmp_path, data, algorithm=2)["Press_id_00"]
    with pytest.raises(ProtocolError, match="no piece ffffffffffff"):
        site.chunk("train", "f" * 64)
    scores = {
        "left_out": [0.0],
        "test": [0.0],
        "held_out": True,
        "train_identified": [True],
        "test_identified": [True],
    }
    for key, change, wanted in (
        ("id_01", {}, "not this site's"),
        ("id_00", {}, r"1 \+ 1 scores .* wanted 20 \+ 16"),
        ("id_00", {"held_out": "yes"}, "Expected `bool`, got `str`"),
        ("id_00", {"train_identified": [1]}, "Expected `bool`, got `int`"),
    ):
        answer = site.accept_scores({**scores, "key": ["Press", key], **change})
        assert answer["accepted"] is False
        assert re.search(wanted, site.refused[-1])
    assert [own.scores.keys() >= {"network"} for own in site.score()] == [False]


def test_a_machine_without_training_clips_is_said(tmp_path: Path, data: Path) -> None:
    test = open_dataset(data).where(split="test", machine_id="id_00").clips
    with pytest.raises(DataError, match="Press/id_00 has no normal training clips"):
        Site("s", test, create_embedder("precomputed"), tmp_path)
    with pytest.raises(FederationError, match="no site takes part"):
        server(tmp_path).collaborate({})
