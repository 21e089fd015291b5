"""From frames of audio to power spectra, mel bands and decibels.

All of it in one convention: time before frequency, so that a mel filterbank is one matrix product.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MelScale = Literal["htk", "slaney"]


def power_spectrum(frames: Tensor, *, window: Tensor, fft_size: int | None = None) -> Tensor:
    """Return the power spectrum of each frame.

    Parameters
    ----------
    frames
        (…, L).
    window
        (L,), multiplied to each frame.
    fft_size
        Length of the Fourier transform, with zeros after the frame; None takes L.

    Returns
    -------
    Tensor
        (…, F) with F = fft_size // 2 + 1, re² + im² of each bin.
    """
    spectrum: Tensor = torch.fft.rfft(frames * window, n=fft_size)  # (…, F)
    # Half the time of abs()², and of torch.stft, whose output is not contiguous in frequency.
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)


def mel_filterbank(
    *,
    sample_rate: int,
    fft_size: int,
    bands: int,
    low_hz: float,
    high_hz: float,
    scale: MelScale,
    triangles_in: Literal["hz", "mel"] = "hz",
    unit_area: bool = False,
) -> Tensor:
    """Return a matrix (F, bands) from spectra of F = fft_size // 2 + 1 bins to mel bands.

    Two conventions are in use: librosa's (`scale` slaney, triangles straight over Hz, unit area),
    and that of TensorFlow and Kaldi (htk, triangles straight over mel, unit height).

    Parameters
    ----------
    scale
        ``htk``: 2595·log10(1 + f/700); ``slaney``: linear below 1 kHz, logarithmic above (Auditory
        Toolbox, 1998).
    triangles_in
        The axis over which the flanks of the triangles are straight lines.
    unit_area
        Divide each triangle by half its width in Hz, so that its area over Hz is 1.
    """
    bins_hz = np.linspace(0, sample_rate / 2, fft_size // 2 + 1)  # (F,)
    corners_mel = np.linspace(hz_to_mel(low_hz, scale), hz_to_mel(high_hz, scale), bands + 2)
    corners_hz = mel_to_hz(corners_mel, scale)
    if triangles_in == "hz":
        points, corners = bins_hz, corners_hz
    else:
        points, corners = hz_to_mel(bins_hz, scale), corners_mel
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]  # (bands,)
    rising = (points[:, None] - left) / (peak - left)  # (F, bands)
    falling = (right - points[:, None]) / (right - peak)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if unit_area:
        weights *= 2.0 / (corners_hz[2:] - corners_hz[:-2])
    return torch.from_numpy(weights.astype(np.float32))


def decibels(power: Tensor, *, floor: float) -> Tensor:
    """Return 10·log10(max(power, floor))."""
    return power.clamp(min=floor).log10_().mul_(10.0)


_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(hz: float | NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Return frequencies on the mel scale."""
    frequencies = np.asarray(hz, dtype=np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + frequencies / 700.0)
    above = np.log(np.maximum(frequencies, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    linear = frequencies / _SLANEY_HZ_PER_MEL
    return np.where(frequencies < _SLANEY_BREAK_HZ, linear, _SLANEY_BREAK_MEL + above)


def mel_to_hz(mel: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Return frequencies in Hz; the inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - _SLANEY_BREAK_MEL))
    return np.where(mel < _SLANEY_BREAK_MEL, mel * _SLANEY_HZ_PER_MEL, above)
