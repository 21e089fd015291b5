"""The time-delay network of x-vectors (Snyder et al., ICASSP 2018, table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAME_LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1))
"""Taps and frames from one tap to the next: the contexts {t-2 … t+2}, {t-2, t, t+2}, {t-3, t, t+3}, {t}."""
VARIANCE_FLOOR = 1e-6


class TDNN(nn.Module):
    """Five layers over frames, statistics pooled over time, one layer over the clip: the x-vector.

    As in Kaldi's recipe, each frame layer is affine, ReLU, batch normalisation, the frames at the ends
    are repeated for those that its context lacks, and the embedding is taken before the non-linearity.

    Parameters
    ----------
    channels
        Of the input; several feature maps of F bins are so many times F channels.
    width
        Channels of the first four layers; the paper's 512.
    pooled_width
        Channels of the fifth, whose mean and deviation are pooled; the paper's 1500.
    embedding_size
        E, the paper's 512.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 512,
        pooled_width: int = 1500,
        embedding_size: int = 512,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        layers = []
        for taps, dilation in FRAME_LAYERS:
            layers.append(_layer(channels, width, taps=taps, dilation=dilation))
            channels = width
        self.frames = nn.Sequential(*layers, _layer(width, pooled_width, taps=1, dilation=1))
        self.embed = nn.Linear(2 * pooled_width, embedding_size)

    def forward(self, features: Tensor) -> Tensor:
        """Return the embeddings (B, E) of features (B, channels, T), T ≥ 1 free."""
        maps = self.frames(features)  # (B, pooled_width, T)
        variance, mean = torch.var_mean(maps, dim=2, correction=0)  # (B, pooled_width) each
        deviation = (variance + VARIANCE_FLOOR).sqrt()  # the floor keeps the gradient finite
        embeddings: Tensor = self.embed(torch.cat([mean, deviation], dim=1))  # (B, E)
        return embeddings


def _layer(channels: int, out_channels: int, *, taps: int, dilation: int) -> nn.Sequential:
    reach = dilation * (taps - 1) // 2
    return nn.Sequential(
        nn.ReplicationPad1d(reach),
        nn.Conv1d(channels, out_channels, taps, dilation=dilation),
        nn.ReLU(),
        nn.BatchNorm1d(out_channels),
    )
