"""The versions of a baseline on disk, and who made each, when and why.

::

    <run>/monitors/<machine>_<machine_id>/
        v0001.safetensors, v0001.json   one version, never changed
        v0002/                          what was fitted to it, where the detector learns from its clips
        log.jsonl                       one line a change; the last one names the version that counts

A version is written before the line that names it, so a change is there whole or not at all. Going back adds
a line; nothing is ever removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from thrum import storage
from thrum.errors import StorageError, UsageError

LOG = "log.jsonl"


@dataclass(frozen=True)
class Change:
    """One line of the log.

    Parameters
    ----------
    version
        What counts from now on.
    parent
        What counted before; 0 for the first.
    what
        ``made``, ``add``, ``drop``, ``fault``, ``undo``, or ``carried``: what was confirmed before a round
        goes on after it.
    when, who, why
        As the caller said.
    clips
        The names of the clips that it is about.
    """

    version: int
    parent: int
    what: str
    when: str
    who: str
    why: str
    clips: tuple[str, ...] = ()


class History:
    """The versions of one machine's baseline.

    Parameters
    ----------
    folder
        Where they lie; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def changes(self) -> list[Change]:
        """Return all changes, oldest first; none where there is no version yet.

        Raises
        ------
        StorageError
            Where a line cannot be read. A torn last line, as a full disk leaves it, counts as not written.
        """
        path = self.folder / LOG
        if not path.exists():
            return []
        *lines, last = path.read_bytes().split(b"\n")
        found = [self._change(line, number) for number, line in enumerate(lines, start=1) if line]
        return found if not last else [*found, *self._whole(last)]

    @property
    def current(self) -> int:
        """The version that counts; 0 where there is none."""
        changes = self.changes()
        return changes[-1].version if changes else 0

    def name(self, version: int) -> str:
        """Return what the files of a version are called."""
        return f"v{version:04d}"

    def next_version(self) -> int:
        """Return a number that no version has, not even one that was never finished."""
        taken = [int(path.stem[1:]) for path in self.folder.glob("v[0-9][0-9][0-9][0-9]*")]
        return 1 + max([0, *taken, *(change.version for change in self.changes())])

    def record(self, change: Change) -> None:
        """Append a change to the log, durably.

        Raises
        ------
        StorageError
            Where it cannot be written; then what counted before still does.
        """
        path = self.folder / LOG
        line = json.dumps(asdict(change), ensure_ascii=False).encode() + b"\n"
        try:
            before = path.read_bytes() if path.exists() else b""
            if before and not before.endswith(b"\n"):
                before = before[: before.rfind(b"\n") + 1]
            storage.write_bytes(path, before + line)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error}") from error

    def undo(self, *, to: int | None, when: str, who: str, why: str) -> Change:
        """Let an earlier version count again: the one before, or `to`, which may also be a later one.

        Raises
        ------
        UsageError
            Where there is no such version.
        """
        changes = self.changes()
        made = {change.version: change.parent for change in changes if change.what != "undo"}
        current = self.current
        wanted = to if to is not None else made.get(current, 0)
        if wanted not in made:
            known = ", ".join(map(str, sorted(made))) or "none"
            asked = "before the first" if to is None else str(to)
            raise UsageError(f"{self.folder} has no version {asked}; there are: {known}")
        change = Change(wanted, current, "undo", when, who, why)
        self.record(change)
        return change

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to change, for one process at a time."""
        import fcntl

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"cannot write in {self.folder}: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise StorageError(
                f"another process changes {self.folder}: wait for it to end"
            ) from error
        finally:
            os.close(handle)

    def _whole(self, line: bytes) -> Sequence[Change]:
        try:
            return [self._change(line, 0)]
        except StorageError:
            return []

    def _change(self, line: bytes, number: int) -> Change:
        try:
            told = json.loads(line)
            return Change(**{**told, "clips": tuple(told["clips"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self.folder / LOG}, line {number}, is damaged: restore it from a copy, or remove the line"
            ) from error
