"""A turning shaft on its bearings, and what can be wrong with it: imbalance, looseness, bearing damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import (
    Phase,
    Signal,
    crossings,
    hump,
    modal_response,
    periodic,
)


@dataclass(frozen=True)
class Bearing:
    """A ball bearing with one damaged spot in waiting.

    Parameters
    ----------
    balls
        n.
    diameter_ratio
        Ball diameter over pitch diameter, d/D; the contact angle is taken as 0.
    inner
        Whether the spot is on the inner race, which turns with the shaft, or on the outer one.
    resonance_hz, quality
        The mode of the housing that an impact on the spot excites.
    roughness
        The amplitude of the noise of a healthy bearing.
    """

    balls: int
    diameter_ratio: float
    inner: bool
    resonance_hz: float
    quality: float
    roughness: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw a bearing of the sizes found in small machines."""
        return cls(
            balls=int(random.integers(7, 10)),
            diameter_ratio=random.uniform(0.22, 0.3),
            inner=bool(random.random() < 0.5),
            resonance_hz=random.uniform(2000, 4500),
            quality=random.uniform(8, 16),
            roughness=random.uniform(0.03, 0.3),
        )

    @property
    def defect_order(self) -> float:
        """Impacts per turn: n/2 · (1 ∓ d/D), minus for the outer race (McFadden & Smith, 1984)."""
        sign = 1 if self.inner else -1
        return self.balls / 2 * (1 + sign * self.diameter_ratio)

    def sound(self, run: Run, phase: Phase) -> Signal:
        """Return what the housing radiates (S,): rolling noise, and impacts where a race is damaged."""
        rolling = run.noise("rolling", lambda hz: hump(hz, self.resonance_hz, 0.35))
        sound = np.float32(self.roughness * run.speed) * rolling
        amount = run.amount("bearing")
        if amount == 0:
            return sound
        random = run.random("bearing")
        at = crossings(phase * self.defect_order, random, jitter=0.01)
        heights = random.lognormal(0.0, 0.25, len(at))
        if self.inner:
            # The spot passes through the load zone once a turn: q(θ) = (1 - (1 - cos θ)/2ε)^(3/2), ε = 0.4
            angle = 2 * np.pi * np.interp(at, np.arange(run.samples), phase)
            heights *= np.maximum(1 - (1 - np.cos(angle)) / 0.8, 0) ** 1.5 * 1.8
        ring = modal_response([self.resonance_hz], [self.quality], [1.0], run.sample_rate)
        return sound + np.float32(3 * amount * run.speed) * run.filtered(
            run.impulses(at, heights), ring
        )


def unbalanced(run: Run, phase: Phase, *, residual: float) -> tuple[Signal, Signal]:
    """Return the force of an unbalanced rotor, and the factor by which it modulates all else.

    The force is m e ω², so it grows with the square of the speed; the shaft's orbit opens and closes gaps
    once a turn, which modulates flow and contact sounds.

    Parameters
    ----------
    residual
        The imbalance that even a well rotor has, as a share of a severe one.
    """
    amount = residual + run.amount("imbalance")
    highest = run.highest(float(phase[-1] - phase[0]) / run.samples * run.sample_rate)
    once = periodic(phase, [0.8, 0.15, 0.05], [0.0, 0.1, 0.3], highest=highest)
    depth = np.float32(min(0.9 * amount, 1.0))
    return np.float32(2.5 * amount * run.speed**2) * once, 1 + depth * once


def rattling(run: Run, phase: Phase) -> Signal:
    """Return the forces (S,) of a foot or a fit that has come loose; silence where all is tight.

    The part lifts and falls back every other turn, so that the wave repeats every two turns and is cut
    off on one side: half orders and many harmonics of the speed. Where it falls back it knocks.
    """
    amount = run.amount("looseness")
    if amount == 0:
        return run.nothing()
    random = run.random("looseness")
    orders = np.arange(1, 25)  # of half the speed
    wave = periodic(phase / 2, (orders**-0.7).tolist(), random.random(24).tolist(), highest=24)
    at = crossings(phase, random, jitter=0.04)
    knocks = np.abs(random.standard_normal(len(at))) * (random.random(len(at)) < 0.7)
    return np.float32(amount) * (0.5 * wave + 12 * run.impulses(at, knocks))
