"""An individual machine: its mechanism and the casing around it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from thrum.datasets.synthetic.fan import Fan
from thrum.datasets.synthetic.gearbox import Gearbox
from thrum.datasets.synthetic.pump import Pump
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import REFERENCE_RATE, Signal, modal_response
from thrum.datasets.synthetic.slider import Slider
from thrum.datasets.synthetic.valve import Valve
from thrum.errors import ConfigError


class Mechanism(Protocol):
    """What moves in a machine."""

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an individual."""
        ...

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the casing, (S,) each."""
        ...


KINDS: dict[str, type[Mechanism]] = {
    "fan": Fan,
    "gearbox": Gearbox,
    "pump": Pump,
    "slider": Slider,
    "valve": Valve,
}

MODES = 24
MODES_HZ = (160.0, 7600.0)
QUALITIES = {"fan": 14.0, "gearbox": 18.0, "pump": 14.0, "slider": 20.0, "valve": 45.0}
"""Thin sheet and oil damp; a small solid body rings."""
FREQUENCY_TOLERANCE = 0.03
GAIN_TOLERANCE_DB = 2.5
"""How far the casings of one product differ (standard deviations)."""


@dataclass(frozen=True)
class Casing:
    """The modes of vibration through which a machine's forces become sound.

    Parameters
    ----------
    frequencies_hz, qualities, gains
        Of each mode. Together the modes pass white noise on with its power.
    """

    frequencies_hz: tuple[float, ...]
    qualities: tuple[float, ...]
    gains: tuple[float, ...]

    def response(self, sample_rate: int, *, looseness: float) -> Signal:
        """Return the impulse response (N,); what is loose is less stiff and rubs: lower, wider modes."""
        shift = 1 - 0.06 * min(looseness, 1.5)
        damping = 1 + 0.5 * min(looseness, 1.5)
        return modal_response(
            [shift * f for f in self.frequencies_hz],
            [q / damping for q in self.qualities],
            self.gains,
            sample_rate,
        )


@dataclass(frozen=True)
class Machine:
    """One machine of a kind.

    Parameters
    ----------
    kind
        The machine type, for instance ``fan``.
    index
        Which individual.
    mechanism
        What moves.
    casing
        What is shaken.
    """

    kind: str
    index: int
    mechanism: Mechanism
    casing: Casing


def draw_machine(kind: str, index: int, *, seed: int) -> Machine:
    """Return individual `index` of a kind in the world of a seed.

    Individuals of one kind are one product: the modes of their casings lie around the same frequencies,
    and differ by what castings and screws differ.

    Raises
    ------
    ConfigError
        Where there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"no kind of machine is called {kind!r}; wanted one of: {', '.join(KINDS)}"
        )
    name = zlib.crc32(kind.encode())
    design, random = np.random.default_rng([seed, name]), np.random.default_rng([seed, name, index])
    low, high = MODES_HZ
    frequencies = low * (high / low) ** ((np.arange(MODES) + design.random(MODES)) / MODES)
    levels_db = design.normal(0, 3, MODES) - np.log2(frequencies / low)
    frequencies = frequencies * np.exp(random.normal(0, FREQUENCY_TOLERANCE, MODES))
    qualities = QUALITIES[kind] * random.lognormal(0, 0.25, MODES)
    levels_db = levels_db + random.normal(0, GAIN_TOLERANCE_DB, MODES)
    # A decaying cosine of height g holds the energy g² Q / 4πf; the shares are set, and sum to one.
    shares = 10 ** (levels_db / 10) / np.sum(10 ** (levels_db / 10))
    gains = np.sqrt(shares * 4 * np.pi * frequencies / qualities / REFERENCE_RATE)
    casing = Casing(tuple(frequencies.tolist()), tuple(qualities.tolist()), tuple(gains.tolist()))
    return Machine(kind, index, KINDS[kind].draw(random), casing)
