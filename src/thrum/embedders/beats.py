"""BEATs (Chen et al., 2022): 768 numbers for each 0.16 s."""

from __future__ import annotations

import torch
from torch import Tensor

from thrum.embedders.base import Embedder
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.features.framing import frame
from thrum.features.spectrogram import mel_filterbank, power_spectrum
from thrum.networks.beats import EMBEDDING_SIZE, PATCH

WINDOW = 400
HOP = 160
FFT_SIZE = 512
BANDS = 128
PRE_EMPHASIS = 0.97
FULL_SCALE = 2.0**15
FLOOR = torch.finfo(torch.float32).eps
MEAN, DEVIATION = 15.41663, 6.55582
BANDS_OF_PATCHES = BANDS // PATCH


class BEATs(PretrainedEmbedder):
    """The self-supervised base model; 10 s give 62 embeddings.

    A frame is the mean of the 8 patches, one above the other, of 16 spectra. Sound longer than 30 s is
    embedded in pieces of that length, for attention needs the square of it. Twenty frames stacked last
    3.2 s, as the embedding-sharing paper's do for OpenL3 and PANNs.
    """

    checkpoint = "beats"
    embedding_size = EMBEDDING_SIZE
    hop_seconds = PATCH * HOP / Embedder.sample_rate
    first_seconds = ((PATCH - 1) * HOP + WINDOW) / 2 / Embedder.sample_rate
    min_samples = (PATCH - 1) * HOP + WINDOW
    piece_frames = 187
    free_axes = (0, 1)
    stack_frames = 20
    stack_hop = 2

    def _prepare(self) -> None:
        # Povey's window, Kaldi's default.
        self._window = torch.hann_window(WINDOW, periodic=False).pow(0.85)
        self._filterbank = mel_filterbank(
            sample_rate=self.sample_rate,
            fft_size=FFT_SIZE,
            bands=BANDS,
            low_hz=20.0,
            high_hz=self.sample_rate / 2,
            scale="htk",
            triangles_in="mel",
        )

    def filterbank(self, audio: Tensor) -> Tensor:
        """Return Kaldi's log-mel spectra (B, T, 128), normalised; T = 1 + (S - 400) // 160."""
        frames = frame(audio * FULL_SCALE, length=WINDOW, hop=HOP)  # (B, T, 400)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        emphasised = frames - PRE_EMPHASIS * before
        power = power_spectrum(emphasised, window=self._window, fft_size=FFT_SIZE)  # (B, T, 257)
        levels = (power @ self._filterbank).clamp_(min=FLOOR).log_()  # (B, T, 128)
        return levels.sub_(MEAN).div_(2 * DEVIATION)

    def tokens(self, audio: Tensor) -> Tensor:
        """Return the tokens (B, L, 768): for each 16 spectra the 8 patches from low to high."""
        return self._run(self.filterbank(audio))

    def _embed(self, audio: Tensor) -> Tensor:
        return self._in_pieces(audio, self._embed_piece)

    def _embed_piece(self, audio: Tensor) -> Tensor:
        tokens = self.tokens(audio)
        return tokens.view(len(audio), -1, BANDS_OF_PATCHES, EMBEDDING_SIZE).mean(dim=2)
