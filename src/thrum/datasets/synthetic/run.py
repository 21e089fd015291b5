"""One machine at work for the length of a clip: how fast, how loaded, what is wrong with it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.datasets.synthetic.signals import (
    Phase,
    Signal,
    coloured,
    drift,
    filtered,
    impulses,
    turns,
)


@dataclass(frozen=True)
class Run:
    """What a mechanism needs to know to make its sound.

    Parameters
    ----------
    samples, sample_rate
        How long, and at which rate.
    speed, load
        As a share of the rated speed and load.
    amounts
        For each fault present, severity times its strength in `faults.FAULTS`.
    seed
        Decides everything random.
    """

    samples: int
    sample_rate: int
    speed: float
    load: float
    amounts: Mapping[str, float]
    seed: int

    def amount(self, fault: str) -> float:
        """Return how much of a fault there is, 0 where there is none."""
        return self.amounts.get(fault, 0.0)

    def random(self, stream: str) -> np.random.Generator:
        """Return the generator of one named cause.

        Each cause has its own, so that a fault changes what it causes and no other draw: the same seed
        with and without a fault gives one performance of the machine, well and ill.
        """
        return np.random.default_rng([self.seed, zlib.crc32(stream.encode())])

    def highest(self, frequency_hz: float) -> int:
        """Return the last harmonic of a frequency that may sound."""
        return int(0.45 * self.sample_rate / frequency_hz)

    def time(self) -> NDArray[np.float64]:
        """Return the time (S,) of each sample in seconds."""
        return np.arange(self.samples) / self.sample_rate

    def rotation(self, frequency_hz: float, *, deviation: float = 0.002) -> Phase:
        """Return the phase (S,) of a rotation that keeps its speed as well as a real drive does."""
        random = self.random("rotation")
        wobble = drift(random, self.samples, self.sample_rate, hz=2.0, deviation=deviation)
        return turns(frequency_hz * (1 + wobble), self.sample_rate, start=random.random())

    def noise(self, stream: str, gain: Callable[[Signal], Signal]) -> Signal:
        """Return noise (S,) of power 1 from the generator `stream`, its spectrum shaped by `gain`."""
        return coloured(self.random(stream), self.samples, self.sample_rate, gain)

    def impulses(
        self, at: NDArray[np.floating[Any]], heights: NDArray[np.floating[Any]] | float
    ) -> Signal:
        """Return impulses (S,) at sample positions, of any shape."""
        heights = np.broadcast_to(heights, at.shape)
        return impulses(at.ravel(), heights.ravel(), self.samples, self.sample_rate)

    def filtered(self, signal: Signal, response: NDArray[np.floating[Any]]) -> Signal:
        """Return a signal (S,) through an impulse response."""
        return filtered(signal, response, self.sample_rate)

    def nothing(self) -> Signal:
        """Return silence (S,)."""
        return np.zeros(self.samples, dtype=np.float32)
