"""Depth-wise separable convolutions over time, the embedding's dimensions as channels.

The blocks are MobileNet's (Howard et al., 2017) in one dimension, made residual; the pooling over time by
mean and standard deviation is the x-vector's (Snyder et al., 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST_FRAMES = 16  # what striding leaves at least


class SeparableNet(nn.Module):
    """A small network on sequences of embedding frames, cheap however many dimensions these have.

    Parameters
    ----------
    dimensions
        D of the frames.
    frames
        T of the training inputs: it decides how many blocks halve the length. Any T may be given later.
    channels
        C within the network.
    blocks
        How many residual blocks.
    embedding_size
        E.
    """

    def __init__(
        self,
        dimensions: int,
        frames: int,
        *,
        channels: int = 128,
        blocks: int = 4,
        embedding_size: int = 128,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.project = nn.Sequential(
            nn.Conv1d(dimensions, channels, 1, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        strides = []
        for _ in range(blocks):
            strides.append(2 if frames > 2 * FEWEST_FRAMES else 1)
            frames //= strides[-1]
        self.blocks = nn.Sequential(*(_Block(channels, stride) for stride in strides))
        self.embed = nn.Sequential(
            nn.Linear(2 * channels, embedding_size, bias=False), nn.BatchNorm1d(embedding_size)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the embeddings (B, E) of frames (B, T, D)."""
        x = self.project(frames.transpose(1, 2))  # (B, C, T)
        x = self.blocks(x)  # (B, C, T')
        mean = x.mean(dim=2)
        deviation = (x.var(dim=2, unbiased=False) + 1e-5).sqrt()
        embeddings: Tensor = self.embed(torch.cat([mean, deviation], dim=1))  # (B, 2C) -> (B, E)
        return embeddings


class _Block(nn.Module):
    """Filter each channel over time, then mix the channels, beside a way around."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.filter = nn.Sequential(
            nn.Conv1d(channels, channels, 5, stride, 2, groups=channels, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        )
        self.mix = nn.Sequential(
            nn.Conv1d(channels, channels, 1, bias=False), nn.BatchNorm1d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.filter(x))  # (B, C, ceil(T / stride))
        return functional.relu(x[..., :: self.stride] + mixed)
