"""YAMNet (Plakal and Ellis, 2020): 1024 numbers for each 0.975 s, every 0.48 s."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thrum.embedders.base import Embedder
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.features.framing import frame, pad_to_length
from thrum.features.spectrogram import mel_filterbank, power_spectrum
from thrum.networks.yamnet import EMBEDDING_SIZE

WINDOW = 400
HOP = 160
FFT_SIZE = 512
BANDS = 64
LOG_OFFSET = 0.001
PATCH_FRAMES = 96
PATCH_HOP_FRAMES = 48
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP + WINDOW
PATCH_HOP_SAMPLES = PATCH_HOP_FRAMES * HOP


class YAMNet(PretrainedEmbedder):
    """MobileNet v1 trained on AudioSet; 10 s give 20 embeddings.

    The end of a clip is padded with silence to a whole patch, as the reference does.
    """

    checkpoint = "yamnet"
    embedding_size = EMBEDDING_SIZE
    hop_seconds = PATCH_HOP_SAMPLES / Embedder.sample_rate
    first_seconds = PATCH_SAMPLES / 2 / Embedder.sample_rate
    min_samples = PATCH_SAMPLES
    windows_per_batch = 40
    memory_format = torch.channels_last
    stack_frames = 8
    stack_hop = 1

    def _prepare(self) -> None:
        self._window = torch.hann_window(WINDOW)
        self._filterbank = mel_filterbank(
            sample_rate=self.sample_rate,
            fft_size=FFT_SIZE,
            bands=BANDS,
            low_hz=125.0,
            high_hz=7500.0,
            scale="htk",
            triangles_in="mel",
        )

    def log_mel(self, audio: Tensor) -> Tensor:
        """Return the log-mel spectrum (B, T, 64) of audio padded to whole patches."""
        missing_hops = math.ceil((audio.shape[1] - PATCH_SAMPLES) / PATCH_HOP_SAMPLES)
        audio = pad_to_length(audio, PATCH_SAMPLES + missing_hops * PATCH_HOP_SAMPLES)
        frames = frame(audio, length=WINDOW, hop=HOP)  # (B, T, 400)
        power = power_spectrum(frames, window=self._window, fft_size=FFT_SIZE)  # (B, T, 257)
        return (power.sqrt_() @ self._filterbank).add_(LOG_OFFSET).log_()  # (B, T, 64)

    def _embed(self, audio: Tensor) -> Tensor:
        log_mel = self.log_mel(audio)
        patches = log_mel.unfold(1, PATCH_FRAMES, PATCH_HOP_FRAMES).transpose(
            2, 3
        )  # (B, P, 96, 64)
        return self._each_window(patches, self._run)  # (B, P, 1024)
