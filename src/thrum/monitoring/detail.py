"""What a clip sounds like in detail: lines of its spectrum, and how often it knocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.features.framing import pad_to_length
from thrum.features.spectrogram import power_spectrum
from thrum.monitoring.heard import RATE

FFT_SIZE = 4096
"""Lines of 3.9 Hz."""
ENVELOPE_HOP = 40
"""Samples: the envelope has 400 values a second, so repetitions up to 200 a second show."""
ENVELOPE_WINDOW = 128
ENVELOPE_FROM_HZ = 1000.0
"""Impacts ring high, and what turns hums low."""
ENVELOPE_HZ = np.arange(1.0, 200.5, 0.5)
"""Where the envelope spectrum is kept."""
SPECTRUM_HZ = np.fft.rfftfreq(FFT_SIZE, 1 / RATE)

Line = NDArray[np.float32]


@dataclass(frozen=True)
class Detail:
    """A clip in detail.

    Parameters
    ----------
    spectrum
        (2049,) float32, levels in dB at `SPECTRUM_HZ`.
    envelope
        (399,) float32, at `ENVELOPE_HZ`, how strongly the envelope of the high frequencies repeats itself:
        the amplitude of that rate over the mean of the envelope.
    """

    spectrum: Line
    envelope: Line


def detail_of(sound: NDArray[np.float32]) -> Detail:
    """Return the detail of sound (S,) at `RATE`."""
    return Detail(_spectrum(sound), _envelope(sound))


def _spectrum(sound: NDArray[np.float32]) -> Line:
    """Return Welch's estimate, Hann windows that overlap by half."""
    power = _powers(sound, FFT_SIZE, FFT_SIZE // 2).mean(axis=0)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-14)), np.float32)


def _envelope(sound: NDArray[np.float32]) -> Line:
    powers = _powers(sound, ENVELOPE_WINDOW, ENVELOPE_HOP)  # (T, 65)
    high = np.fft.rfftfreq(ENVELOPE_WINDOW, 1 / RATE) >= ENVELOPE_FROM_HZ
    envelope = np.sqrt(powers[:, high].sum(axis=1))
    mean = float(envelope.mean())
    if mean <= 1e-9 or len(envelope) < 2:
        return np.zeros(len(ENVELOPE_HZ), np.float32)
    window = np.hanning(len(envelope) + 1)[:-1]
    size = 2 ** int(np.ceil(np.log2(4 * len(envelope))))
    lines = np.abs(np.fft.rfft((envelope - mean) * window, n=size)) * 2 / window.sum()
    rates = np.fft.rfftfreq(size, ENVELOPE_HOP / RATE)
    first, last = np.searchsorted(rates, [ENVELOPE_HZ - 0.25, ENVELOPE_HZ + 0.25])  # (399,) each
    places = np.stack([first, np.maximum(last, first + 1)], axis=1).ravel()
    highest = np.maximum.reduceat(np.append(lines, 0.0), places)[::2]  # of first up to last
    return np.asarray(highest / mean, np.float32)


def _powers(sound: NDArray[np.float32], size: int, hop: int) -> NDArray[np.float64]:
    """Return the power (T, size / 2 + 1) of Hann windows; a full-scale sine has 0.25 in its line."""
    frames = pad_to_length(torch.from_numpy(sound)[None], size)[0].unfold(0, size, hop)  # (T, size)
    return np.asarray(power_spectrum(frames, window=_window(size)), np.float64)


@cache
def _window(size: int) -> torch.Tensor:
    window = torch.hann_window(size)
    return window / window.sum()
