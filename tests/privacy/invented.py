"""Invented clips for attacks: a planted leak, or nothing but noise."""

from dataclasses import replace
from typing import Any

import numpy as np

from thrum.privacy.audit.material import CELL_SECONDS, Material, Sample

BANDS, DIMENSIONS, CELLS, FRAMES = 12, 16, 10, 8
KINDS = ("fan", "pump")
SPEEDS, LOADS = (60.0, 80.0), (40.0, 80.0)


def material(*, leaky: bool, individuals: int = 9, clips: int = 12, seed: int = 0) -> Material:
    """Return clips of machines: with a leak, embeddings are linear in what is known; else noise."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(BANDS + 3, DIMENSIONS))
    samples, halls, spoken = [], [], []
    for place in range(len(KINDS) * individuals):
        kind, individual = place // individuals, place % individuals
        key = (KINDS[kind], f"id_{individual:02d}")
        colour = np.random.default_rng(kind).normal(size=BANDS) * 3 + random.normal(size=BANDS)
        for number in range(clips):
            split = "test" if number % 3 == 2 else "train"
            ill = split == "test" and number % 2 == 1
            samples.append(_sample(random, mixing, key, kind, colour, split, ill, leaky))
        hall = np.random.default_rng(100 + individual // 2 + 50 * kind).normal(size=DIMENSIONS)
        for number in range(clips):
            own = _sample(random, mixing, key, kind, colour, "test", False, leaky)
            halls.append(_with(own, 20 * hall * leaky, hall=f"{kind} {individual // 2}"))
            word = ("", "stop", "start")[number % 3]
            woman = bool(number % 2)
            said = np.zeros(DIMENSIONS)
            said[:3] = word == "stop", word == "start", bool(word) and woman
            own = replace(own, frames=random.normal(size=own.frames.shape).astype(np.float16))
            spoken.append(_with(own, 4 * said * leaky, word=word, woman=woman))
    return Material(samples, aside={"halls": Material(halls), "speech": Material(spoken)})


def _with(sample: Sample, added: Any, **truth: Any) -> Sample:
    return replace(sample, frames=(sample.frames + added).astype(np.float16), truth=truth)


def _sample(
    random: Any, mixing: Any, key: Any, kind: int, colour: Any, split: Any, ill: bool, leaky: bool
) -> Sample:
    speed, load = float(random.choice(SPEEDS)), float(random.choice(LOADS))
    active = random.random(CELLS) < 0.5
    levels = colour + random.normal(size=(CELLS, BANDS)) + 2 * active[:, None]
    at = np.linspace(0, CELLS * CELL_SECONDS, FRAMES + 2)[1:-1]
    place = np.clip((at / CELL_SECONDS).astype(int), 0, CELLS - 1)
    told = np.array([(speed - 70) / 10, 3.0 * ill, 3.0 * kind])
    known = np.column_stack([levels[place], np.tile(told, (FRAMES, 1))])
    frames = known @ mixing if leaky else random.normal(size=(FRAMES, DIMENSIONS))
    return Sample(
        key,
        split,
        "anomaly" if ill else "normal",
        frames.astype(np.float16),
        at,
        levels.astype(np.float32),
        {"speed": speed, "load": load, "fault": "leak" if ill else ""},
        active,
    )
