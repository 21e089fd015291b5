"""The ledger: a line stands whole before anything leaves, and one bad line hides no other."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from thrum.errors import StorageError
from thrum.federation.ledger import DAMAGED, Entry, Ledger, total_bytes


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "site" / "ledger.jsonl")


def record(ledger: Ledger, detail: str = "train") -> Entry:
    return ledger.record("manifest", detail, clips=3, n_bytes=10, sha256="0")


def test_entries_are_read_as_they_were_written(ledger: Ledger) -> None:
    assert ledger.entries() == []
    written = [record(ledger, detail) for detail in ("train", "fan\u2028hall/id_00", "Säge/id_00")]
    assert ledger.entries() == written
    assert total_bytes(written) == 30


def test_a_line_of_an_earlier_version_is_read(ledger: Ledger) -> None:
    record(ledger)
    line = ledger.path.read_text()
    ledger.path.write_text(
        line.replace('"embedder": ""', '"invertible": false').replace("train", "a\u2028b")
    )
    (entry,) = ledger.entries()
    assert (entry.detail, entry.embedder) == ("a\u2028b", "")


def test_a_torn_line_hides_no_other(ledger: Ledger) -> None:
    first = record(ledger)
    with ledger.path.open("ab") as file:
        file.write(b'{"time": "2026-01-01", "wh\xc3')
    last = record(ledger, "test")
    torn = ledger.entries()[1]
    assert ledger.entries() == [first, torn, last]
    assert (torn.what, torn.n_bytes) == (DAMAGED, 0)
    assert torn.detail.startswith('line 2: {"time": "2026-01-01", "wh')


def test_a_short_write_is_gone_on_with(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:7]))
    written = record(ledger)
    assert ledger.entries() == [written]


def test_a_full_disk_leaves_no_part_of_a_line(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = record(ledger)
    before = ledger.path.read_bytes()
    write, room = os.write, iter([20])

    def full(handle: int, content: bytes) -> int:
        for count in room:
            return write(handle, content[:count])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageError, match=r"No space left on device; nothing leaves"):
            record(ledger, "lost")
    assert ledger.path.read_bytes() == before
    assert ledger.entries() == [first]


def test_a_new_ledger_is_synced_into_its_folder(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    record(ledger)
    record(ledger)
    file = ledger.path.resolve()
    assert synced == [file, file.parent, file]
