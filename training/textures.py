"""Machines that no one built: sounds of random ingredients, so that a network hears more than five kinds.

Made of the simulator's own building blocks, and entered in its tables as the kind ``texture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from thrum.datasets.synthetic import FAULTS, KINDS
from thrum.datasets.synthetic.machine import QUALITIES
from thrum.datasets.synthetic.run import Run
from thrum.datasets.synthetic.signals import (
    Signal,
    crossings,
    decibels,
    hump,
    modal_response,
    periodic,
)

ORDERS = 64
CHANGES = {"level": 1.0, "modulation": 1.0, "shift": 1.0, "addition": 1.0}
"""What can befall a texture, and how strong it is at severity 1."""


@dataclass(frozen=True)
class Ingredient:
    """One sound that goes on.

    Parameters
    ----------
    form
        ``tones`` (harmonics of one rotation), ``noise`` (a band of it) or ``impacts`` (struck modes).
    hz
        Turns or blows per second; of a noise, the rate at which it swells.
    level_db
        Of the ingredient.
    wobble
        How well it keeps its speed, as a share of it.
    depth
        How deeply it swells once in `beat` turns.
    beat
        Turns.
    amplitudes, angles
        Of the orders of the tones.
    band_hz, octaves
        Of the noise.
    modes_hz, qualities
        Of what is struck.
    structural
        Whether it shakes the casing, or goes straight into the air.
    """

    form: str
    hz: float
    level_db: float
    wobble: float
    depth: float
    beat: float
    amplitudes: tuple[float, ...]
    angles: tuple[float, ...]
    band_hz: float
    octaves: float
    modes_hz: tuple[float, ...]
    qualities: tuple[float, ...]
    structural: bool

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw an ingredient."""
        form = str(random.choice(["tones", "noise", "impacts"]))
        low, high = {"tones": (12, 500), "noise": (0.7, 60), "impacts": (1, 60)}[form]
        orders = np.arange(1, ORDERS + 1)
        comb = 1 + 9 * random.random() * (orders % random.integers(1, 9) == 0)
        amplitudes = comb * orders ** -random.uniform(0, 1.5) * random.lognormal(0, 0.8, ORDERS)
        modes = int(random.integers(1, 9))
        return cls(
            form=form,
            hz=_log_uniform(random, low, high),
            level_db=random.uniform(-18, 0),
            wobble=_log_uniform(random, 5e-4, 2e-2),
            depth=random.uniform(0, 1) * (random.random() < 0.7),
            beat=_log_uniform(random, 0.25, 8),
            amplitudes=tuple((amplitudes / np.linalg.norm(amplitudes)).tolist()),
            angles=tuple(random.random(ORDERS).tolist()),
            band_hz=_log_uniform(random, 80, 7000),
            octaves=random.uniform(0.1, 2.0),
            modes_hz=tuple(_log_uniform(random, 150, 7500, modes).tolist()),
            qualities=tuple(_log_uniform(random, 4, 80, modes).tolist()),
            structural=bool(random.random() < 0.5),
        )

    def sound(self, run: Run, stream: str) -> Signal:
        """Return its sound (S,), of power about 1 at 0 dB."""
        shift = 1 + run.amount("shift") * 0.08
        hz = self.hz * run.speed * shift
        phase = run.rotation(hz, deviation=self.wobble)
        if self.form == "tones":
            sound = periodic(phase, self.amplitudes, self.angles, highest=run.highest(hz))
        elif self.form == "noise":
            band = self.band_hz * shift
            sound = run.noise(stream, lambda f: hump(f, band, self.octaves))
        else:
            random = run.random(stream)
            at = crossings(phase, random, jitter=min(10 * self.wobble, 0.2))
            struck = run.impulses(at, random.lognormal(0, 0.3, len(at)))
            ring = modal_response(
                self.modes_hz, self.qualities, [1.0] * len(self.modes_hz), run.sample_rate
            )
            sound = run.filtered(struck, ring)
        sound = sound / np.float32(np.sqrt(np.mean(sound * sound)) + 1e-9)
        depth = min(self.depth + 0.8 * run.amount("modulation"), 1.0)
        swell = 1 + depth * periodic(phase / self.beat, [0.8, 0.2], [0.0, 0.2], highest=2)
        return np.float32(decibels(self.level_db)) * swell * sound


@dataclass(frozen=True)
class Texture:
    """A few ingredients that sound together; of a failing one, some are changed or one is added.

    Parameters
    ----------
    ingredients
        Two to five.
    addition
        What is heard besides after an ``addition``.
    affected
        Which ingredients change.
    change_db
        By how much at severity 1 where the ``level`` changes.
    """

    ingredients: tuple[Ingredient, ...]
    addition: Ingredient
    affected: tuple[bool, ...]
    change_db: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Self:
        """Draw a texture."""
        count = int(random.integers(2, 6))
        affected = random.random(count) < 0.4
        affected[random.integers(count)] = True
        return cls(
            ingredients=tuple(Ingredient.draw(random) for _ in range(count)),
            addition=Ingredient.draw(random),
            affected=tuple(affected.tolist()),
            change_db=random.choice([-1, 1]) * random.uniform(5, 12),
        )

    def sound(self, run: Run) -> tuple[Signal, Signal]:
        """Return what the air carries and what shakes the casing, (S,) each."""
        sounds = {True: run.nothing(), False: run.nothing()}
        well = Run(run.samples, run.sample_rate, run.speed, run.load, {}, run.seed)
        for number, (ingredient, affected) in enumerate(
            zip(self.ingredients, self.affected, strict=True)
        ):
            # The load shifts the ingredients against each other, each in its own direction.
            level_db = (-1) ** number * 4 * (run.load - 0.6)
            if affected:
                level_db += run.amount("level") * self.change_db
            sound = ingredient.sound(run if affected else well, f"ingredient {number}")
            sounds[ingredient.structural] += np.float32(decibels(level_db)) * sound
        if amount := run.amount("addition"):
            sound = self.addition.sound(well, "addition")
            sounds[self.addition.structural] += np.float32(0.7 * amount) * sound
        return sounds[False], sounds[True]


def _log_uniform(random: np.random.Generator, low: float, high: float, size: Any = None) -> Any:
    return low * (high / low) ** random.random(size)


KINDS["texture"] = Texture
QUALITIES["texture"] = 18.0
FAULTS["texture"] = CHANGES  # type: ignore[index]
