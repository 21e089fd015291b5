"""The conformer encoder (Gulati et al., Interspeech 2020), without positional encoding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SUBSAMPLING = 4
"""Frames that `ConvolutionSubsampling` makes one of: two convolutions of stride 2."""


class Conformer(nn.Module):
    """Frames to frames: an input layer, then conformer blocks.

    Attention and convolution need no fixed length, and without positional encoding a clip longer than
    those of training is nothing new.

    Parameters
    ----------
    bands
        F, of the spectrogram.
    size
        D, the model dimension.
    blocks, heads, feed_forward, kernel, dropout
        See `ConformerBlock`.
    subsample
        Begin with Gulati et al.'s convolutions, which make one frame of four; else with a linear layer
        on each frame.
    """

    def __init__(
        self,
        bands: int,
        *,
        size: int = 128,
        blocks: int = 3,
        heads: int = 4,
        feed_forward: int = 512,
        kernel: int = 31,
        dropout: float = 0.1,
        subsample: bool = True,
    ) -> None:
        super().__init__()
        self.embedding_size = size
        self.input = nn.Sequential(
            ConvolutionSubsampling(bands, size) if subsample else nn.Linear(bands, size),
            nn.Dropout(dropout),
        )
        self.blocks = nn.Sequential(
            *(
                ConformerBlock(
                    size, heads=heads, feed_forward=feed_forward, kernel=kernel, dropout=dropout
                )
                for _ in range(blocks)
            )
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Return frames (B, T', D) of spectrograms (B, T, F), T ≥ 1 free; T' = ⌈T / 4⌉ or T."""
        frames: Tensor = self.blocks(self.input(levels))
        return frames


class ConvolutionSubsampling(nn.Module):
    """Two 3×3 convolutions of stride 2 in time and frequency, then a linear layer on each frame.

    Parameters
    ----------
    bands
        F.
    size
        D, channels of the convolutions and of the output.
    """

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, size, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(size, size, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Linear(size * -(-bands // SUBSAMPLING), size)

    def forward(self, levels: Tensor) -> Tensor:
        """Return frames (B, ⌈T / 4⌉, D) of spectrograms (B, T, F)."""
        maps = self.convolutions(levels[:, None])  # (B, D, T/4, F/4)
        frames: Tensor = self.linear(maps.transpose(1, 2).flatten(2))  # (B, T/4, D)
        return frames


class ConformerBlock(nn.Module):
    """Half a feed-forward step, self-attention, convolution, half a feed-forward step, layer norm.

    Parameters
    ----------
    size
        D.
    heads
        Of the self-attention; D is a multiple of it.
    feed_forward
        Units between the two linear layers of a feed-forward step.
    kernel
        Frames that the depth-wise convolution sees; odd. (Gulati et al. use 32, which has no centre.)
    dropout
        After every module (section 2 there).
    """

    def __init__(
        self, size: int, *, heads: int, feed_forward: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        self.before = FeedForward(size, feed_forward, dropout)
        self.attention_norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, heads, dropout=dropout, batch_first=True)
        self.attention_dropout = nn.Dropout(dropout)
        self.convolution = ConvolutionModule(size, kernel, dropout)
        self.after = FeedForward(size, feed_forward, dropout)
        self.norm = nn.LayerNorm(size)

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames (B, T, D) of frames (B, T, D)."""
        frames = frames + 0.5 * self.before(frames)
        query = self.attention_norm(frames)
        attended, _ = self.attention(query, query, query, need_weights=False)
        frames = frames + self.attention_dropout(attended)
        frames = frames + self.convolution(frames)
        frames = frames + 0.5 * self.after(frames)
        normed: Tensor = self.norm(frames)
        return normed


class FeedForward(nn.Sequential):
    """Layer norm, a linear layer, Swish, a linear layer back (figure 4 there)."""

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(size),
            nn.Linear(size, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, size),
            nn.Dropout(dropout),
        )


class ConvolutionModule(nn.Module):
    """Layer norm, a gated linear layer, depth-wise convolution, a linear layer (figure 2 there)."""

    def __init__(self, size: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, 2 * size)
        self.depthwise = nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size)
        self.batch_norm = nn.BatchNorm1d(size)
        self.project = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames (B, T, D) of frames (B, T, D)."""
        gated = nn.functional.glu(self.expand(self.norm(frames)), dim=2)  # (B, T, D)
        filtered = self.batch_norm(self.depthwise(gated.transpose(1, 2)))  # (B, D, T)
        swished = torch.nn.functional.silu(filtered).transpose(1, 2)  # (B, T, D)
        out: Tensor = self.dropout(self.project(swished))
        return out
