"""EfficientAT (Schmid et al., 2023): small MobileNets distilled from transformers, every 0.32 s."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.features.framing import frame
from thrum.features.spectrogram import mel_filterbank, power_spectrum

MODEL_RATE = 32000
WINDOW = 800
FFT_SIZE = 1024
HOP = 320
BANDS = 128
PRE_EMPHASIS = 0.97
FRAMES_AT_A_TIME = 64
MAP_HOP_FRAMES = 32  # five strides of 2


class MobileNet04(PretrainedEmbedder):
    """mn04: 0.98 M parameters, 384 numbers; 10 s give 32 embeddings.

    A frame is a column of the last map, its mean over frequency; their mean, the scene, is the
    embedding as its authors define it. Through squeeze-and-excitation each frame knows the whole clip.
    Ten frames stacked last 3.2 s, as the embedding-sharing paper's do for OpenL3 and PANNs.
    """

    checkpoint = "efficientat_mn04"
    model_rate = MODEL_RATE
    embedding_size = 384
    hop_seconds = MAP_HOP_FRAMES * HOP / MODEL_RATE
    first_seconds = 0.0
    min_samples = MAP_HOP_FRAMES * HOP
    free_axes = (0, 3)
    stack_frames = 10
    stack_hop = 1

    def _prepare(self) -> None:
        self._window = torch.hann_window(WINDOW, periodic=False)
        self._filterbank = mel_filterbank(
            sample_rate=MODEL_RATE,
            fft_size=FFT_SIZE,
            bands=BANDS,
            low_hz=0.0,
            high_hz=MODEL_RATE / 2 - 1000,
            scale="htk",
            triangles_in="mel",
        )

    def mel(self, audio: Tensor) -> Tensor:
        """Return the normalised log-mel spectra (B, T, 128) of audio (B, S); T = 1 + (S - 1) // 320."""
        emphasised = audio[:, 1:] - PRE_EMPHASIS * audio[:, :-1]  # (B, S - 1)
        # The original centres 800 samples among 1024: it reflects 512 and skips 112.
        padded = F.pad(emphasised, (WINDOW // 2, WINDOW // 2), mode="reflect")
        frames = frame(padded, length=WINDOW, hop=HOP)  # (B, T, 800)
        # A few frames at a time stay in the processor's cache: faster than all at once (docs/performance.md).
        parts = [self._bands(some) for some in torch.split(frames, FRAMES_AT_A_TIME, dim=1)]
        log_mel = torch.cat(parts, dim=1).add_(1e-5).log_()  # (B, T, 128)
        return log_mel.add_(4.5).div_(5.0)

    def _bands(self, frames: Tensor) -> Tensor:
        power = power_spectrum(frames, window=self._window, fft_size=FFT_SIZE)  # (B, T, 513)
        return power @ self._filterbank  # (B, T, 128)

    def maps(self, mel: Tensor) -> Tensor:
        """Return the last maps (B, D, 4, T // 32) of spectra (B, T, 128)."""
        return self._run(mel.transpose(1, 2).unsqueeze(1))

    def _embed(self, audio: Tensor) -> Tensor:
        return self.maps(self.mel(audio)).mean(dim=2).transpose(1, 2)  # (B, T, D)


class MobileNet10(MobileNet04):
    """mn10: 4.9 M parameters, 960 numbers."""

    checkpoint = "efficientat_mn10"
    embedding_size = 960
