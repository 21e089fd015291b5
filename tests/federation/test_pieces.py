"""Pieces: cut by content at a site, kept whole at the server, and gone when no site lists them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machines
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import DamagedError, StorageError
from thrum.federation.chunks import chunk_message
from thrum.federation.cutting import CLIPS_PER_PIECE, Cutter, cut
from thrum.federation.members import Member
from thrum.federation.own_clips import OwnClips
from thrum.federation.piece_messages import Piece
from thrum.federation.pieces import Clips, PieceStore
from thrum.federation.secret import Secret
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.privacy.mechanisms.gate import all_finite
from thrum.systems.embedding_sharing import preset_config

QUICK = preset_config("compact", assignments=["epochs=1", "members=1", "batch_size=32"])


def pieces_of(contents: Sequence[int], *, most: int = 16) -> list[frozenset[bytes]]:
    """Return the digests of every piece."""
    digests = [hashlib.sha256(str(content).encode()).digest() for content in contents]
    places = cut(digests, most=most)
    assert sorted(place for own in places for place in own) == list(range(len(contents)))
    assert all(0 < len(own) <= most for own in places)
    return [frozenset(digests[place] for place in own) for own in places]


@settings(deadline=None)
@given(st.sets(st.integers(), max_size=400), st.integers(), st.integers(1, 20))
def test_a_clip_more_or_less_changes_one_piece(contents: set[int], one: int, most: int) -> None:
    without = set(pieces_of(sorted(contents - {one}), most=most))
    with_it = set(pieces_of(sorted(contents | {one}, reverse=True), most=most))
    gone, come = without - with_it, with_it - without
    assert sum(map(len, come)) <= most + 1  # one piece, or the two that it fell into
    assert sum(map(len, gone)) <= most
    assert frozenset().union(*come) - frozenset().union(*gone) == {
        hashlib.sha256(str(one).encode()).digest()
    }


def test_copies_of_one_clip_are_cut_side_by_side() -> None:
    assert cut([b"a"] * 40, most=16) == [list(range(16)), list(range(16, 32)), list(range(32, 40))]
    assert cut([], most=16) == []
    assert cut([b"ab", b"aa", b"ab"], most=2) == [[1], [0, 2]]


def test_copies_of_one_clip_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    secret = Secret(tmp_path / "key")
    secret.prepare(noise=False)
    cutter = Cutter(secret)
    pieces = cutter.pieces(("a", "1"), [np.ones((3, 2), np.float16)] * 40, {})
    assert len({piece.fingerprint for piece in pieces}) == 3


def write(data: Path, clips: dict[int, int]) -> None:
    """Write machines with clips of a tone each; the first of the numbers comes first by name."""
    from thrum import audio

    for machine, count in clips.items():
        folder = data / f"machine{machine}" / "normal"
        for number in range(count):
            random = np.random.default_rng([machine, number])
            sound = machines.tone(random, 100 + 5 * number, seconds=0.4, rate=16000)
            folder.mkdir(parents=True, exist_ok=True)
            audio.write(folder / f"{number:03d}.wav", sound, 16000)


def taken(tmp_path: Path, *names: str) -> dict[str, Site]:
    made = {}
    for name in names:
        clips = open_dataset(tmp_path / "data").where(machine=name).clips
        made[name] = Site(
            name, clips, create_embedder("logmel"), tmp_path / name, sharing="embeddings"
        )
        made[name].prepare()
    return made


def sent(site: Site) -> list[int]:
    """Return how many clips each piece had that has left the site so far."""
    return [entry.clips for entry in site.ledger.entries() if entry.what == "embeddings"]


def test_deleting_the_first_clip_sends_one_piece_and_the_old_one_goes(tmp_path: Path) -> None:
    write(tmp_path / "data", {0: 60, 1: 4, 2: 4})
    server = Server(tmp_path / "server", config=QUICK, device="cpu")
    sites = taken(tmp_path, "machine0", "machine1", "machine2")
    server.collaborate(sites, sharing="embeddings")
    before = sent(sites["machine0"])
    assert sum(before) == 60
    assert len(before) > 60 // CLIPS_PER_PIECE

    (tmp_path / "data" / "machine0" / "normal" / "000.wav").unlink()
    sites = taken(tmp_path, "machine0", "machine1")  # machine2 has left
    server.collaborate(sites, sharing="embeddings")
    new = sent(sites["machine0"])[len(before) :]
    assert len(new) <= 1
    assert sent(sites["machine1"]) == [4]

    kept = {path.parent.parent.name for path in (tmp_path / "server" / "pieces").rglob("*.json")}
    assert kept == {"machine0", "machine1"}
    arrays = list((tmp_path / "server" / "pieces" / "machine0").rglob("*.npy"))
    frames = sites["machine0"].frames(sites["machine0"].training_clips(("machine0", "id_00")))
    assert sum(len(np.load(path)) for path in arrays) == sum(map(len, frames))
    assert not (tmp_path / "server" / "pieces" / "machine2").exists()


def test_a_piece_costs_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces are cut once; what is read for one is its own clips."""
    write(tmp_path / "data", {0: 60})
    site = taken(tmp_path, "machine0")["machine0"]
    listed = site.manifest("train")["pieces"]
    read: list[int] = []
    whole = OwnClips.frames

    def counted(self: OwnClips, clips: Sequence[Any]) -> Any:
        read.append(len(clips))
        return whole(self, clips)

    monkeypatch.setattr(OwnClips, "frames", counted)
    for piece in listed:
        site.chunk("train", piece["fingerprint"])
    assert read == [len(piece["places"]) for piece in listed]


