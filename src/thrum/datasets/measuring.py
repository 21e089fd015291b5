"""What one recording sounds like in a few figures, measured block by block."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from thrum import audio
from thrum.types import Clip

BANDS = 24
"""Of the coarse spectrum, each a third of an octave to half an octave wide, from 50 Hz up."""
LOW_HZ = 50.0
SPECTRA = 8
"""Stretches of a second that a spectrum is taken of in one block of sound, at most."""
CLIPPED_RUN = 3
"""Samples on end at one and the same outermost value that are taken for clipping."""
QUIETEST_PEAK = 0.01
"""Below, samples on end at the outermost value are what rounding makes of quiet sound."""
DROPOUT_SECONDS = 0.002
DROPOUT_SAMPLES = 64
BUFFERS = (128, 160, 192, 240, 256, 320, 441, 480, 512, 882, 960, 1024, 2048, 4096)
"""Samples in the buffers of sound cards and network streams."""
MAINS_HZ = (50, 60)
HARMONICS = 12
STEPS = 1 << 15

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One clip in figures.

    Parameters
    ----------
    sample_rate, channels, seconds
        Of the clip.
    peak, mean, level_db
        The largest absolute sample, the mean, and the root mean square about it in dB of full scale.
    constant
        Whether all samples are one and the same.
    clipped
        The share of samples that stand at the outermost values on end.
    dropouts, repeats
        How many runs of one value there are within the sound, and how many buffers that come twice.
    hum
        The share of the power at multiples of 50 or of 60 Hz.
    cancelled_db
        By how many dB mixing the channels is quieter than they are, where two are mirror images; else 0.
    spectrum_db
        (`BANDS`,), in dB of their mean; NaN above half the sample rate.
    digest
        A checksum of the samples, rounded to 16 bits.
    """

    sample_rate: int
    channels: int
    seconds: float
    peak: float
    mean: float
    level_db: float
    constant: bool
    clipped: float
    dropouts: int
    repeats: int
    hum: float
    cancelled_db: float
    spectrum_db: Floats
    digest: str


def measure(clip: Clip) -> Measured:
    """Read a clip once and return its figures.

    Raises
    ------
    AudioError
        Where it cannot be read.
    """
    sums = _Sums()
    for block, mono, rate in audio.channel_blocks(
        clip.path, channel=clip.channel, stretch=clip.stretch
    ):
        sums.add(block, mono, rate, mixed=clip.channel is None)
    return sums.found(audio.describe(clip.path).channels)


class _Sums:
    """What is added up over the blocks of a clip."""

    def __init__(self) -> None:
        self.rate = self.count = 0
        self.total = self.squares = 0.0
        self.low, self.high = np.inf, -np.inf
        self.flat: dict[float, int] = {}
        self.dropouts = self.repeats = 0
        self.power: Floats | None = None
        self.gram: Floats | None = None
        self.digest = hashlib.blake2b(digest_size=16)

    def add(
        self, block: NDArray[np.float32], mono: NDArray[np.float32], rate: int, *, mixed: bool
    ) -> None:
        """Take in a block (S, C), and (S,) what is heard of it."""
        self.rate = rate
        self.count += len(mono)
        self.total += float(mono.sum(dtype=np.float64))
        self.squares += float(np.square(mono, dtype=np.float64).sum())
        heard = block if mixed else mono[:, None]
        self.low, self.high = min(self.low, float(heard.min())), max(self.high, float(heard.max()))
        for column in heard.T:
            for edge in (float(column.min()), float(column.max())):
                self.flat[edge] = self.flat.get(edge, 0) + _in_runs(column == edge, CLIPPED_RUN)
        if mixed and heard.shape[1] > 1:
            gram = heard.T.astype(np.float64) @ heard
            self.gram = gram if self.gram is None else self.gram + gram
        self.dropouts += _dropouts(mono, rate)
        self.repeats += _repeats(mono)
        power = _power(mono, rate)
        self.power = power if self.power is None else self.power + power
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.rint(mono.astype(np.float64) * STEPS).clip(-(1 << 31), (1 << 31) - 1)
        self.digest.update(steps.astype("<i4").tobytes())

    def found(self, channels: int) -> Measured:
        """Return the figures of all that was added."""
        mean = self.total / self.count
        variance = max(self.squares / self.count - mean**2, 0.0)
        peak = max(abs(self.low), abs(self.high))
        edges = [self.flat.get(edge, 0) for edge in {self.low, self.high}]
        constant = self.low == self.high
        flat = 0 if constant or peak < QUIETEST_PEAK else sum(edges)
        assert self.power is not None
        return Measured(
            self.rate,
            channels,
            self.count / self.rate,
            peak,
            mean,
            _db(variance),
            constant,
            flat / self.count,
            0 if constant else self.dropouts,
            0 if constant else self.repeats,
            _hum(self.power),
            _cancelled(self.gram),
            _bands(self.power),
            self.digest.hexdigest(),
        )


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of True begin, and how long they are."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2] - edges[::2]


