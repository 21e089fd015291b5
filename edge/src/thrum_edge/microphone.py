"""Clips of what a microphone hears, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum_edge.errors import EdgeError
from thrum_edge.sound import Clip

Recorder = Callable[[int], NDArray[np.float32]]
"""Returns the next so many samples (S,)."""


def recorder(sample_rate: int, device: str | None = None) -> Recorder:
    """Return what records from a microphone (the package sounddevice).

    Raises
    ------
    EdgeError
        Where the package is not installed, or there is no such microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # without PortAudio it is an OSError
        raise EdgeError(
            f"a microphone wants the package sounddevice and PortAudio ({error}): pip install "
            f"'thrum-edge[microphone]'"
        ) from error
    try:
        stream = sounddevice.InputStream(
            samplerate=sample_rate, channels=1, dtype="float32", device=device
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise EdgeError(f"no microphone at {sample_rate} Hz: {error}") from error

    def record(samples: int) -> NDArray[np.float32]:
        block, lost = stream.read(samples)
        if lost:
            raise EdgeError("sound was lost between two clips: the computer is too busy")
        return np.asarray(block[:, 0], np.float32)

    return record


def listen(record: Recorder, told: Mapping[str, Any]) -> Iterator[Clip]:
    """Yield clips of the length that was learnt, end to end, without end."""
    length = round(told["seconds"] * told["sample_rate"])
    while True:
        begun = time.strftime("%Y-%m-%dT%H:%M:%S")
        yield Clip(f"microphone {begun}", record(length))
