"""A folder that a recorder writes to: files are taken when they are complete, those that lay there
first, too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from thrum import audio
from thrum.errors import StorageError
from thrum.sentences import Sentence, said
from thrum.service.config import InputSettings
from thrum.service.inputs.base import Input
from thrum.service.intake import Intake, RefusedError
from thrum.service.store import clips

POLL_SECONDS = 0.5
LARGEST_BYTES = 1 << 30

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file as it was seen."""

    name: str
    path: Path
    size: int
    modified_ns: int


class Folder(Input):
    """Takes the recordings of a folder in, the oldest first."""

    def __init__(self, settings: InputSettings, intake: Intake) -> None:
        super().__init__(settings, intake)
        assert settings.folder is not None
        self.folder = settings.folder
        self._seen: dict[str, tuple[Found, float]] = {}  # not complete yet, since when unchanged
        self._done: dict[str, Found] = {}
        self._mounted_at: Path | None = None

    def listen(self) -> None:
        """Look at the folder again and again."""
        while not self.ended.is_set():
            self.look()
            self.ended.wait(POLL_SECONDS)

    def look(self) -> int:
        """Take in what is complete; return how many files that were.

        Raises
        ------
        StorageError
            Where the folder is not there, or its disk is no longer mounted.
        """
        taken = 0
        now = time.monotonic()
        found = sorted(self._files(), key=lambda file: (file.modified_ns, file.name))
        self.lost = ""
        for file in found:
            if self._done.get(file.name) == file or self.ended.is_set():
                continue
            before = self._seen.get(file.name)
            if before is None or before[0] != file:
                self._seen[file.name] = (file, now)
            elif now - before[1] >= self.settings.settle_seconds:
                taken += self._take(file)
        names = {file.name for file in found}
        for gone in [name for name in (*self._seen, *self._done) if name not in names]:
            self._seen.pop(gone, None)
            self._done.pop(gone, None)
        return taken

    def _take(self, file: Found) -> int:
        source = self.settings
        told = (source.name, file.name, file.size, file.modified_ns)
        with self.intake.database.reading() as connection:
            known = clips.is_taken(connection, *told)
        if not known:

            def note(connection: Connection) -> None:
                clips.take(connection, *told)

            try:
                if file.size > LARGEST_BYTES:
                    raise RefusedError(
                        Sentence(
                            "too_large", megabytes=file.size / 2**20, most=LARGEST_BYTES / 2**20
                        )
                    )
                self.intake.recording(
                    source,
                    file.path.read_bytes(),
                    told_at=file.modified_ns / 1e9,
                    and_then=note,
                    any_format=True,
                )
                self.heard()
            except FileNotFoundError:
                return 0
            except RefusedError as error:
                why = Sentence("of_file", file=file.name, said=said(error))
                _logger.warning("input %s: %s", source.name, why)
                self.intake.refused(source, RefusedError(why, error.health))
                self.heard()
                with self.intake.database.writing() as connection:
                    note(connection)
        self._seen.pop(file.name, None)
        self._done[file.name] = file
        if source.delete:
            file.path.unlink(missing_ok=True)
        return 0 if known else 1

    def _files(self) -> Iterator[Found]:
        """Yield the recordings in the folder, at whatever depth."""
        require_there(self.folder)
        mounted_at = _mounted_at(self.folder)
        if self._mounted_at is not None and mounted_at in self._mounted_at.parents:
            raise StorageError(
                Sentence("not_mounted", at=str(self._mounted_at), folder=str(self.folder))
            )
        self._mounted_at = mounted_at
        for root, _, names in os.walk(self.folder):
            for name in names:
                path = Path(root, name)
                if path.suffix.lower() not in audio.SUFFIXES or name.startswith("."):
                    continue
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if not path.is_symlink():
                    # A name may be no text (of another computer's code page); the database wants one.
                    raw = os.fsencode(path.relative_to(self.folder))
                    own = raw.decode("utf-8", "backslashreplace")
                    yield Found(own, path, status.st_size, status.st_mtime_ns)


def require_there(folder: Path) -> None:
    """Raise a `StorageError` where a folder is not there."""
    try:
        folder.stat()
    except OSError as error:
        raise StorageError(
            Sentence("no_folder", folder=str(folder), reason=str(error.strerror))
        ) from error


def _mounted_at(folder: Path) -> Path:
    """Return where the disk of a folder is mounted; another disk in its place is none the less one."""
    own = folder.resolve()
    return next(path for path in (own, *own.parents) if path.is_mount())
