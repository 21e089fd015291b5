"""Monitors of small runs, exported, and sound to judge by both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import machines
from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.monitoring import Monitor, open_monitor
from thrum.monitoring.opening import prepare_monitors
from thrum.systems import create_system
from thrum.systems.base import SYSTEMS

SECONDS = 4.0
RATE = 16000


def dataset(folder: Path, *, clips: int = 20, seconds: float = SECONDS) -> Path:
    return machines.write_sound(
        folder, machines=2, clips=clips, seconds=seconds, rate=RATE, anomalies=0
    )


def monitor(data: Path, run: Path, system: str, config: Mapping[str, Any]) -> Monitor:
    """Train a system quickly; return the monitor of the first machine."""
    clips = list(open_dataset(data).where(split="train"))
    made = create_system(system, SYSTEMS.load(system).Config(**config), device="cpu")
    back = clips[::2] if made.wants_held_out else clips
    made.fit(clips[1::2] if made.wants_held_out else clips)
    if made.wants_held_out:
        made.calibrate(back)
    made.save(run)
    write_takings(run, takings_of(clips))
    prepare_monitors(run, made, back, when="then", who="tests")
    return open_monitor(run, "/".join(clips[0].machine_key), device="cpu")


def sounds() -> list[NDArray[np.float32]]:
    """Return well and faulty clips, a quiet one, a far too quiet one, silence, and a long one."""
    random = np.random.default_rng(7)
    well = [machines.tone(random, 110, seconds=SECONDS, rate=RATE) for _ in range(4)]
    ill = [machines.tone(random, 137, seconds=SECONDS, rate=RATE) for _ in range(2)]
    odd = [well[0] * 0.5, well[1] * 0.01, well[2] * 0, np.tile(well[3], 2)]
    return [np.asarray(sound, np.float32) for sound in [*well, *ill, *odd]]
