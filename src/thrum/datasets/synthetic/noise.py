"""The noise of a factory: what sounds in the hall besides the machine that is meant."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from thrum.datasets.synthetic.signals import (
    Signal,
    coloured,
    drift,
    falling,
    filtered,
    hump,
    impulses,
    modal_response,
    periodic,
    turns,
)
from thrum.types import Domain


def mains_hum(random: np.random.Generator, samples: int, sample_rate: int) -> Signal:
    """Return the hum (S,) of transformers: even harmonics of 50 Hz, mostly."""
    grid = 50 * (1 + drift(random, samples, sample_rate, hz=0.5, deviation=3e-4))
    orders = np.arange(1, 13)
    amplitudes = np.where(orders % 2 == 0, 1.0, 0.2) / orders**0.7 * random.lognormal(0, 0.6, 12)
    phase = turns(grid, sample_rate, start=random.random())
    return periodic(phase, amplitudes.tolist(), random.random(12).tolist(), highest=12)


def distant_machines(random: np.random.Generator, samples: int, sample_rate: int) -> Signal:
    """Return three other machines (S,) far off: harmonics and rumble that lost their treble."""
    corner = random.uniform(250, 900)
    noise = coloured(random, samples, sample_rate, lambda hz: falling(hz, corner, 9.0))
    for _ in range(3):
        speed = random.uniform(12, 60)
        wobble = drift(random, samples, sample_rate, hz=1.0, deviation=0.003)
        orders = np.arange(1, 33)
        heard = falling((orders * speed).astype(np.float32), corner, 9.0)
        amplitudes = heard * random.lognormal(-1.2, 0.8, 32)
        phase = turns(speed * (1 + wobble), sample_rate, start=random.random())
        noise = noise + periodic(
            phase,
            amplitudes.tolist(),
            random.random(32).tolist(),
            highest=int(0.45 * sample_rate / speed),
        )
    return noise


def compressed_air(random: np.random.Generator, samples: int, sample_rate: int) -> Signal:
    """Return puffs and hiss (S,) of pneumatic tools."""
    peak = random.uniform(2500, 6000)
    hiss = coloured(random, samples, sample_rate, lambda hz: hump(hz, peak, 0.7))
    blowing = drift(random, samples, sample_rate, hz=random.uniform(0.5, 2.0), deviation=1.0)
    return hiss * (0.1 + np.clip(3 * blowing, 0, 1)).astype(np.float32)


def clanks(random: np.random.Generator, samples: int, sample_rate: int) -> Signal:
    """Return the blows (S,) of metal on metal that happen in any hall."""
    noise = np.zeros(samples, dtype=np.float32)
    for _ in range(2):  # two things that are struck
        modes = np.sort(random.uniform(300, 5000, 6))
        ring = modal_response(
            modes.tolist(), random.uniform(30, 90, 6).tolist(), [1.0] * 6, sample_rate
        )
        count = 1 + random.poisson(0.6 * samples / sample_rate)
        at = random.uniform(0, samples - 1, count)
        train = impulses(at, random.lognormal(0, 0.7, count), samples, sample_rate)
        noise += filtered(train, ring, sample_rate)
    return noise


def babble(random: np.random.Generator, samples: int, sample_rate: int) -> Signal:
    """Return voices (S,) without words: the spectrum of speech, swelling with the beat of syllables."""
    noise = np.zeros(samples, dtype=np.float32)
    for formant, octaves, level in ((500, 0.6, 1.0), (1500, 0.45, 0.4), (2700, 0.4, 0.2)):
        centre = formant * random.lognormal(0, 0.1)
        band = coloured(
            random, samples, sample_rate, functools.partial(hump, centre_hz=centre, octaves=octaves)
        )
        syllables = drift(random, samples, sample_rate, hz=4.5, deviation=0.6)
        noise += np.float32(level) * band * np.maximum(1 + syllables, 0).astype(np.float32)
    return noise


SOURCES: Mapping[str, Callable[[np.random.Generator, int, int], Signal]] = {
    "mains_hum": mains_hum,
    "distant_machines": distant_machines,
    "compressed_air": compressed_air,
    "clanks": clanks,
    "babble": babble,
}

SHARES: Mapping[Domain, Mapping[str, float]] = {
    "source": {
        "mains_hum": 0.2,
        "distant_machines": 0.3,
        "compressed_air": 0.1,
        "clanks": 0.15,
        "babble": 0.25,
    },
    "target": {
        "mains_hum": 0.1,
        "distant_machines": 0.2,
        "compressed_air": 0.4,
        "clanks": 0.25,
        "babble": 0.05,
    },
}
"""How often each source is heard in a domain."""


def factory_noise(
    random: np.random.Generator, samples: int, sample_rate: int, *, domain: Domain
) -> tuple[Signal, tuple[str, ...]]:
    """Return a hall's noise (S,) of power 1, and the names of the sources in it.

    Each clip has the broad background of the hall, of its own colour, and two sources, each at a level
    between 6 dB below and 6 dB above the background.
    """
    slope = random.uniform(3, 7)
    noise = coloured(random, samples, sample_rate, lambda hz: falling(hz, 150, slope))
    names = sorted(SOURCES)
    shares = [SHARES[domain][name] for name in names]
    chosen = random.choice(len(names), size=2, replace=False, p=shares)
    for index in chosen:
        source = SOURCES[names[index]](random, samples, sample_rate)
        level = 10 ** (random.uniform(-6, 6) / 20)
        noise = noise + np.float32(level / _rms(source)) * source
    return noise / np.float32(_rms(noise)), tuple(names[index] for index in sorted(chosen))


def _rms(signal: Signal) -> float:
    return float(np.sqrt(np.mean(signal * signal)) + 1e-12)
