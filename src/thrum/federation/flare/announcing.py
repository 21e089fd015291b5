"""What a site says between rounds: how many training clips it has that were in no round yet.

The command at the site counts and writes ``new_clips.json`` into the site's folder; the engine's process
there (`thrum.federation.flare.resources`) answers the server with it. ``taken.json`` tells the clips of the
last round that was done.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from thrum import storage
from thrum.embedders.shards import key_of
from thrum.errors import StorageError, ThrumError
from thrum.federation.messages import Announcement, parse, plain
from thrum.types import Clip

LOOK_SECONDS = 10.0
MOST_OF_THE_TIME = 0.05
"""A look at many recordings takes long: no more than this of the time is spent on looking."""
_TAKEN = "taken.json"
_NEW = "new_clips.json"

_log = logging.getLogger(__name__)


class Counting:
    """Counts, between rounds, what has been recorded since.

    Parameters
    ----------
    folder
        The site's.
    clips
        Looks for its clips.
    """

    def __init__(self, folder: Path, clips: Callable[[], Iterable[Clip]]) -> None:
        self._folder = folder
        self._clips = clips
        self._again = 0.0

    def look(self) -> None:
        """Count, where it is time again; what cannot be read now is looked at later."""
        began = time.monotonic()
        if began < self._again:
            return
        try:
            count = len(_names(self._clips()) - _taken(self._folder))
            if count != announced(self._folder).new_clips:
                storage.write_json(self._folder / _NEW, plain(Announcement(count)))
        except ThrumError:
            _log.exception("new recordings could not be counted")
        took = time.monotonic() - began
        self._again = began + max(LOOK_SECONDS, took / MOST_OF_THE_TIME)


def note_taken(folder: Path, clips: Iterable[Clip]) -> None:
    """Note the clips of a round that is done; they are not announced any more."""
    storage.write_json(folder / _TAKEN, sorted(_names(clips)))
    (folder / _NEW).unlink(missing_ok=True)


def announced(folder: Path) -> Announcement:
    """Return what the site says now.

    Raises
    ------
    StorageError, ProtocolError
        Where its note is damaged.
    """
    path = folder / _NEW
    if not path.exists():
        return Announcement(0)
    return parse(Announcement, storage.read_json(path), what=str(path))


def _names(clips: Iterable[Clip]) -> set[str]:
    """Return what stands for each training clip in the note; short, since there may be many."""
    return {
        hashlib.sha256(key_of(clip).encode()).hexdigest()[:16]
        for clip in clips
        if clip.split == "train"
    }


def _taken(folder: Path) -> set[str]:
    """Return the clips of the last round that was done; none where nothing tells."""
    try:
        return set(map(str, storage.read_json(folder / _TAKEN)))
    except (StorageError, TypeError):
        return set()
