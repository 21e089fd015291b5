"""Sound as it is to be: at another rate, or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import AudioError

WRITTEN = frozenset({".wav", ".flac"})

_STEPS = 1 << 15  # of 16-bit sound, from 0 to 1


def resample(audio: NDArray[np.float32], rate: int, wanted_rate: int) -> NDArray[np.float32]:
    """Bring audio (S,) or (S, C) from `rate` to `wanted_rate` samples per second (soxr, HQ)."""
    if rate == wanted_rate:
        return audio
    return cast("NDArray[np.float32]", soxr.resample(audio, rate, wanted_rate, quality="HQ"))


def write(path: Path, audio: NDArray[Any], sample_rate: int) -> None:
    """Write audio (S,) or (S, C) in [-1, 1] as 16-bit wav or flac by the suffix, atomically.

    Samples are rounded to the nearest step (libsndfile would take the next one below, which moves all of
    them by half a step); what lies outside is clipped.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN:
        raise AudioError(f"cannot write {path}: the suffix must be .wav or .flac")
    steps = np.rint(np.asarray(audio, np.float64) * _STEPS).clip(-_STEPS, _STEPS - 1)
    with storage.replacing(path) as temporary:
        soundfile.write(
            temporary,
            steps.astype(np.int16),
            sample_rate,
            subtype="PCM_16",
            format=suffix[1:].upper(),
        )
