"""A centrifugal pump: shaft and vane-pass tones, flow noise, and cavitation away from the best point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from thrum.datasets.synthetic.faults import leak
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.shaft import Bearing, rattling, unbalanced
from thrum.datasets.synthetic.signals import (
    Signal,
    bursts,
    decibels,
    falling,
    hump,
    periodic,
)

ORDERS = 48


@dataclass(frozen=True)
class Pump:
    """One pump.

    Parameters
    ----------
    rated_hz
        Turns per second at rated speed.
    slip
        Share of the speed lost at full load.
    vanes
        Of the impeller.
    best_load
        The load at which the flow meets the vanes best; away from it the pump cavitates.
    tone_db
        Level of the vane-pass tone against the flow noise.
    vane_decay_db
        How much each of its harmonics is below the former.
    amplitudes, angles
        Of the other orders of the shaft.
    flow_hz, flow_octaves
        Centre and width of the flow noise at rated speed.
    cavitation
        Amplitude of the cavitation of a pump in order.
    residual
        Imbalance when new.
    bearing
        The shaft's.
    """

    rated_hz: float
    slip: float
    vanes: int
    best_load: float
    tone_db: float
    vane_decay_db: float
    amplitudes: tuple[float, ...]
    angles: tuple[float, ...]
    flow_hz: float
    flow_octaves: float
    cavitation: float
    residual: float
    bearing: Bearing

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual pump."""
        uneven = decibels(random.uniform(-20, -12)) * random.lognormal(0, 0.6, ORDERS)
        return cls(
            rated_hz=random.uniform(47.5, 49.0),
            slip=random.uniform(0.015, 0.04),
            vanes=int(random.choice([5, 6, 7])),
            best_load=random.uniform(0.55, 0.7),
            tone_db=random.uniform(-4, 2),
            vane_decay_db=random.uniform(3, 7),
            amplitudes=tuple((uneven * np.arange(1, ORDERS + 1) ** -0.4).tolist()),
            angles=tuple(random.random(ORDERS).tolist()),
            flow_hz=random.uniform(600, 1100),
            flow_octaves=random.uniform(0.9, 1.3),
            cavitation=random.uniform(0.05, 0.4),
            residual=random.uniform(0.05, 0.2),
            bearing=Bearing.draw(random),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the casing, (S,) each."""
        hz = self.rated_hz * run.speed * (1 - self.slip * run.load)
        phase = run.rotation(hz)
        force, modulation = unbalanced(run, phase, residual=self.residual)
        amplitudes = np.asarray(self.amplitudes)
        harmonics = np.arange(ORDERS // self.vanes)
        level = self.tone_db + 4 * (run.load - 0.6) - self.vane_decay_db * harmonics
        amplitudes[(harmonics + 1) * self.vanes - 1] = 10 ** (level / 20)
        tones = periodic(phase, amplitudes.tolist(), self.angles, highest=run.highest(hz))
        clogging = run.amount("clogging")
        centre = self.flow_hz * run.speed * (1 - 0.25 * min(clogging, 1.2))
        flow = run.noise(
            "flow", lambda f: hump(f, centre, self.flow_octaves) + 0.1 * falling(f, 300, 6.0)
        )
        if clogging:
            # A starved inlet: the flow surges a few times a second and the vanes beat harder.
            surge = periodic(run.time() * 3.1, [1.0, 0.4], [0.0, 0.3], highest=2)
            flow = flow * (1 + np.float32(0.6 * min(clogging, 1)) * surge)
            tones = tones * np.float32(1 + 0.6 * clogging)
        cavitation = self._cavitation(run, clogging)
        structure = run.speed**2 * modulation * (tones + 0.8 * flow) + force
        structure = structure + cavitation + rattling(run, phase)
        air = 0.3 * flow + 0.5 * cavitation + self.bearing.sound(run, phase) + leak(run)
        return air, structure

    def _cavitation(self, run: Run, clogging: float) -> Signal:
        """Return bursts of collapsing bubbles (S,): broadband crackle, the more the worse the inflow."""
        distance = abs(run.load - self.best_load) + 0.5 * clogging
        random = run.random("cavitation")
        crackle = run.noise("crackle", lambda f: hump(f, 4500, 0.9))
        envelope = bursts(
            random, run.samples, run.sample_rate, per_second=4 + 40 * distance, seconds=0.02
        )
        return np.float32((self.cavitation + 0.4 * clogging) * run.speed) * envelope * crackle
