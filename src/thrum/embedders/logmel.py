"""The log-mel spectrogram of the official DCASE baselines, as an embedder that needs no weights."""

from __future__ import annotations

import sys
from typing import Any, Self

import torch
from torch import Tensor

from thrum.embedders.base import Embedder
from thrum.features.framing import Padding, frame_centred, pad_to_length
from thrum.features.spectrogram import decibels, mel_filterbank, power_spectrum

FFT_SIZE = 1024
HOP = 512
BANDS = 128


class LogMel(Embedder):
    """128 mel bands in dB every 32 ms, as the autoencoder baselines of DCASE task 2 compute them.

    A spectrogram of such a resolution can be turned back into sound: whoever shares it shares, in
    effect, the recording.

    The ID classifier sees 64 frames (2.05 s) every 8: the input of the MobileNetV2 baseline
    of DCASE 2021 task 2, which classifies machine sections from this very spectrogram. (The
    embedding-sharing paper gives a stacking for its own embedders only; with 32 frames a log-mel
    input would last 1 s, a third of what OpenL3's and PANNs' last.)

    Parameters
    ----------
    padding
        What lies beyond the ends of a clip: ``constant`` (silence; the baselines of 2023 and later)
        or ``reflect`` (those of 2020 and 2021). The first and the last frame differ.
    """

    embedding_size = BANDS
    hop_seconds = HOP / Embedder.sample_rate
    stack_frames = 64
    stack_hop = 8

    def __init__(self, *, padding: Padding = "constant") -> None:
        self.padding: Padding = padding
        self._window = torch.hann_window(FFT_SIZE)
        self._filterbank = mel_filterbank(
            sample_rate=self.sample_rate,
            fft_size=FFT_SIZE,
            bands=BANDS,
            low_hz=0.0,
            high_hz=self.sample_rate / 2,
            scale="slaney",
            unit_area=True,
        )

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-mel spectra (B, T, 128) in dB and their times; T = 1 + S // 512."""
        levels = self.levels(self.power(self._checked(audio).to(self._window.device)))
        return levels, self._times(levels, first_seconds=0.0)

    def power(self, audio: Tensor) -> Tensor:
        """Return the power spectra (B, T, 513) of audio (B, S)."""
        frames = frame_centred(
            pad_to_length(audio, FFT_SIZE), length=FFT_SIZE, hop=HOP, padding=self.padding
        )  # (B, T, 1024)
        return power_spectrum(frames, window=self._window)

    def levels(self, power: Tensor) -> Tensor:
        """Return the levels (B, T, 128) in dB of power spectra (B, T, 513)."""
        return decibels(power @ self._filterbank, floor=sys.float_info.epsilon)

    @property
    def settings(self) -> dict[str, Any]:
        """The class and the padding."""
        return {**super().settings, "padding": self.padding}

    def to(self, device: torch.device | str) -> Self:
        """Move the window and the filterbank to `device`."""
        self._window = self._window.to(device)
        self._filterbank = self._filterbank.to(device)
        return self
