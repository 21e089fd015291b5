"""What machine sounds are made of: drifts, periodic waves, coloured noise, impulses, ringing modes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Signal = NDArray[np.float32]
"""(S,)."""
Phase = NDArray[np.float64]
"""(S,), in turns, never falling."""

TABLE_SIZE = 8192  # points of one period of a wave; the 300th harmonic still gets 27 of them
REFERENCE_RATE = 16000
"""An impulse of height 1 holds what one sample holds at this rate, whatever the rate of the clip."""


def drift(
    random: np.random.Generator, samples: int, sample_rate: int, *, hz: float, deviation: float
) -> NDArray[np.float64]:
    """Return a random wave (S,) of mean 0 that changes about `hz` times a second."""
    knots = int(np.ceil(samples / sample_rate * hz)) + 2
    at = (np.arange(knots) - random.random()) * sample_rate / hz
    return np.interp(np.arange(samples), at, deviation * random.standard_normal(knots))


def turns(frequency_hz: NDArray[np.floating[Any]], sample_rate: int, *, start: float) -> Phase:
    """Return the phase (S,) of a rotation whose frequency (S,) varies: its integral over time."""
    return start + np.cumsum(frequency_hz, dtype=np.float64) / sample_rate


def periodic(
    phase: Phase, amplitudes: Sequence[float], angles: Sequence[float], *, highest: int
) -> Signal:
    """Return the sum of A_n cos(2π(nφ + a_n)) over the harmonics n = 1, 2, … of a phase.

    All harmonics together are one period, tabulated once and read at the phase, so that the cost does
    not depend on their number.

    Parameters
    ----------
    phase
        φ (S,), in turns.
    amplitudes, angles
        A_n and a_n (in turns) from the first harmonic on.
    highest
        The last harmonic that may sound: those above it would pass half the sample rate.
    """
    count = max(0, min(len(amplitudes), highest, TABLE_SIZE // 8))
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=np.complex128)
    turned = np.exp(2j * np.pi * np.asarray(angles[:count]))
    spectrum[1 : count + 1] = np.asarray(amplitudes[:count]) * turned * (TABLE_SIZE / 2)
    table = scipy.fft.irfft(spectrum, n=TABLE_SIZE).astype(np.float32)
    table = np.append(table, table[:1])
    position = (phase - np.floor(phase)) * TABLE_SIZE
    index = np.minimum(position.astype(np.int32), TABLE_SIZE - 1)
    fraction = (position - index).astype(np.float32)
    left = table[index]
    wave: Signal = left + fraction * (table[index + 1] - left)
    return wave


@functools.lru_cache(maxsize=16)
def frequencies(size: int, sample_rate: int) -> Signal:
    """Return the frequencies (F,) in Hz of the transform of `size` real samples; 0 Hz is raised a little."""
    grid = scipy.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
    grid[0] = grid[1]  # so that logarithms stay finite
    grid.flags.writeable = False
    return grid


def transform_size(samples: int) -> int:
    """Return the next size at which a Fourier transform is fast."""
    return int(scipy.fft.next_fast_len(samples, real=True))


def hump(hz: Signal, centre_hz: float, octaves: float) -> Signal:
    """Return a bell (F,) of height 1 over log-frequency; `octaves` is its standard deviation."""
    distance = np.log2(hz / np.float32(centre_hz)) / np.float32(octaves)
    bell: Signal = np.exp(np.float32(-0.5) * distance * distance)
    return bell


def falling(hz: Signal, corner_hz: float, db_per_octave: float) -> Signal:
    """Return a gain (F,) that is 1 below a corner and falls by `db_per_octave` above it."""
    gain: Signal = (1 + (hz / np.float32(corner_hz)) ** 2) ** np.float32(-db_per_octave / 12.04)
    return gain


def coloured(
    random: np.random.Generator,
    samples: int,
    sample_rate: int,
    gain: Callable[[Signal], Signal],
) -> Signal:
    """Return Gaussian noise (S,) of power 1 whose amplitude spectrum follows a gain over Hz."""
    size = transform_size(samples)
    gains = gain(frequencies(size, sample_rate))  # (F,)
    gains = gains * np.sqrt(np.float32(size / 2) / np.mean(gains * gains))
    white = random.standard_normal(2 * len(gains), dtype=np.float32).view(np.complex64)  # (F,)
    noise: Signal = scipy.fft.irfft(white * gains, n=size)[:samples]
    return noise


def impulses(
    at: NDArray[np.floating[Any]],
    heights: NDArray[np.floating[Any]] | float,
    samples: int,
    sample_rate: int,
) -> Signal:
    """Return impulses (S,) at fractional sample positions, each shared by its two neighbours."""
    heights = np.broadcast_to(heights, at.shape)
    inside = (at >= 0) & (at < samples - 1)
    at, heights = at[inside], heights[inside]
    index = at.astype(np.int64)
    fraction = at - index
    train = np.bincount(index, heights * (1 - fraction), minlength=samples)
    train += np.bincount(index + 1, heights * fraction, minlength=samples)
    return (train * (sample_rate / REFERENCE_RATE)).astype(np.float32)


def crossings(phase: Phase, random: np.random.Generator, *, jitter: float) -> NDArray[np.float64]:
    """Return the sample positions at which a phase completes a turn, the intervals jittered.

    Every interval is 1 + `jitter` · N(0, 1) turns, a random walk: rolling elements slip and do not come
    back to their beat (Antoni & Randall, 2003).
    """
    count = int(phase[-1] - phase[0]) + 2
    intervals = np.maximum(1 + jitter * random.standard_normal(count), 0.05)
    events = np.floor(phase[0]) + np.cumsum(intervals)
    events = events[(events > phase[0]) & (events < phase[-1])]
    at: NDArray[np.float64] = np.interp(events, phase, np.arange(len(phase)))
    return at


def bursts(
    random: np.random.Generator,
    samples: int,
    sample_rate: int,
    *,
    per_second: float,
    seconds: float,
) -> Signal:
    """Return an envelope (S,) of bursts at random times that die away within about `seconds`."""
    count = random.poisson(per_second * samples / sample_rate)
    at = random.uniform(0, max(samples - 1, 1), count)
    train = impulses(at, random.lognormal(0.0, 0.5, count), samples, sample_rate)
    time = np.arange(int(3 * seconds * sample_rate)) / sample_rate
    envelope: Signal = np.maximum(filtered(train, np.exp(-time / seconds), sample_rate), 0)
    return envelope


def modal_response(
    frequencies_hz: Sequence[float],
    qualities: Sequence[float],
    gains: Sequence[float],
    sample_rate: int,
) -> Signal:
    """Return the impulse response of a bank of modes: a sum of decaying cosines.

    Mode k rings as g_k e^(-π f_k t / Q_k) cos(2π f_k t): the velocity of a mode after a blow, which is what
    the air in front of it follows. Modes above 0.45 of the sample rate are left out.
    """
    bank = [
        (f, q, g)
        for f, q, g in zip(frequencies_hz, qualities, gains, strict=True)
        if f < 0.45 * sample_rate
    ]
    samples = [int(np.ceil(2.2 * q / f * sample_rate)) for f, q, _ in bank]  # until 60 dB below
    time = np.arange(max(samples, default=1)) / sample_rate  # (N,)
    response = np.zeros(len(time), dtype=np.float32)
    for (f, q, g), count in zip(bank, samples, strict=True):
        own = time[:count]
        response[:count] += g * np.exp(-np.pi * f / q * own) * np.cos(2 * np.pi * f * own)
    return response


def filtered(signal: Signal, response: NDArray[np.floating[Any]], sample_rate: int) -> Signal:
    """Return a signal (S,) convolved with an impulse response sampled at `sample_rate`, cut to (S,)."""
    size = transform_size(len(signal) + len(response))
    scale = np.float32(REFERENCE_RATE / sample_rate)
    transfer = scipy.fft.rfft(scale * response.astype(np.float32), n=size)
    result: Signal = scipy.fft.irfft(scipy.fft.rfft(signal, n=size) * transfer, n=size)
    return result[: len(signal)]


def decibels(value: float) -> float:
    """Return the amplitude ratio of a level in dB."""
    return float(10 ** (value / 20))
