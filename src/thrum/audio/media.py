"""What libsndfile does not read: the sound in m4a, mp4, mkv, webm and the like, by PyAV (extra ``media``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import AudioError
from thrum.sentences import Sentence

SUFFIXES = frozenset(
    {".m4a", ".mp4", ".mkv", ".mka", ".webm", ".mov", ".aac", ".wma", ".3gp", ".amr", ".avi"}
)
SHORTER_SECONDS = 0.25
"""By how much less sound may come than the file announces: its times are rounded, its codecs pad."""


def recognises(path: Path) -> bool:
    """Whether a file is of these formats, by its first bytes or by its name."""
    with path.open("rb") as file:
        head = file.read(12)
    return (
        head[4:8] == b"ftyp"
        or head[:4] == b"\x1a\x45\xdf\xa3"  # Matroska and WebM
        or (bool(head) and path.suffix.lower() in SUFFIXES)
    )


class MediaFile:
    """One open file, with what is used of `soundfile.SoundFile`; it can be read forward only.

    Parameters
    ----------
    path
        The file; of several sound tracks the first is read, and the others are noted.

    Raises
    ------
    AudioError
        Where PyAV is not installed, or the file cannot be opened or has no sound.
    """

    format = "MEDIA"

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise AudioError(Sentence("wants_pyav", path=str(path))) from error
        av.logging.set_level(av.logging.PANIC)
        self.path = path
        self._failure: type[Exception] = av.FFmpegError
        try:
            self._container: Any = av.open(str(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        tracks = self._container.streams.audio
        if not tracks:
            self.close()
            raise AudioError(Sentence("only_pictures", path=str(path)))
        self.notes: tuple[str, ...] = ()
        if len(tracks) > 1:
            self.notes = (f"it has {len(tracks)} sound tracks, of which the first is read",)
        self._stream = tracks[0]
        self.subtype = str(self._stream.codec_context.name).upper()
        self.samplerate = int(self._stream.codec_context.sample_rate or 0)
        self.channels = int(self._stream.codec_context.channels or 0)
        self.frames: int | None = None  # only reading tells: the announced length is rounded
        self._resampler = av.AudioResampler(format="fltp")
        self._decoded = self._all()
        self._left = np.zeros((0, self.channels), np.float32)
        self._place = 0

    def seekable(self) -> bool:
        """Whether one can go to any place: never."""
        return False

    def read(self, samples: int, dtype: str, *, always_2d: bool) -> NDArray[np.float32]:
        """Return the next samples (S, C); fewer at the end."""
        pieces, count = [self._left], len(self._left)
        while count < samples and (block := next(self._decoded, None)) is not None:
            pieces.append(block)
            count += len(block)
        joined = np.concatenate(pieces)
        self._left = joined[samples:]
        found = joined[:samples]
        self._place += len(found)
        return found

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _all(self) -> Iterator[NDArray[np.float32]]:
        came = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in self._resampler.resample(frame):
                    block = np.ascontiguousarray(part.to_ndarray().T, np.float32)  # (S, C)
                    came += len(block)
                    yield self._checked(block)
            for part in self._resampler.resample(None):
                block = np.ascontiguousarray(part.to_ndarray().T, np.float32)
                came += len(block)
                yield self._checked(block)
        except (self._failure, OSError, ValueError) as error:
            raise self._damaged(error) from error
        announced = self._announced_seconds()
        if came / max(self.samplerate, 1) < announced - SHORTER_SECONDS:
            raise AudioError(
                Sentence(
                    "cut_seconds",
                    path=str(self.path),
                    announced=announced,
                    there=came / self.samplerate,
                )
            )

    def _checked(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        if block.shape[1] != self.channels:
            raise ValueError("its number of channels changes on the way")
        return block

    def _announced_seconds(self) -> float:
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if self._container.duration is not None and not self._container.streams.video:
            return float(self._container.duration) / 1e6
        return 0.0

    def _damaged(self, error: Exception) -> AudioError:
        reason = getattr(error, "strerror", None) or error
        return AudioError(Sentence("not_media", path=str(self.path), reason=str(reason)))
