"""Invented clips for attacks: a planted leak, or nothing but noise."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.material import CELL_SECONDS, Material, Sample

BANDS, DIMENSIONS, CELLS, FRAMES = 12, 16, 10, 8
KINDS = ("fan", "pump")
Draw = Callable[..., NDArray[np.float64]]


def material(*, leaky: bool, individuals: int = 9, clips: int = 12, seed: int = 0) -> Material:
    """Return clips of machines: with a leak, embeddings are linear in what is known; else noise."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(BANDS + 3, DIMENSIONS))
    samples = []
    for kind_number, kind in enumerate(KINDS):
        colour = 3 * random.normal(size=BANDS)
        for individual in range(individuals):
            own = random.normal(size=BANDS)
            for number in range(clips):
                split = "test" if number % 3 == 2 else "train"
                ill = split == "test" and number % 2 == 1
                samples.append(
                    _sample(
                        random,
                        mixing,
                        (kind, f"id_{individual:02d}"),
                        kind_number,
                        colour + own,
                        split,
                        ill,
                        leaky,
                    )
                )
    return Material(samples)


def _sample(random, mixing, key, kind, colour, split, ill, leaky) -> Sample:  # type: ignore[no-untyped-def]
    speed, load = random.choice([60.0, 80.0]), random.choice([40.0, 80.0])
    active = random.random(CELLS) < 0.5
    levels = colour + random.normal(size=(CELLS, BANDS)) + 2 * active[:, None]
    at = np.linspace(0, CELLS * CELL_SECONDS, FRAMES + 2)[1:-1]
    place = np.clip((at / CELL_SECONDS).astype(int), 0, CELLS - 1)
    known = np.column_stack(
        [
            levels[place],
            np.full(FRAMES, (speed - 70) / 10),
            np.full(FRAMES, 3.0 * ill),
            np.full(FRAMES, 3.0 * kind),
        ]
    )
    frames = known @ mixing if leaky else random.normal(size=(FRAMES, DIMENSIONS))
    truth = {"speed": speed, "load": load, "fault": "leak" if ill else ""}
    return Sample(
        key,
        split,
        "anomaly" if ill else "normal",
        frames.astype(np.float16),
        at,
        levels.astype(np.float32),
        truth,
        active,
    )
