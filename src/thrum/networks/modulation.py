"""Our own embedding network: a spectrum's average beside what it makes of the spectrum's modulations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATE_BINS = ((1, 3), (3, 6), (6, 12), (12, 20), (20, 33))
"""Of the Fourier transform over 64 frames of 32 ms: 0.5–1, 1.5–2.4, 2.9–5.4, 5.9–9.3, 9.8–15.6 Hz."""
LEVEL_SHARE = 0.5  # of the level, by which recordings differ most and machines least, half is kept
SPECTRUM_SCALE = 10.0  # dB
LEARNT_SCALE = 0.3
DECIBEL_SPREAD = 15.0


class ModulationNet(nn.Module):
    """Embeds windows of a log-mel spectrogram.

    One part of the embedding is the average spectrum, its level halved. The other is learnt: the average
    without its level, the power of each band's modulations at five ranges of rates, and its variance go
    through two hidden layers and, beside them, straight on to the vector that training compares (`project`);
    that vector's leading directions are kept.

    Parameters
    ----------
    bands
        F of the spectrogram.
    hidden
        The width of the first hidden layer; the second has half of it.
    projected
        P, of the vector that training compares.
    components
        K, how many of its directions are kept.
    """

    mean: Tensor
    axes: Tensor

    def __init__(
        self, *, bands: int = 128, hidden: int = 1024, projected: int = 256, components: int = 64
    ) -> None:
        super().__init__()
        self.embedding_size = bands + components
        size = bands * (2 + len(RATE_BINS))
        self.inputs = nn.BatchNorm1d(size)
        self.deep = nn.Sequential(
            nn.Linear(size, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden // 2),
            nn.BatchNorm1d(hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, projected, bias=False),
        )
        self.direct = nn.Linear(size, projected, bias=False)
        self.outputs = nn.BatchNorm1d(projected)
        self.register_buffer("mean", torch.zeros(projected))
        self.register_buffer("axes", torch.zeros(projected, components))

    def forward(self, levels: Tensor) -> Tensor:
        """Return the embeddings (B, F + K) of windows (B, T, F) in dB."""
        average = levels.mean(dim=1)  # (B, F)
        spectrum = average - LEVEL_SHARE * average.mean(dim=1, keepdim=True)
        learnt = (self.project(levels) - self.mean) @ self.axes  # (B, K)
        return torch.cat([spectrum / SPECTRUM_SCALE, LEARNT_SCALE * learnt], dim=1)

    def project(self, levels: Tensor) -> Tensor:
        """Return what training compares, (B, P), of windows (B, T, F) in dB."""
        inputs = self.inputs(statistics(levels))
        projected: Tensor = self.outputs(self.deep(inputs) + self.direct(inputs))
        return projected

    def fit_axes(self, projected: Tensor) -> None:
        """Keep the leading directions of vectors (N, P)."""
        self.mean.copy_(projected.mean(dim=0))
        _, _, directions = torch.linalg.svd(projected - self.mean, full_matrices=False)
        self.axes.copy_(directions[: self.axes.shape[1]].T)


def statistics(levels: Tensor) -> Tensor:
    """Return what the network hears of windows (B, T, F) in dB: (B, (2 + rates)·F).

    The average without its level, half the logarithm of the modulations' power in each range of rates, and
    of the variance; all of about unit spread.
    """
    average = levels.mean(dim=1)  # (B, F)
    around = levels - average[:, None]  # (B, T, F)
    window = torch.hann_window(levels.shape[1], device=levels.device)[:, None]
    spectrum = torch.fft.rfft(around * window, dim=1)  # (B, T // 2 + 1, F)
    power = spectrum.real.square() + spectrum.imag.square()
    rates = [(power[:, first:last].mean(dim=1) + 1.0).log() / 2 - 2.0 for first, last in RATE_BINS]
    deviation = (around.square().mean(dim=1) + 0.1).log() / 2 - 1.0
    coloured = (average - average.mean(dim=1, keepdim=True)) / DECIBEL_SPREAD
    return torch.cat([coloured, *rates, deviation], dim=1)
