"""OpenL3 (Cramer et al., 2019): 512 or 6144 numbers for each second, every 0.1 s."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.features.framing import frame
from thrum.features.spectrogram import decibels, mel_filterbank, power_spectrum

MODEL_RATE = 48000
WINDOW_SAMPLES = MODEL_RATE
WINDOW_HOP_SAMPLES = MODEL_RATE // 10
STFT_HOP = 242
DYNAMIC_RANGE_DB = 80.0
LARGE = 6144

InputRepresentation = Literal["mel256", "mel128", "linear"]
ContentType = Literal["env", "music"]

_BANDS = {"mel256": 256, "mel128": 128}
_POOLS = {  # (frequency, time) of the last max pooling, by representation and embedding size
    ("mel256", 512): (32, 24),
    ("mel256", 6144): (8, 8),
    ("mel128", 512): (16, 24),
    ("mel128", 6144): (4, 8),
    ("linear", 512): (32, 24),
    ("linear", 6144): (8, 8),
}


class OpenL3(PretrainedEmbedder):
    """Version 0.4 of OpenL3 with its own (kapre) front end; 10 s give 96 embeddings.

    Windows of 1 s are centred on 0, 0.1, 0.2 … s: half a second of silence is put before the clip.

    Parameters
    ----------
    input_representation
        ``mel256`` (the embedding-sharing paper's), ``mel128`` or ``linear``.
    content_type
        The part of AudioSet it was trained on: ``env`` or ``music``. The paper does not say which it
        took; the default, environmental sound, is our choice for machines.
    embedding_size
        512 or 6144: the same network, with the last maps pooled less.
    """

    model_rate = MODEL_RATE
    embedding_size = 512
    hop_seconds = WINDOW_HOP_SAMPLES / MODEL_RATE
    first_seconds = 0.0
    min_samples = 1
    windows_per_batch = 8
    # Its spectrograms reach down to 1e-8 of the loudest: float32 would fill the band above 8 kHz with
    # rounding that the original does not have.
    resampling_dtype = torch.float64
    memory_format = torch.channels_last
    stack_frames = 32
    stack_hop = 4

    def __init__(
        self,
        *,
        input_representation: InputRepresentation = "mel256",
        content_type: ContentType = "env",
        embedding_size: Literal[512, 6144] | None = None,
        **settings: Any,
    ) -> None:
        self.input_representation: InputRepresentation = input_representation
        self.embedding_size = embedding_size or self.embedding_size
        self.checkpoint = f"openl3_{input_representation}_{content_type}"
        self._pool = _POOLS[input_representation, self.embedding_size]
        super().__init__(**settings)

    def _prepare(self) -> None:
        self._stft_samples = 512 if self.input_representation == "linear" else 2048
        self._window = torch.hann_window(self._stft_samples)
        self._filterbank = None
        if self.input_representation != "linear":
            self._filterbank = mel_filterbank(
                sample_rate=MODEL_RATE,
                fft_size=self._stft_samples,
                bands=_BANDS[self.input_representation],
                low_hz=0.0,
                high_hz=MODEL_RATE / 2,
                scale="slaney",
                unit_area=True,
            )

    def spectrograms(self, windows: Tensor) -> Tensor:
        """Return what the network sees of windows (N, 48000): (N, F, T) in dB below the maximum."""
        if self._filterbank is not None:
            # Mel spectrograms run to the end of the window, with zeros after it; linear ones do not.
            columns = math.ceil(WINDOW_SAMPLES / STFT_HOP)
            windows = F.pad(windows, (0, (columns - 1) * STFT_HOP + 2048 - WINDOW_SAMPLES))
        frames = frame(windows, length=self._stft_samples, hop=STFT_HOP)  # (N, T, 2048)
        # In double precision, for the same reason as resampling.
        power = power_spectrum(frames.double(), window=self._window.double())  # (N, T, F)
        magnitude = power.sqrt_().float()
        if self._filterbank is not None:
            magnitude = magnitude @ self._filterbank
        levels = decibels(magnitude, floor=1e-10)
        levels -= levels.amax(dim=(1, 2), keepdim=True)
        return levels.clamp_(min=-DYNAMIC_RANGE_DB).transpose(1, 2)  # (N, F, T)

    def embed_spectrograms(self, spectrograms: Tensor) -> Tensor:
        """Return the embeddings (N, D) of spectrograms (N, F, T)."""
        maps = self._run(spectrograms.unsqueeze(1))  # (N, 512, F/8, T/8)
        pooled = F.max_pool2d(maps, self._pool)  # (N, 512, f, t)
        return pooled.permute(0, 2, 3, 1).flatten(1)  # (N, f·t·512)

    def _embed(self, audio: Tensor) -> Tensor:
        half = WINDOW_SAMPLES // 2
        hops = max(0, math.ceil((audio.shape[1] + half - WINDOW_SAMPLES) / WINDOW_HOP_SAMPLES))
        whole = WINDOW_SAMPLES + hops * WINDOW_HOP_SAMPLES
        padded = F.pad(audio, (half, whole - half - audio.shape[1]))  # (B, whole)
        windows = frame(padded, length=WINDOW_SAMPLES, hop=WINDOW_HOP_SAMPLES)  # (B, T, 48000)
        return self._each_window(
            windows, lambda part: self.embed_spectrograms(self.spectrograms(part))
        )

    def larger(self) -> OpenL3 | None:
        """Return the form of 6144 numbers, with the same network."""
        if self.embedding_size == LARGE:
            return None
        found = OpenL3Large.__new__(OpenL3Large)
        vars(found).update(vars(self))
        found.embedding_size = LARGE
        found._pool = _POOLS[self.input_representation, LARGE]
        return found

    def from_larger(self, frames: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return the maximum (T, 512) over the twelve places of frames (T, 6144)."""
        pooled: NDArray[np.floating[Any]] = frames.reshape(len(frames), -1, 512).max(axis=1)
        return pooled

    @property
    def settings(self) -> dict[str, Any]:
        """Beside the usual ones, the representation and the size."""
        return {
            **super().settings,
            "input_representation": self.input_representation,
            "spectrum": "float64",
            "embedding_size": self.embedding_size,
        }


class OpenL3Large(OpenL3):
    """OpenL3 with 6144 numbers, the embedding-sharing paper's best."""

    embedding_size = 6144
