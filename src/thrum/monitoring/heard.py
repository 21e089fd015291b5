"""What a clip sounds like in the large: how loud it is, and how loud in each band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import audio
from thrum.datasets.arrays import read_features
from thrum.embedders.logmel import LogMel
from thrum.types import Clip

RATE = 16000
SILENT_DB = -85.0
"""Against full scale: less than two steps of 16 bits. A microphone that is on hears more in any room."""


@dataclass(frozen=True)
class Heard:
    """A clip in the large.

    Parameters
    ----------
    bands
        (F,) float32, the mean level of each mel band in dB; of features, the mean of each dimension.
    level_db
        Root mean square about the mean, against full scale; None of features.
    seconds
        How long it is; None of features.
    """

    bands: NDArray[np.float32]
    level_db: float | None
    seconds: float | None

    @property
    def is_silent(self) -> bool:
        """Whether there is less sound than any microphone hears in any room."""
        return self.level_db is not None and self.level_db < SILENT_DB


def hear(clips: Sequence[Clip]) -> list[Heard]:
    """Return what each clip sounds like."""
    found: list[Heard] = []
    bands = np.zeros((0, 0), np.float32)
    for row, clip in enumerate(clips):
        own = hear_features(clip) if clip.row is not None else hear_clip(clip)
        if own.bands.size != bands.shape[-1]:
            # Room for all: arrays kept one by one would break up the memory of what is read between them.
            bands = np.zeros((len(clips), own.bands.size), np.float32)
        bands[row] = own.bands
        found.append(replace(own, bands=bands[row]))
    return found


def hear_clip(clip: Clip) -> Heard:
    """Return what a recording sounds like."""
    return hear_sound(audio.read_clip(clip, sample_rate=RATE))


def hear_features(clip: Clip) -> Heard:
    """Return what a row of features (T, F) is like."""
    return Heard(read_features([clip])[0].mean(axis=0), None, None)


def hear_sound(sound: NDArray[np.float32]) -> Heard:
    """Return what sound (S,) at `RATE` is like."""
    power = float(np.var(sound, dtype=np.float64))  # an offset is no sound
    level = 10 * math.log10(max(power, 1e-12))
    levels, _ = _logmel().frames(torch.from_numpy(sound)[None])  # (1, T, 128)
    return Heard(levels[0].mean(dim=0).numpy(), level, len(sound) / RATE)


@cache
def _logmel() -> LogMel:
    return LogMel()
