"""A solenoid valve: it opens and shuts by a pattern, each time with an impact that rings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.datasets.synthetic.faults import leak, squeal
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import (
    REFERENCE_RATE,
    Signal,
    decibels,
    falling,
    hump,
    periodic,
)

BOUNCES = 5
AT_REST = 0.03  # share of its hum that a coil keeps while the valve is shut


@dataclass(frozen=True)
class Valve:
    """One valve.

    Parameters
    ----------
    period_seconds
        From one opening to the next at rated speed.
    open_share
        Share of the period in which it is open.
    shut_ratio
        Height of the shutting impact over that of the opening one.
    contact_seconds
        How long plunger and seat touch; the shorter, the higher the impact sounds.
    restitution
        Speed after a bounce over speed before it.
    flight_seconds
        Time to the first bounce.
    jitter_seconds
        Of the impacts of a valve in order.
    hum_db, flow_db
        Levels of the coil's hum and of the flow while open, against impacts of height 1.
    flow_hz
        Centre of the flow noise.
    squeal_hz
        The mode at which a dry plunger sticks and slips.
    """

    period_seconds: float
    open_share: float
    shut_ratio: float
    contact_seconds: float
    restitution: float
    flight_seconds: float
    jitter_seconds: float
    hum_db: float
    flow_db: float
    flow_hz: float
    squeal_hz: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual valve."""
        return cls(
            period_seconds=random.uniform(0.75, 0.9),
            open_share=random.uniform(0.35, 0.5),
            shut_ratio=random.uniform(0.5, 0.9),
            contact_seconds=random.uniform(2.0e-4, 4.0e-4),
            restitution=random.uniform(0.25, 0.45),
            flight_seconds=random.uniform(0.012, 0.025),
            jitter_seconds=random.uniform(0.001, 0.003),
            hum_db=random.uniform(-50, -44),
            flow_db=random.uniform(-45, -39),
            flow_hz=random.uniform(1800, 3000),
            squeal_hz=random.uniform(2400, 3800),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the body, (S,) each."""
        opening, shutting = self._times(run)
        at_samples = np.concatenate([opening, shutting]) * run.sample_rate
        heights = np.concatenate(
            [np.full(len(opening), 1.0), np.full(len(shutting), self.shut_ratio)]
        )
        clogging = run.amount("clogging")
        heights = heights * (0.6 + 0.4 * run.load) / (1 + 0.8 * clogging)
        random = run.random("impacts")
        heights = heights * random.lognormal(0, 0.08, len(heights))
        struck = self._bouncing(run, at_samples, heights)
        is_open = self._open(run, opening, shutting)
        hum = periodic(
            run.time() * 100.0,
            [1.0, 0.5, 0.35, 0.2],
            [0.0, 0.1, 0.2, 0.3],
            highest=run.highest(100.0),
        )
        centre = self.flow_hz * (1 + 0.5 * clogging)  # dirt narrows the passage
        flow = run.noise("flow", lambda f: hump(f, centre, 0.8) + 0.1 * falling(f, 500, 6.0))
        flow_level = decibels(self.flow_db + 8 * (run.load - 0.6)) * (1 + 2.5 * clogging)
        air = flow_level * is_open * flow + run.load * (1 - is_open) * leak(run)
        scrape = self._scrape(run, at_samples)
        structure = struck + decibels(self.hum_db) * (AT_REST + is_open) * hum + scrape
        return air, structure

    def _times(self, run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the seconds at which the valve opens and shuts."""
        random = run.random("times")
        period = self.period_seconds / run.speed
        count = int(run.samples / run.sample_rate / period) + 2
        start = (np.arange(count) - random.random()) * period
        # Dirt and dry guides hold the plunger back, each time for another while.
        held = 0.02 * run.amount("clogging") + 0.05 * run.amount("friction")
        late = held * random.exponential(1.0, (2, count))
        early = self.jitter_seconds * random.standard_normal((2, count))
        opening = start + early[0] + late[0]
        return opening, start + self.open_share * period + early[1] + late[1]

    def _bouncing(self, run: Run, at: NDArray[np.float64], heights: NDArray[np.float64]) -> Signal:
        """Return the impacts (S,) with their bounces: each lower and sooner by the restitution."""
        loose = run.amount("looseness")
        restitution = min(self.restitution + 0.35 * loose, 0.85)
        powers = restitution ** np.arange(BOUNCES)  # (N,)
        delays = np.concatenate([[0.0], np.cumsum(powers[:-1])]) * self.flight_seconds
        at = at[:, None] + delays * run.sample_rate  # (I, N)
        train = run.impulses(at, heights[:, None] * powers)
        if loose:
            random = run.random("looseness")
            knocks = 8  # of a loose part, while the shock dies away
            after = at[:, :1] + random.exponential(0.03, (len(at), knocks)) * run.sample_rate
            size = heights[:, None] * random.random((len(at), knocks)) * 0.5 * loose
            train = train + run.impulses(after, size)
        points = max(2, round(self.contact_seconds * run.sample_rate))
        pulse = np.sin(np.pi * (np.arange(points) + 0.5) / points)
        return run.filtered(train, pulse / pulse.sum() * (run.sample_rate / REFERENCE_RATE))

    def _open(
        self, run: Run, opening: NDArray[np.float64], shutting: NDArray[np.float64]
    ) -> Signal:
        """Return 1 while open and 0 while shut (S,), with slopes of 4 ms."""
        edges = np.stack([opening, opening + 4e-3, shutting, shutting + 4e-3], axis=1).ravel()
        levels = np.tile([0.0, 1.0, 1.0, 0.0], len(opening))
        is_open: Signal = np.interp(run.time(), np.maximum.accumulate(edges), levels).astype(
            np.float32
        )
        return is_open

    def _scrape(self, run: Run, at: NDArray[np.float64]) -> Signal:
        """Return the sound (S,) of a dry plunger for the 60 ms before each impact."""
        if run.amount("friction") == 0:
            return run.nothing()
        seconds = np.arange(int(0.06 * run.sample_rate))
        travel = np.sin(np.pi * seconds / len(seconds))
        contact = run.filtered(run.impulses(at - len(seconds), 1.0), travel)
        return squeal(run, self.squeal_hz, contact)
