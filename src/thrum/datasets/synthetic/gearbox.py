"""A gearbox of one stage: mesh tones with the sidebands of both shafts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from thrum.datasets.synthetic.faults import squeal
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.shaft import Bearing, rattling, unbalanced
from thrum.datasets.synthetic.signals import (
    Phase,
    Signal,
    crossings,
    decibels,
    falling,
    hump,
    periodic,
)

MESH_HARMONICS = 6


@dataclass(frozen=True)
class Gearbox:
    """One gearbox.

    Parameters
    ----------
    rated_hz
        Turns per second of the input shaft at rated speed.
    slip
        Of the motor: share of the speed lost at full load.
    pinion_teeth, wheel_teeth
        The mesh frequency is `pinion_teeth` times the speed of the input shaft.
    mesh_db, angles
        Level and angle of each harmonic of the mesh.
    pinion_runout, wheel_runout
        How much the eccentricity of either gear modulates the mesh once a turn.
    noise_db
        Level of the noise of the sliding teeth.
    noise_hz
        Its centre.
    squeal_hz
        The mode at which dry teeth stick and slip.
    residual
        Imbalance when new.
    bearing
        The input shaft's.
    """

    rated_hz: float
    slip: float
    pinion_teeth: int
    wheel_teeth: int
    mesh_db: tuple[float, ...]
    angles: tuple[float, ...]
    pinion_runout: float
    wheel_runout: float
    noise_db: float
    noise_hz: float
    squeal_hz: float
    residual: float
    bearing: Bearing

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual gearbox."""
        steps = -random.uniform(2, 6) * np.arange(MESH_HARMONICS)
        return cls(
            rated_hz=random.uniform(24.0, 24.8),
            slip=random.uniform(0.02, 0.05),
            pinion_teeth=int(random.choice([19, 20, 21, 23])),
            wheel_teeth=int(random.choice([51, 53, 57, 61])),
            mesh_db=tuple((steps + random.normal(0, 2.5, MESH_HARMONICS)).tolist()),
            angles=tuple(random.random(MESH_HARMONICS).tolist()),
            pinion_runout=random.uniform(0.05, 0.25),
            wheel_runout=random.uniform(0.05, 0.25),
            noise_db=random.uniform(-8, -2),
            noise_hz=random.uniform(1300, 2200),
            squeal_hz=random.uniform(1800, 3400),
            residual=random.uniform(0.05, 0.2),
            bearing=Bearing.draw(random),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the casing, (S,) each."""
        hz = self.rated_hz * run.speed * (1 - self.slip * run.load)
        phase = run.rotation(hz)
        force, modulation = unbalanced(run, phase, residual=self.residual)
        mesh, struck = self._mesh(run, phase, hz)
        sliding = run.noise(
            "sliding", lambda f: hump(f, self.noise_hz, 1.1) + 0.15 * falling(f, 400, 6.0)
        )
        contact = 1 + 0.4 * periodic(phase * self.pinion_teeth, [1.0], [0.0], highest=1)
        friction = decibels(self.noise_db) * sliding * contact
        # Torque carries the mesh, and even an idle gearbox turns its own weight.
        teeth = run.speed * (0.4 + run.load) * modulation * (mesh + friction)
        dry = squeal(run, self.squeal_hz, contact * run.speed)
        structure = teeth + force + struck + rattling(run, phase) + dry
        return 0.3 * teeth + self.bearing.sound(run, phase) + 0.3 * dry, structure

    def _mesh(self, run: Run, phase: Phase, hz: float) -> tuple[Signal, Signal]:
        """Return the mesh tone (S,) and the shocks (S,) of a damaged tooth of the pinion.

        Either gear's runout modulates the mesh in amplitude and phase, which puts sidebands at its speed
        around each harmonic (Randall, 1982). A cracked tooth gives way once a turn for the time that it
        is in mesh, which makes the sidebands many and strong, and the next tooth strikes (McFadden, 1986).
        """
        defect = run.amount("tooth_defect")
        wheel = phase * (self.pinion_teeth / self.wheel_teeth)
        pinion_wave = periodic(phase, [1.0], [0.0], highest=1)
        wheel_wave = periodic(wheel, [1.0], [0.3], highest=1)
        angle = phase - np.round(phase)  # (S,), from -0.5 to 0.5 turns
        in_mesh = np.exp(-0.5 * (angle * self.pinion_teeth / 0.7) ** 2).astype(np.float32)
        bent = 0.004 * self.pinion_runout * pinion_wave - min(defect, 1.5) * 0.012 * in_mesh
        tone = periodic(
            (phase + bent) * self.pinion_teeth,
            [decibels(level) for level in self.mesh_db],
            self.angles,
            highest=run.highest(hz * self.pinion_teeth),
        )
        swell = 1 + self.pinion_runout * pinion_wave + self.wheel_runout * wheel_wave
        mesh = tone * (swell + np.float32(1.2 * defect) * in_mesh)
        if defect == 0:
            return mesh, run.nothing()
        random = run.random("tooth_defect")
        at = crossings(phase, random, jitter=0.0)
        heights = random.lognormal(0, 0.15, len(at)) * run.speed * (0.4 + run.load)
        return mesh, run.impulses(at, 25 * defect * heights)
