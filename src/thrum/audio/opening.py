"""An open recording: its sound in blocks, from any place on, whether or not the format can be sought in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum.audio.containers import require_whole
from thrum.errors import AudioError

BLOCK_SAMPLES = 1 << 18
"""Samples of each channel that are in memory at a time."""


@dataclass(frozen=True)
class Described:
    """What a recording is, without its sound.

    Parameters
    ----------
    sample_rate
        Samples per second.
    channels
        How many there are.
    samples
        How many each channel has.
    kind
        The format, for instance ``WAV PCM_16``.
    """

    sample_rate: int
    channels: int
    samples: int
    kind: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / self.sample_rate


class Sound:
    """One recording, open for reading from its beginning to its end.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    AudioError
        Where it is missing, no audio, or cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _require_file(path)
        with _errors(path):
            self._file = soundfile.SoundFile(path)
        require_whole(path)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.announced: int = self._file.frames
        self.kind = f"{self._file.format} {self._file.subtype}"
        self.seekable: bool = self._file.seekable()
        self.place = 0
        """The sample that `read` begins with."""

    def read(self, samples: int) -> NDArray[np.float32]:
        """Return the next `samples` of all channels (S, C); fewer at the end."""
        with _errors(self.path):
            block: NDArray[np.float32] = self._file.read(samples, dtype="float32", always_2d=True)
        self.place += len(block)
        return block

    def go_to(self, place: int) -> None:
        """Make `read` go on at a sample; where the format cannot be sought in, read what lies between."""
        if self.seekable:
            with _errors(self.path):
                self._file.seek(min(place, self.announced))
            self.place = place
            return
        if place < self.place:
            raise AudioError(f"{self.path} can be read forward only")
        while self.place < place and len(self.read(min(place - self.place, BLOCK_SAMPLES))):
            pass

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def describe(path: Path) -> Described:
    """Return what the recording at `path` is, as its header says.

    Raises
    ------
    AudioError
        Where it is missing, no audio, or cut short.
    """
    _require_file(path)
    status = path.stat()
    return _described(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 14)
def _described(path: Path, size: int, modified_ns: int) -> Described:
    with Sound(path) as sound:
        return Described(sound.sample_rate, sound.channels, sound.announced, sound.kind)


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path} is a folder, wanted a recording")
    if not path.is_file():
        if path.exists() or str(path) == "-":
            raise AudioError(
                f"{path} is no file but a stream or device: save the sound to a wav or flac file first"
            )
        raise AudioError(f"no recording at {path}")
    if path.suffix.lower() in (".raw", ".pcm"):
        raise AudioError(
            f"{path} is sound without a header, so that nobody can know its rate: convert it to wav"
        )


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Say of what a file is ill."""
    try:
        yield
    except (soundfile.LibsndfileError, TypeError, ValueError, OSError, MemoryError) as error:
        reason = getattr(error, "error_string", error)
        raise AudioError(
            f"{path} cannot be read as audio ({str(reason).rstrip('.')}): wanted a whole wav or flac "
            f"file; copy it again, convert it or move it away"
        ) from error
