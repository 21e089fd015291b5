"""Simulated machines that play live, well or with a fault that grows: for the demonstration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from thrum.datasets.synthetic import Condition, draw_machine, simulate
from thrum.service.config import InputSettings
from thrum.service.inputs.base import Input
from thrum.service.intake import Intake

CONDITIONS = ((70, 60), (80, 60), (90, 60))
"""Speed and load in percent that a machine is run at, in the demonstration and where it was learnt."""
RATE = 16000


@dataclass(frozen=True)
class SimulatedSettings(InputSettings):
    """An input of the demonstration; no file of settings can ask for one."""

    kind: Literal["simulated"] = "simulated"  # type: ignore[assignment]


@dataclass(frozen=True)
class Playing:
    """What a simulated machine plays.

    Parameters
    ----------
    kind, index
        As of `draw_machine`.
    fault
        What goes wrong; None where nothing does.
    begins_seconds, grown_seconds
        When it begins, and when it is due for repair, in simulated time.
    clip_seconds
        How long a clip is, in simulated time.
    acceleration
        How many times as fast as life.
    """

    kind: str
    index: int
    fault: str | None = None
    begins_seconds: float = 120.0
    grown_seconds: float = 480.0
    clip_seconds: float = 10.0
    acceleration: float = 5.0

    def severity(self, seconds: float) -> float:
        """Return how bad the fault is after so much simulated time."""
        if self.fault is None:
            return 0.0
        grown = (seconds - self.begins_seconds) / (self.grown_seconds - self.begins_seconds)
        return float(np.clip(grown, 0.0, 1.0))


class Simulated(Input):
    """Plays a machine, clip after clip."""

    def __init__(
        self,
        settings: InputSettings,
        intake: Intake,
        playing: Playing,
        *,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, intake)
        self.playing = playing
        self.machine = draw_machine(playing.kind, playing.index, seed=seed)
        self.clock = clock
        self._random = np.random.default_rng([seed, playing.index, hash_of(playing.kind), 1])
        self.number = 0

    def listen(self) -> None:
        """Play a clip whenever it is its time."""
        every = self.playing.clip_seconds / self.playing.acceleration
        begun = self.clock()
        while not self.ended.is_set():
            late = self.clock() - begun - self.number * every
            if late < 0:
                self.ended.wait(-late)
                continue
            self.play()

    def play(self) -> None:
        """Play the next clip."""
        playing = self.playing
        speed, load = CONDITIONS[int(self._random.integers(len(CONDITIONS)))]
        severity = playing.severity(self.number * playing.clip_seconds)
        samples = simulate(
            self.machine,
            Condition(speed, load),
            fault=playing.fault if severity > 0 else None,
            severity=severity,
            seed=int(self._random.integers(2**62)),
            duration_seconds=playing.clip_seconds,
            sample_rate=RATE,
        )
        self.number += 1
        started = self.intake.now() - playing.clip_seconds / playing.acceleration
        self.intake.window(self.settings, samples, RATE, started)
        self.heard()


def hash_of(kind: str) -> int:
    """Return a number for a name, the same in every process."""
    import zlib

    return zlib.crc32(kind.encode())
