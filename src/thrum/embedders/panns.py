"""PANNs (Kong et al., 2020): 2048 numbers for each second, every 0.1 s."""

from __future__ import annotations

import torch
from torch import Tensor

from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.features.framing import frame, frame_centred
from thrum.features.spectrogram import decibels, mel_filterbank, power_spectrum
from thrum.networks.cnn14 import EMBEDDING_SIZE, MEL_BANDS

MODEL_RATE = 32000
WINDOW = 1024
HOP = 320
WINDOW_SAMPLES = MODEL_RATE
WINDOW_HOP_SAMPLES = MODEL_RATE // 10


class Cnn14(PretrainedEmbedder):
    """CNN14 trained on AudioSet; 10 s give 90 embeddings.

    The model itself gives one vector for all it hears. The embedding-sharing paper (section V-B) has 90
    of them in 10 s: windows of 1 s that start every 0.1 s before the last possible start.
    """

    checkpoint = "panns_cnn14"
    model_rate = MODEL_RATE
    embedding_size = EMBEDDING_SIZE
    hop_seconds = WINDOW_HOP_SAMPLES / MODEL_RATE
    first_seconds = 0.5
    min_samples = WINDOW_SAMPLES
    windows_per_batch = 30
    free_axes = (0, 1)
    stack_frames = 32
    stack_hop = 4

    def _prepare(self) -> None:
        self._window = torch.hann_window(WINDOW)
        self._filterbank = mel_filterbank(
            sample_rate=MODEL_RATE,
            fft_size=WINDOW,
            bands=MEL_BANDS,
            low_hz=50.0,
            high_hz=14000.0,
            scale="slaney",
            unit_area=True,
        )

    def log_mel(self, audio: Tensor) -> Tensor:
        """Return the log-mel spectra (N, T, 64) in dB of audio (N, S) at 32 kHz; T = 1 + S // 320."""
        frames = frame_centred(audio, length=WINDOW, hop=HOP, padding="reflect")  # (N, T, 1024)
        power = power_spectrum(frames, window=self._window)  # (N, T, 513)
        return decibels(power @ self._filterbank, floor=1e-10)  # (N, T, 64)

    def embed_windows(self, windows: Tensor) -> Tensor:
        """Return one embedding (N, 2048) for all of each window (N, S) at 32 kHz."""
        return self._run(self.log_mel(windows))

    def _embed(self, audio: Tensor) -> Tensor:
        windows = frame(audio, length=WINDOW_SAMPLES, hop=WINDOW_HOP_SAMPLES)  # (B, T, 32000)
        is_whole = (audio.shape[1] - WINDOW_SAMPLES) % WINDOW_HOP_SAMPLES == 0
        if is_whole and windows.shape[1] > 1:
            windows = windows[:, :-1]
        return self._each_window(windows, self.embed_windows)  # (B, T, 2048)


class WavegramLogmelCnn14(Cnn14):
    """Wavegram-Logmel-CNN14 trained on AudioSet, the embedding-sharing paper's choice of PANNs."""

    checkpoint = "panns_wavegram_logmel_cnn14"

    def embed_windows(self, windows: Tensor) -> Tensor:
        """Return one embedding (N, 2048) for all of each window (N, S), S // 320 even."""
        return self._run(self.log_mel(windows), windows)
