"""From files to samples: whole recordings, stretches of long ones, or block by block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum.audio.opening import Sound, describe
from thrum.audio.writing import resample
from thrum.errors import AudioError
from thrum.sentences import Sentence
from thrum.types import Clip

LARGEST = 1e10
"""Of a sample: beyond what any scale of numbers means (±1, or whole numbers of 32 bits)."""
KEPT_OPEN = 8
"""Recordings kept open that cannot be sought in, so that the next stretch need not begin at the beginning."""


def read(
    path: Path, *, channel: int | None = None, stretch: tuple[float, float] | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read a recording as mono.

    Parameters
    ----------
    path
        Any file of a format in `SUFFIXES`, any rate, any number of channels.
    channel
        The channel to keep, from 0; None takes the mean of all channels.
    stretch
        ``(start, seconds)``: the part to read; None reads all of it.

    Returns
    -------
    audio, sample_rate
        float32 (S,) in [-1, 1], and samples per second.

    Raises
    ------
    AudioError
        Where the file is missing, is no audio, is cut short, is empty, holds samples that are NaN,
        infinite or beyond all scales, or has no such channel.
    """
    found = [
        (mono, rate) for _, mono, rate in channel_blocks(path, channel=channel, stretch=stretch)
    ]
    pieces = [mono for mono, _ in found]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces), found[0][1]


def blocks(path: Path, *, channel: int | None = None) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield a recording as mono block by block, each with the rate, as `read` would return it."""
    for _, mono, rate in channel_blocks(path, channel=channel):
        yield mono, rate


def channel_blocks(
    path: Path, *, channel: int | None = None, stretch: tuple[float, float] | None = None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """Yield a recording block by block: all channels (S, C), what `read` makes of them (S,), the rate."""
    describe(path)  # says what is odd about it
    if stretch is None:
        with Sound(path) as sound:
            for block in sound.blocks():
                yield block, _mono(path, block, channel), sound.sample_rate
            sound.require_end()
        return
    start, seconds = stretch
    with _at(path, start) as sound:
        wanted = round((start + seconds) * sound.sample_rate) - sound.place
        there = 0
        for block in sound.blocks(wanted):
            there += len(block)
            yield block, _mono(path, block, channel), sound.sample_rate
        if there < wanted:
            raise AudioError(
                f"{path} is cut short: {there} samples are there from second {start:g} on, "
                f"{wanted} were wanted; copy it again"
            )


def read_clip(clip: Clip, *, sample_rate: int) -> NDArray[np.float32]:
    """Read the audio of a clip, brought to `sample_rate`. Returns float32 (S,)."""
    if clip.row is not None:
        raise AudioError(
            f"{clip.name} is a row of features in {clip.path}, not a recording: "
            f"use the embedder 'precomputed'"
        )
    audio, rate = read(clip.path, channel=clip.channel, stretch=clip.stretch)
    return resample(audio, rate, sample_rate)


def _mono(path: Path, samples: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    """Return one channel (S,) of (S, C), or their mean."""
    if channel is None:
        audio = samples.mean(axis=1)  # (S,)
    elif 0 <= channel < samples.shape[1]:
        audio = samples[:, channel]  # (S,)
    else:
        raise AudioError(
            Sentence("no_channel", path=str(path), channels=samples.shape[1], channel=channel)
        )
    finite = np.isfinite(audio)
    if not finite.all():
        raise AudioError(Sentence("not_finite", path=str(path), samples=int((~finite).sum())))
    largest = float(np.abs(audio).max(initial=0.0))
    if largest > LARGEST:
        raise AudioError(Sentence("beyond_one", path=str(path), largest=largest))
    return np.ascontiguousarray(audio, dtype=np.float32)


_open: list[tuple[Sound, tuple[int, int]]] = []
_lock = threading.Lock()


@contextmanager
def _at(path: Path, start_seconds: float) -> Iterator[Sound]:
    """Yield the recording, to be read from a second on."""
    sound = _taken(path, start_seconds) or Sound(path)
    try:
        sound.go_to(round(start_seconds * sound.sample_rate))
        yield sound
    except BaseException:
        sound.close()
        raise
    _put_back(sound)


def _taken(path: Path, start_seconds: float) -> Sound | None:
    """Return the recording where it is open already and has not been read beyond the place wanted."""
    status = path.stat() if path.exists() else None
    with _lock:
        fit = [
            (sound.place, index)
            for index, (sound, state) in enumerate(_open)
            if status is not None
            and sound.path == path
            and state == (status.st_size, status.st_mtime_ns)
            and sound.place <= round(start_seconds * sound.sample_rate)
        ]
        return _open.pop(max(fit)[1])[0] if fit else None


def _put_back(sound: Sound) -> None:
    """Keep a recording open where opening it anew would mean to read it from its beginning."""
    if sound.seekable:
        sound.close()
        return
    status = sound.path.stat()
    with _lock:
        _open.append((sound, (status.st_size, status.st_mtime_ns)))
        closed = _open.pop(0)[0] if len(_open) > KEPT_OPEN else None
    if closed is not None:
        closed.close()