def test_a_damaged_secret_is_noticed_and_another_is_made_where_no_noise_comes_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fingerprint.key"
    secret = Secret(path)
    secret.prepare(noise=True)
    before, content = secret.read(), path.read_bytes()
    for bit in range(8 * len(content)):
        path.write_bytes(bytes(b ^ (bit // 8 == n) << bit % 8 for n, b in enumerate(content)))
        with pytest.raises(DamagedError, match="is damaged"):
            secret.read()
    with pytest.raises(DamagedError, match="restore it from a backup"):
        secret.prepare(noise=True)
    secret.prepare(noise=False)
    assert secret.read() != before
    assert "all pieces are sent again" in caplog.text


def test_a_secret_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.key"
    path.write_bytes(bytes(range(32)))
    secret = Secret(path)
    assert secret.read() == bytes(range(32))
    secret.prepare(noise=True)
    assert secret.read() == bytes(range(32))
    assert len(path.read_bytes()) == 64
    assert path.stat().st_mode & 0o777 == 0o600


class Sender:
    """A site that hands pieces over, and says how many were asked for."""

    def __init__(self, clips: Sequence[np.ndarray[Any, Any]]) -> None:
        self.messages = [chunk_message(clip, [len(clip)]) for clip in clips]
        self.pieces = [
            Piece(("fan", "id_00"), [place], clip.nbytes, f"{place:064x}")
            for place, clip in enumerate(clips)
        ]
        self.asked = [threading.Event() for _ in clips]

    def chunk(self, split: str, fingerprint: str) -> Any:
        place = int(fingerprint, 16)
        self.asked[place].set()
        return self.messages[place]


def fetched(folder: Path, sender: Any) -> list[list[np.ndarray[Any, Any]]]:
    """Fetch what a site has, by a server in a folder."""
    keys = {("fan", "id_00"): (3, 0)}
    member = Member("north", SimpleNamespace(dimensions=4), keys)  # type: ignore[arg-type]
    return Server(folder, config=QUICK)._fetch(sender, member, "train", sender.pieces)


def test_the_next_piece_is_asked_for_while_one_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [np.full((5, 4), number, np.float16) for number in range(3)]
    sender, keep = Sender(clips), PieceStore.keep

    def slow(store: PieceStore, site: str, split: Any, piece: Piece, *content: Any) -> Clips:
        following = sender.asked[piece.places[0] + 1 :][:1]
        assert all(asked.wait(20) for asked in following)
        return keep(store, site, split, piece, *content)

    monkeypatch.setattr(PieceStore, "keep", slow)
    for own, clip in zip(fetched(tmp_path, sender), clips, strict=True):
        np.testing.assert_array_equal(own[0], clip)
    again = Sender(clips)
    assert len(fetched(tmp_path, again)) == 3  # all lie on disk now
    assert not any(asked.is_set() for asked in again.asked)


def test_a_piece_that_cannot_be_written_ends_the_fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        time.sleep(0.05)
        raise StorageError("the disk is full")

    monkeypatch.setattr(PieceStore, "keep", full)
    sender = Sender([np.zeros((5, 4), np.float16)] * 100)
    with pytest.raises(StorageError, match="the disk is full"):
        fetched(tmp_path, sender)
    assert not sender.asked[-1].is_set()


def test_values_that_are_not_finite_are_told_from_all_others() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert [all_finite(one) for one in halves.reshape(-1, 1)] == np.isfinite(halves).tolist()
