"""Decoded spectra as sound: what an attacker would hear."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.embedders.base import Embedder
from thrum.embedders.logmel import BANDS, FFT_SIZE, HOP
from thrum.features.spectrogram import mel_filterbank
from thrum.privacy.audit.material import CELL_FRAMES

ITERATIONS = 32
LOUDEST_DB, QUIETEST_DB = 60.0, -120.0


def sound_of(cells: NDArray[np.floating], *, seed: int = 0) -> NDArray[np.float32]:
    """Return audio (S,) at 16 kHz whose log-mel cells are about these (C, F) in dB.

    Between cells levels run on in a straight line; phases are found by Griffin and Lim's algorithm (1984).
    """
    count = len(cells) * CELL_FRAMES
    centres = (np.arange(len(cells)) + 0.5) * CELL_FRAMES - 0.5
    levels = np.stack(
        [np.interp(np.arange(count), centres, band) for band in np.asarray(cells, np.float64).T],
        axis=1,
    )  # (T, F)
    power = 10 ** (np.clip(levels, QUIETEST_DB, LOUDEST_DB) / 10)
    bank = mel_filterbank(
        sample_rate=Embedder.sample_rate,
        fft_size=FFT_SIZE,
        bands=BANDS,
        low_hz=0.0,
        high_hz=Embedder.sample_rate / 2,
        scale="slaney",
        unit_area=True,
    ).numpy()  # (513, F)
    # A bin gets the level of the bands that it is in, each by its share.
    spread = bank / np.maximum(np.square(bank).sum(axis=0), 1e-12)
    magnitudes = torch.from_numpy(np.sqrt(np.maximum(power @ spread.T, 0.0)).T.astype(np.float32))
    window = torch.hann_window(FFT_SIZE)
    generator = torch.Generator().manual_seed(seed)
    phases = torch.rand(magnitudes.shape, generator=generator) * 2 * torch.pi
    length = HOP * (count - 1)
    audio = torch.zeros(length)
    for _ in range(ITERATIONS):
        audio = torch.istft(
            torch.polar(magnitudes, phases), FFT_SIZE, HOP, window=window, length=length
        )
        again = torch.stft(audio, FFT_SIZE, HOP, window=window, return_complex=True)
        phases = again.angle()
    return np.asarray(audio.numpy(), np.float32)