def _in_runs(mask: NDArray[np.bool_], shortest: int) -> int:
    if np.count_nonzero(mask) < shortest:
        return 0
    lengths = _runs(mask)[1]
    return int(lengths[lengths >= shortest].sum())


def _dropouts(mono: NDArray[np.float32], rate: int) -> int:
    """Return how many runs of one value there are that neither begin nor end the block."""
    shortest = max(DROPOUT_SAMPLES, round(DROPOUT_SECONDS * rate))
    same = mono[1:] == mono[:-1]
    if np.count_nonzero(same) < shortest:
        return 0
    starts, lengths = _runs(same)
    within = (starts > 0) & (starts + lengths < len(same))
    return int(np.count_nonzero(within & (lengths >= shortest)))


def _repeats(mono: NDArray[np.float32]) -> int:
    """Return how many buffers come twice on end; sound that is periodic throughout counts for none."""
    most = 0
    for size in BUFFERS:
        if len(mono) < 3 * size:
            break
        same = mono[size:] == mono[:-size]
        count = np.count_nonzero(same)
        if size <= count < 0.5 * len(same):
            starts, lengths = _runs(same)
            found = [
                start for start in starts[lengths >= size] if np.ptp(mono[start : start + size]) > 0
            ]
            most = max(most, len(found))
    return most


def _power(mono: NDArray[np.float32], rate: int) -> Floats:
    """Return the power spectrum (R / 2 + 1,) in steps of a hertz, of some seconds of the block."""
    windows = max(1, len(mono) // rate)
    chosen = np.unique(np.linspace(0, windows - 1, min(windows, SPECTRA)).astype(int))
    total: Floats = np.zeros(rate // 2 + 1)
    for number in chosen:
        piece = mono[number * rate : (number + 1) * rate]
        piece = (piece - piece.mean()) * _window(len(piece))
        total += np.square(np.abs(np.fft.rfft(piece, n=rate)))
    return total


@cache
def _window(size: int) -> Floats:
    return np.hanning(size)


def _hum(power: Floats) -> float:
    """Return the largest share of the power that stands within 2 Hz of multiples of 50 or 60 Hz."""
    total = power.sum()
    shares = [0.0]
    for mains in MAINS_HZ:
        places = [mains * k + offset for k in range(1, HARMONICS + 1) for offset in range(-2, 3)]
        shares.append(float(power[[place for place in places if place < len(power)]].sum()))
    return max(shares) / total if total > 0 else 0.0


def _bands(power: Floats) -> Floats:
    """Return the levels (`BANDS`,) of the coarse spectrum in dB, against their mean."""
    edges = np.round(np.geomspace(LOW_HZ, 20000.0, BANDS + 1)).astype(int)
    levels = np.full(BANDS, np.nan)
    floor = max(power.sum(), 1e-12) * 1e-9
    for band, (low, high) in enumerate(pairwise(edges)):
        if high < len(power):
            levels[band] = 10 * np.log10(power[low:high].sum() + floor)
    known = np.isfinite(levels)
    return levels - levels[known].mean() if known.any() else levels


def _cancelled(gram: Floats | None) -> float:
    """Return by how much the mix of channels is quieter than they are, where two are mirror images."""
    if gram is None:
        return 0.0
    powers = np.diag(gram)
    scale = np.sqrt(np.outer(powers, powers))
    mirrored = (gram < -0.9 * scale) & (scale > 0)
    if not mirrored.any():
        return 0.0
    mixed = float(gram.sum()) / len(gram) ** 2
    return _db(float(powers.mean())) - _db(mixed)


def _db(power: float) -> float:
    return float(10 * np.log10(max(power, 1e-20)))
