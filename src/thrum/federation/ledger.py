"""The ledger that each site keeps of everything that leaves it.

One JSON line an event, appended and synced to disk before the bytes are handed over: what is not in the
ledger has not left.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from thrum import storage
from thrum.errors import StorageError

TAIL_BYTES = 4096
DAMAGED = "damaged line"
"""What an entry is called whose line cannot be read."""


@dataclass(frozen=True)
class Entry:
    """One thing that left a site.

    Parameters
    ----------
    time
        When, ISO 8601, UTC.
    what
        ``description``, ``manifest``, ``embeddings``, ``acknowledgement`` or ``failure``; or `DAMAGED`.
    detail
        Which one, in words: machine, split and piece.
    clips
        How many recordings it speaks of.
    n_bytes
        The size of its content.
    sha256
        The checksum of its content.
    embedder
        The class of the embedder that it is from, where it is embeddings: what audits found of that, and of
        the chain, is told beside it.
    chain
        The mechanisms that it has passed.
    budget
        What its noise has cost so far, this time included; empty where there is none.
    previous
        The sha256 of the line before, so that none can be changed, removed or moved unnoticed.
    """

    time: str
    what: str
    detail: str
    clips: int
    n_bytes: int
    sha256: str
    embedder: str = ""
    chain: str = ""
    budget: str = ""
    previous: str = ""


class Ledger:
    """An append-only record of what left a site.

    Parameters
    ----------
    path
        The JSON-lines file; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(
        self,
        what: str,
        detail: str | Callable[[str], str],
        *,
        clips: int,
        n_bytes: int,
        sha256: str,
        embedder: str = "",
        chain: str = "",
        budget: str = "",
    ) -> Entry:
        """Append an entry and sync it to disk.

        Parameters
        ----------
        detail
            In words, or what makes them of the hash of the line before.

        Raises
        ------
        StorageError
            Where it could not be written whole; then nothing of it is left, and nothing may be sent.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            storage.private_folder(self.path.parent)
            new = not self.path.exists()
            with _opened(self.path) as handle:
                before = linked(_last_line(handle))
                words = detail if isinstance(detail, str) else detail(before)
                entry = Entry(
                    now, what, words, clips, n_bytes, sha256, embedder, chain, budget, before
                )
                _append(handle, json.dumps(asdict(entry)).encode() + b"\n")
            if new:
                storage.fsync(self.path.parent)
        except OSError as error:
            raise StorageError(
                f"cannot write the ledger {self.path}: {error}; nothing leaves before it can be written"
            ) from error
        return entry

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first; none where nothing has left.

        A line that cannot be read, as a full disk or a crash leaves it, is an entry called `DAMAGED`.
        """
        return [entry_of(line, number) for number, line in enumerate(self.lines(), start=1)]

    def lines(self) -> list[bytes]:
        """Return the lines as they stand."""
        if not self.path.exists():
            return []
        return [line for line in self.path.read_bytes().split(b"\n") if line]


def linked(line: bytes) -> str:
    """Return the hash of a line, as the next one names it."""
    return hashlib.sha256(line).hexdigest()


def entry_of(line: bytes, number: int) -> Entry:
    """Return a line as an entry; one called `DAMAGED` where it cannot be read."""
    try:
        found = json.loads(line)
        found.pop("invertible", None)  # as an earlier version had it
        return Entry(**found)
    except (ValueError, TypeError, AttributeError):
        text = line.decode("utf-8", errors="replace")
        return Entry("", DAMAGED, f"line {number}: {text}", 0, 0, "")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open for one writer at a time: another's line is neither cut in two nor taken back."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.fchmod(handle, 0o600)  # where an earlier version made it
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _last_line(handle: int) -> bytes:
    """Return the last line of a file, torn or not; nothing where there is none."""
    size, tail = os.fstat(handle).st_size, b""
    while len(tail) < size and b"\n" not in tail.rstrip(b"\n"):
        length = min(TAIL_BYTES, size - len(tail))
        tail = os.pread(handle, length, size - len(tail) - length) + tail
    return tail.rstrip(b"\n").rpartition(b"\n")[2]


def _append(handle: int, line: bytes) -> None:
    """Write all of `line`, after what is there, and sync it; or leave the file as it was and raise."""
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":  # a torn line ends here
        line = b"\n" + line
    try:
        written = 0
        while written < len(line):
            written += os.write(handle, line[written:])
        os.fsync(handle)
    except BaseException:
        os.ftruncate(handle, size)
        raise


def total_bytes(entries: Iterable[Entry]) -> int:
    """Return the bytes of all entries together."""
    return sum(entry.n_bytes for entry in entries)
