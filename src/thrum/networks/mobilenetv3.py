"""MobileNet v3 (Howard et al., 2019) over spectrograms, as EfficientAT (Schmid et al., 2023) trains it.

The names of modules are those of the published checkpoints (fschmid56/EfficientAT, MIT).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

CLASSES = 527
STEM_CHANNELS = 16
CLASSIFIER_CHANNELS = 1280
HEAD_EXPANSION = 6
SQUEEZE = 4


class Block(NamedTuple):
    """One row of table 1: kernel, expanded and output channels, attention, activation, stride."""

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    activation: type[nn.Module]
    stride: int


BLOCKS = (
    Block(3, 16, 16, False, nn.ReLU, 1),
    Block(3, 64, 24, False, nn.ReLU, 2),
    Block(3, 72, 24, False, nn.ReLU, 1),
    Block(5, 72, 40, True, nn.ReLU, 2),
    Block(5, 120, 40, True, nn.ReLU, 1),
    Block(5, 120, 40, True, nn.ReLU, 1),
    Block(3, 240, 80, False, nn.Hardswish, 2),
    Block(3, 200, 80, False, nn.Hardswish, 1),
    Block(3, 184, 80, False, nn.Hardswish, 1),
    Block(3, 184, 80, False, nn.Hardswish, 1),
    Block(3, 480, 112, True, nn.Hardswish, 1),
    Block(3, 672, 112, True, nn.Hardswish, 1),
    Block(5, 672, 160, True, nn.Hardswish, 2),
    Block(5, 960, 160, True, nn.Hardswish, 1),
    Block(5, 960, 160, True, nn.Hardswish, 1),
)
_BatchNorm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class MobileNetV3(nn.Module):
    """Spectrograms (N, 1, F, T) to maps (N, D, F/32, T/32); `classifier` takes them to logits.

    Parameters
    ----------
    width
        What the channels of the original are multiplied by: 0.4 for mn04, 1.0 for mn10.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, width)
        layers: list[nn.Module] = [convolution(1, channels, kernel=3, stride=2)]
        for block in BLOCKS:
            layers.append(InvertedResidual(channels, block, width=width))
            channels = scaled(block.out, width)
        self.embedding_size = HEAD_EXPANSION * channels
        layers.append(convolution(channels, self.embedding_size, kernel=1))
        self.features = nn.Sequential(*layers)
        hidden = scaled(CLASSIFIER_CHANNELS, width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(self.embedding_size, hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, CLASSES),
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the maps of spectrograms."""
        maps: Tensor = self.features(spectrograms)
        return maps


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, weigh the channels, project; and the input added if it fits."""

    def __init__(self, channels: int, block: Block, *, width: float) -> None:
        super().__init__()
        expanded, out = scaled(block.expanded, width), scaled(block.out, width)
        layers: list[nn.Module] = []
        if expanded != channels:
            layers.append(convolution(channels, expanded, kernel=1, activation=block.activation))
        layers.append(
            convolution(
                expanded,
                expanded,
                kernel=block.kernel,
                stride=block.stride,
                groups=expanded,
                activation=block.activation,
            )
        )
        if block.squeezes:
            layers.append(SqueezeExcitation(expanded))
        layers.append(convolution(expanded, out, kernel=1, activation=None))
        self.block = nn.Sequential(*layers)
        self.is_residual = block.stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, H / stride, W / stride) of (N, channels, H, W)."""
        y: Tensor = self.block(x)
        return y.add_(x) if self.is_residual else y


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what all channels are on average (Hu et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The checkpoints hold one such layer for each axis weighed; here that is the channels alone.
        self.conc_se_layers = nn.ModuleList([_Gate(channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        gate: Tensor = self.conc_se_layers[0](x.mean(dim=(2, 3)))  # (N, C)
        return x * gate[:, :, None, None]


class _Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _divisible(channels // SQUEEZE)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x))))


def convolution(
    channels: int,
    wider: int,
    *,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.Hardswish,
) -> nn.Sequential:
    """Return a convolution with batch normalisation and its activation."""
    layer = nn.Conv2d(
        channels, wider, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(layer, _BatchNorm(wider), *([activation()] if activation else []))


def scaled(channels: int, width: float) -> int:
    """Return how many channels a network of this width has, where the original has `channels`."""
    return _divisible(channels * width)


def _divisible(channels: float, divisor: int = 8) -> int:
    """Return the nearest multiple of `divisor`, not more than a tenth below `channels`."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
