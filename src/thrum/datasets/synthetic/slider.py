"""A slide rail: a carriage goes to and fro on balls, driven by a screw, and stops at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.datasets.synthetic.faults import squeal
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import (
    Phase,
    Signal,
    crossings,
    decibels,
    hump,
    modal_response,
    periodic,
)

SERVO = np.float32(0.003)  # the hiss of the drive, at rest too
KNOCKS = 10  # of the carriage in its play, at each stop


@dataclass(frozen=True)
class Slider:
    """One slide rail.

    Parameters
    ----------
    stroke_seconds
        Time for one way at rated speed, with its rest at the end.
    rest_share
        Share of that time spent at rest.
    ramp_share
        Share of that time in which it speeds up, and again in which it slows down.
    screw_turns, balls
        Turns of the screw, and balls that enter the track, on one way.
    screw_db, ball_db
        Levels of their tones against the rolling noise.
    angles
        Of the harmonics of those tones.
    noise_hz, noise_octaves
        Centre and width of the rolling noise at rated speed.
    impact
        Height of the impacts at the ends.
    backlash
        How much the carriage rattles when it turns round, when new.
    defect_hz, quality
        The mode of the carriage that a damaged ball track excites.
    squeal_hz
        The mode at which a dry rail sticks and slips.
    """

    stroke_seconds: float
    rest_share: float
    ramp_share: float
    screw_turns: float
    balls: float
    screw_db: float
    ball_db: float
    angles: tuple[float, ...]
    noise_hz: float
    noise_octaves: float
    impact: float
    backlash: float
    defect_hz: float
    quality: float
    squeal_hz: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual slide rail."""
        return cls(
            stroke_seconds=random.uniform(0.9, 1.05),
            rest_share=random.uniform(0.12, 0.2),
            ramp_share=random.uniform(0.12, 0.22),
            screw_turns=random.uniform(19, 21),
            balls=random.uniform(85, 105),
            screw_db=random.uniform(-10, -4),
            ball_db=random.uniform(-10, -4),
            angles=tuple(random.random(24).tolist()),
            noise_hz=random.uniform(1200, 1900),
            noise_octaves=random.uniform(0.8, 1.2),
            impact=random.uniform(3, 6),
            backlash=random.uniform(0.5, 1.5),
            defect_hz=random.uniform(1800, 3800),
            quality=random.uniform(8, 16),
            squeal_hz=random.uniform(1100, 2600),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the rail, (S,) each."""
        speed, phase, stops = self._motion(run)
        whine = periodic(
            phase * self.screw_turns,
            (decibels(self.screw_db) * 0.75 ** np.arange(24)).tolist(),
            self.angles,
            highest=run.highest(2 * self.screw_turns / self.stroke_seconds),
        )
        passing = periodic(
            phase * self.balls,
            (decibels(self.ball_db) * 0.5 ** np.arange(6)).tolist(),
            self.angles,
            highest=run.highest(2 * self.balls / self.stroke_seconds),
        )
        centre = self.noise_hz * run.speed**0.5
        rolling = run.noise("rolling", lambda hz: hump(hz, centre, self.noise_octaves))
        weight = np.float32(0.7 + 0.5 * run.load)
        moving: Signal = weight * speed * (rolling + whine + passing) + SERVO * rolling
        dry: Signal = squeal(run, self.squeal_hz, np.sqrt(speed) * (1.3 - 0.5 * speed))
        structure = 0.7 * moving + self._ends(run, stops) + dry
        return 0.7 * moving + self._pitted(run, phase, speed) + 0.5 * dry, structure

    def _motion(self, run: Run) -> tuple[Signal, Phase, NDArray[np.float64]]:
        """Return the speed (S,), the way made (S,) in strokes, and the sample positions of the stops.

        The speed rises, holds and falls in straight lines, and rests until the next stroke.
        """
        stroke_seconds = self.stroke_seconds / run.speed
        start = 2 * run.random("motion").random()
        strokes = start + run.time() / stroke_seconds
        stop = 1 - self.rest_share
        corners = np.array([0, self.ramp_share, stop - self.ramp_share, stop, 1.0])
        grid = np.linspace(0, 1, 2001)
        profile = np.interp(grid, corners, [0.0, 1.0, 1.0, 0.0, 0.0])
        way = np.cumsum(profile) / np.sum(profile)
        within = strokes - np.floor(strokes)
        phase = np.floor(strokes) + np.interp(within, grid, way)
        stops = np.arange(np.ceil(strokes[-1]) + 1) + stop
        speed = (run.speed * np.interp(within, grid, profile)).astype(np.float32)
        return speed, phase, (stops - start) * stroke_seconds * run.sample_rate

    def _ends(self, run: Run, stops: NDArray[np.float64]) -> Signal:
        """Return the impacts (S,) at the ends of the strokes, with the rattle of the backlash."""
        random = run.random("ends")
        loose = run.amount("looseness")
        load = run.speed * (0.6 + 0.6 * run.load)
        heights = self.impact * load * random.lognormal(0, 0.1, len(stops))
        shape = (len(stops), KNOCKS)
        after = stops[:, None] + run.sample_rate * random.exponential(0.02 + 0.05 * loose, shape)
        rattle = (self.backlash + 6 * loose) * run.speed * random.random(shape)
        return run.impulses(stops, heights) + run.impulses(after, rattle)

    def _pitted(self, run: Run, phase: Phase, speed: Signal) -> Signal:
        """Return the impacts (S,) of balls on a pit of the track; silence where it is smooth."""
        amount = run.amount("bearing")
        if amount == 0:
            return run.nothing()
        random = run.random("bearing")
        at = crossings(phase * self.balls, random, jitter=0.02)
        heights = speed[at.astype(np.int64)] * random.lognormal(0, 0.3, len(at))
        ring = modal_response([self.defect_hz], [self.quality], [1.0], run.sample_rate)
        return np.float32(3 * amount) * run.filtered(run.impulses(at, heights), ring)
