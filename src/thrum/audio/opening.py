"""An open recording: its sound in blocks, from any place on, whether or not the format can be sought in."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum.audio import media
from thrum.audio.containers import SUFFIXES_OF, Examined
from thrum.audio.examining import examine
from thrum.errors import AudioError
from thrum.sentences import Sentence, said

SUFFIXES = frozenset(suffix for own in SUFFIXES_OF.values() for suffix in own) | media.SUFFIXES
"""What a recording may be called like, in lower case."""
BLOCK_VALUES = 1 << 19
"""Samples, all channels together, that are in memory at a time."""
LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000
"""Samples per second that a recording may have: beyond, its header is damaged."""
_UNKNOWN = 1 << 60  # libsndfile's word for a length that it does not know is larger

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
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
    notes
        What a user must know of the file, each a sentence that goes on from its name.
    """

    sample_rate: int
    channels: int
    samples: int
    kind: str
    notes: tuple[str, ...] = ()

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
        examined = _examined(path)
        self.notes = examined.notes
        self._file: Any
        if not examined.kind and media.recognises(path):
            self._file = media.MediaFile(path)
            self.notes += self._file.notes
        else:
            self._file = _opened(path, examined)
            self.notes += _called_otherwise(path, examined)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.announced: int | None = self._file.frames
        """How many samples each channel has; None where only reading tells."""
        if self.announced is not None and self.announced > _UNKNOWN:
            self.announced = None
        self.kind = f"{self._file.format} {self._file.subtype}"
        self.seekable: bool = self._file.seekable() and self.announced is not None
        self.place = 0
        """The sample that `read` begins with."""
        try:
            self._require_sane(examined)
        except AudioError:
            self.close()
            raise

    def read(self, samples: int) -> NDArray[np.float32]:
        """Return the next `samples` of all channels (S, C); fewer at the end."""
        with _errors(self.path):
            block: NDArray[np.float32] = self._file.read(samples, dtype="float32", always_2d=True)
        self.place += len(block)
        return block

    def blocks(self, samples: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield what comes, at most `samples` of it, in blocks (S, C) of at most `BLOCK_VALUES` values."""
        most = max(1, BLOCK_VALUES // self.channels)
        left = samples
        while left is None or left > 0:
            block = self.read(most if left is None else min(most, left))
            if not len(block):
                return
            yield block
            left = None if left is None else left - len(block)

    def go_to(self, place: int) -> None:
        """Make `read` go on at a sample; where the format cannot be sought in, read what lies between."""
        if self.seekable and place != self.place:
            with _errors(self.path):
                self._file.seek(min(place, self.announced or 0))
            self.place = place
        elif place < self.place:
            raise AudioError(f"{self.path} can be read forward only")
        for _ in self.blocks(place - self.place):
            pass

    def require_end(self) -> None:
        """Raise an `AudioError` where all has been read and sound that was announced did not come."""
        if self.place == 0:
            raise AudioError(Sentence("empty", path=str(self.path)))
        if self.announced is not None and self.place < self.announced:
            raise AudioError(
                Sentence(
                    "cut_announced",
                    path=str(self.path),
                    announced=self.announced,
                    there=self.place,
                )
            )

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

    def _require_sane(self, examined: Examined) -> None:
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE or self.channels < 1:
            raise AudioError(
                Sentence(
                    "odd_header",
                    path=str(self.path),
                    channels=self.channels,
                    rate=self.sample_rate,
                )
            )
        there = max(examined.samples or 0, examined.at_least)
        if self.announced is not None and self.announced < there:
            raise AudioError(
                Sentence("more_there", path=str(self.path), there=there, announced=self.announced)
            )


def describe(path: Path) -> Described:
    """Return what the recording at `path` is; its notes go to the log, once.

    Raises
    ------
    AudioError
        Where it is missing, no audio, or cut short.
    """
    _require_file(path)
    status = path.stat()
    return _described(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 14)
def _described(name: str, size: int, modified_ns: int) -> Described:
    """Return what a file is; remembered by its name, for with a path that takes twice the memory."""
    path = Path(name)
    with Sound(path) as sound:
        if sound.announced is None:
            for _ in sound.blocks():
                pass
        samples = sound.place if sound.announced is None else sound.announced
        for note in sound.notes:
            _logger.warning("%s: %s", path, note)
        kind = sys.intern(sound.kind)
        return Described(sound.sample_rate, sound.channels, samples, kind, sound.notes)


def _examined(path: Path) -> Examined:
    status = path.stat()
    return _examined_as(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 10)
def _examined_as(path: Path, size: int, modified_ns: int) -> Examined:
    return examine(path)


def _opened(path: Path, examined: Examined) -> Any:
    with _errors(path):
        if (
            not examined.kind
        ):  # libsndfile reads more of them, and cut ones as shorter without a word
            raise ValueError(Sentence("unknown_format"))
        return soundfile.SoundFile(path if examined.shown_as_is else _View(path, examined))


def _called_otherwise(path: Path, examined: Examined) -> tuple[str, ...]:
    """Return the note on a file that is called like one of another kind."""
    suffix = path.suffix.lower()
    if not examined.kind or suffix not in SUFFIXES or suffix in SUFFIXES_OF[examined.kind]:
        return ()
    return (f"it is called {suffix} and holds {examined.kind.upper()}; read as what it holds",)


class _View(io.RawIOBase):
    """A file as libsndfile is to see it: a part of it, some bytes put right."""

    def __init__(self, path: Path, examined: Examined) -> None:
        self._inner = path.open("rb")
        self._head, self._start, self._patches = examined.head, examined.start, examined.patches
        end = path.stat().st_size if examined.end is None else examined.end
        self._length = len(self._head) + end - self._start
        self._place = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._length)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._place, 0)
        left = left if size < 0 else min(size, left)
        content = self._head[self._place : self._place + left]
        start = self._start + max(self._place - len(self._head), 0)
        self._inner.seek(start)
        there = bytearray(self._inner.read(left - len(content)))
        for at, right in self._patches.items():
            for number, byte in enumerate(right):
                if 0 <= at + number - start < len(there):
                    there[at + number - start] = byte
        content += there
        self._place += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        memoryview(buffer).cast("B")[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._inner.close()
        super().close()


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
    except AudioError:
        raise
    except (
        soundfile.SoundFileError,
        TypeError,
        ValueError,
        OSError,
        OverflowError,
        MemoryError,
    ) as error:
        reason = getattr(error, "error_string", None) or said(error)
        if not isinstance(reason, Sentence):
            reason = str(reason).rstrip(".")
        raise AudioError(Sentence("no_audio_file", path=str(path), reason=reason)) from error
