"""One shard of an embedding store: an immutable array of frames, and the clips in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import DataError, StorageError
from thrum.types import Clip

Frames = NDArray[np.floating[Any]]
"""(T, D)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a shard says of one clip: who it is, the state of the file it came from, its rows."""

    key: str
    name: str
    machine: str
    machine_id: str
    split: str
    label: str | None
    domain: str | None
    file_bytes: int
    file_modified_ns: int
    offset: int
    frames: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One immutable array of frames and the clips in it."""

    path: Path
    sha256: str
    settings: Mapping[str, Any]
    entries: tuple[Entry, ...]

    def check(self) -> None:
        """Raise a `DamagedError` where the array is not what was written."""
        storage.check_sha256(self.path, self.sha256)

    def rows(self) -> Frames:
        """Return all frames (sum of T, D), memory-mapped."""
        return storage.read_array(self.path)

    def remove(self) -> None:
        """Delete the shard, its list first: without it the array does not count."""
        self.path.with_suffix(".json").unlink()
        self.path.unlink(missing_ok=True)


def key_of(clip: Clip) -> str:
    """Return what tells `clip` from all others: its file, and its channel, stretch or row in it."""
    key = _place_of(clip.path.absolute())  # what it is relative to may change
    if clip.channel is not None:
        key += f"#channel={clip.channel}"
    if clip.stretch is not None:
        start, seconds = clip.stretch
        key += f"#t={start:.6f},{start + seconds:.6f}"
    if clip.row is not None:
        key += f"#{clip.row[0]}[{clip.row[1]}]"
    return key


@lru_cache(maxsize=1 << 16)
def _place_of(path: Path) -> str:
    """Return where a file lies, links followed: asked some seven times a clip."""
    return str(path.resolve())


def entry_of(clip: Clip, *, frames: int, offset: int = 0) -> Entry:
    """Return the entry of `clip`, with its file as it is now."""
    try:
        status = clip.path.stat()
    except OSError as error:
        raise DataError(f"no file at {clip.path}: {error.strerror}") from error
    return Entry(
        key=key_of(clip),
        name=clip.name,
        machine=clip.machine,
        machine_id=clip.machine_id,
        split=clip.split,
        label=clip.label,
        domain=clip.domain,
        file_bytes=status.st_size,
        file_modified_ns=status.st_mtime_ns,
        offset=offset,
        frames=frames,
    )


def write_shard(
    path: Path, entries: Sequence[Entry], pieces: Sequence[Frames], settings: Mapping[str, Any]
) -> Shard:
    """Write the frames of some clips to `path` (``.npy``), then the list of them beside it."""
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)]).tolist()
    placed = tuple(
        replace(entry, offset=offset) for entry, offset in zip(entries, offsets, strict=False)
    )
    checksum = storage.write_array(path, np.concatenate(pieces))
    shard = Shard(path, checksum, dict(settings), placed)
    content = {"schema": storage.SCHEMA, **asdict(shard), "path": path.name}
    storage.write_sealed(path.with_suffix(".json"), content)
    return shard


def read_shard(path: Path) -> Shard:
    """Return the shard whose list of clips is at `path` (``.json``)."""
    content = storage.read_sealed(path, unsealed=True)
    try:
        if content["schema"] != storage.SCHEMA:
            raise StorageError(
                f"{path} has schema {content['schema']!r}, this version of thrum reads schema "
                f"{storage.SCHEMA}: remove the folder and embed again"
            )
        entries = tuple(Entry(**entry) for entry in content["entries"])
        return Shard(path.with_suffix(".npy"), content["sha256"], content["settings"], entries)
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} is no list of embedded clips: {error}") from error
