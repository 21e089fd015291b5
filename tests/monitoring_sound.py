"""Sound of a machine that hums, well and faulty, for the tests of monitors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import machines
from thrum import audio

RATE = 16000
SECONDS = 1.5


def well(random: np.random.Generator) -> NDArray[np.float32]:
    return machines.tone(random, 110, seconds=SECONDS, rate=RATE)


def faulty(random: np.random.Generator) -> NDArray[np.float32]:
    """The machine with a whistle at 3 kHz in its second half."""
    sound = well(random)
    time = np.arange(len(sound)) / RATE
    whistle = 0.05 * np.sin(2 * np.pi * 3000 * time) * (time > SECONDS / 2)
    return (sound + whistle).astype(np.float32)


def written(folder: Path, name: str, sound: NDArray[np.float32]) -> Path:
    audio.write(folder / name, sound, RATE)
    return folder / name
