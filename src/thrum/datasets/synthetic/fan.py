"""A fan: blade-pass tones and turbulence in the air, a motor and a shaft in the casing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.shaft import Bearing, rattling, unbalanced
from thrum.datasets.synthetic.signals import (
    Phase,
    Signal,
    decibels,
    falling,
    hump,
    periodic,
)

ORDERS = 96


@dataclass(frozen=True)
class Fan:
    """One fan.

    Parameters
    ----------
    rated_hz
        Turns per second at rated speed.
    slip
        Share of the speed lost at full load.
    blades
        Their number: the blade-pass frequency is `blades` times the speed.
    blade_decay_db
        How much each blade-pass harmonic is below the former.
    amplitudes, angles
        Of the other orders of the shaft, from the uneven spacing and pitch of the blades.
    tone_db
        Level of the tones against the turbulence.
    turbulence_order
        Peak of the turbulence, in multiples of the blade-pass frequency (a Strouhal number).
    residual
        Imbalance when new.
    hum_db
        Level of the motor's hum.
    bearing
        The motor's.
    """

    rated_hz: float
    slip: float
    blades: int
    blade_decay_db: float
    amplitudes: tuple[float, ...]
    angles: tuple[float, ...]
    tone_db: float
    turbulence_order: float
    residual: float
    hum_db: float
    bearing: Bearing

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual fan."""
        uneven = decibels(random.uniform(-28, -20)) * random.lognormal(0, 0.6, ORDERS)
        return cls(
            rated_hz=random.uniform(24.0, 24.8),
            slip=random.uniform(0.02, 0.05),
            blades=int(random.choice([6, 7, 8])),
            blade_decay_db=random.uniform(5, 9),
            amplitudes=tuple((uneven * np.arange(1, ORDERS + 1) ** -0.3).tolist()),
            angles=tuple(random.random(ORDERS).tolist()),
            tone_db=random.uniform(-2, 4),
            turbulence_order=random.uniform(2.0, 4.0),
            residual=random.uniform(0.05, 0.2),
            hum_db=random.uniform(-22, -14),
            bearing=Bearing.draw(random),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the casing, (S,) each."""
        clogging = run.amount("clogging")
        # A throttled fan moves less air, so its motor is relieved and it turns faster.
        hz = self.rated_hz * run.speed * (1 - self.slip * run.load * (1 - 0.6 * min(clogging, 1)))
        phase = run.rotation(hz)
        force, modulation = unbalanced(run, phase, residual=self.residual)
        tones = self._tones(run, phase, hz, stall=clogging)
        flow = self._turbulence(run, hz, stall=clogging)
        blades = periodic(phase * self.blades, [0.2], [0.0], highest=1)
        air = run.speed**2.5 * modulation * (tones + (1 + blades) * flow)
        hum = periodic(
            run.time() * 100.0,
            [1.0, 0.4, 0.25, 0.1],
            [0.0, 0.2, 0.4, 0.1],
            highest=run.highest(100.0),
        )
        structure = 0.6 * air + force + decibels(self.hum_db) * hum + rattling(run, phase)
        return air + self.bearing.sound(run, phase), structure

    def _tones(self, run: Run, phase: Phase, hz: float, *, stall: float) -> Signal:
        amplitudes = np.asarray(self.amplitudes)
        harmonics = np.arange(ORDERS // self.blades)
        level = self.tone_db + 3 * (run.load - 0.6) + 5 * stall - self.blade_decay_db * harmonics
        amplitudes[(harmonics + 1) * self.blades - 1] = 10 ** (level / 20)
        return periodic(phase, amplitudes.tolist(), self.angles, highest=run.highest(hz))

    def _turbulence(self, run: Run, hz: float, *, stall: float) -> Signal:
        peak = self.turbulence_order * self.blades * hz * (1 + 0.25 * (run.load - 0.6))
        noise = run.noise(
            "turbulence",
            lambda f: hump(f, peak, 1.3) + 0.15 * falling(f, 2 * peak, 5.0),
        )
        if stall == 0:
            return noise
        # Rotating stall: cells of separated flow go round at about half the speed and rumble.
        rumble = run.noise("stall", lambda f: hump(f, 5 * hz, 0.8))
        cells = periodic(run.rotation(0.45 * hz), [0.7, 0.3], [0.0, 0.2], highest=2)
        return noise + np.float32(stall) * (1 + cells) * rumble
