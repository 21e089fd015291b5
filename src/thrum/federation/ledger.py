"""The ledger that each site keeps of everything that leaves it.

One JSON line an event, appended and synced to disk before the bytes are handed over: what is not in the
ledger has not left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from thrum.errors import StorageError


@dataclass(frozen=True)
class Entry:
    """One thing that left a site.

    Parameters
    ----------
    time
        When, ISO 8601, UTC.
    what
        ``description``, ``manifest``, ``embeddings`` or ``acknowledgement``.
    detail
        Which one, in words: machine, split and piece.
    clips
        How many recordings it speaks of.
    n_bytes
        The size of its content.
    sha256
        The checksum of its content.
    """

    time: str
    what: str
    detail: str
    clips: int
    n_bytes: int
    sha256: str


class Ledger:
    """An append-only record of what left a site.

    Parameters
    ----------
    path
        The JSON-lines file; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, what: str, detail: str, *, clips: int, n_bytes: int, sha256: str) -> Entry:
        """Append an entry and sync it to disk."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(now, what, detail, clips, n_bytes, sha256)
        line = (json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode("utf-8")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        return entry

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first; none where nothing has left."""
        if not self.path.exists():
            return []
        entries = []
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                entries.append(Entry(**json.loads(line)))
            except (json.JSONDecodeError, TypeError) as error:
                raise StorageError(
                    f"{self.path}, line {number} is no ledger entry: {error}"
                ) from error
        return entries


def total_bytes(entries: Iterable[Entry]) -> int:
    """Return the bytes of all entries together."""
    return sum(entry.n_bytes for entry in entries)
