"""MobileNet v2 (Sandler et al., 2018), as the baselines of DCASE task 2 of 2021 and 2022 classify with it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from thrum.networks.mobilenetv3 import Block, InvertedResidual, convolution, scaled

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
"""Not multiplied where the width is less than 1, as in Keras."""
IMAGE_CHANNELS = 3
MOMENTUM = 0.1
"""Of batch normalisation, PyTorch's. Keras's is 0.001: it takes thousands of batches until a network scores
by the statistics that it was trained with, and small sites have fewer."""


class Row(NamedTuple):
    """One row of table 2: expansion, channels, repeats, stride of the first."""

    expansion: int
    channels: int
    repeats: int
    stride: int


ROWS = (
    Row(1, 16, 1, 1),
    Row(6, 24, 2, 2),
    Row(6, 32, 3, 2),
    Row(6, 64, 4, 2),
    Row(6, 96, 3, 1),
    Row(6, 160, 3, 2),
    Row(6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """Images to logits of classes.

    Blocks are those of `mobilenetv3`, which are the same but for the activation.

    Parameters
    ----------
    classes
        K.
    width
        What the channels are multiplied by, 1 at most.
    """

    def __init__(self, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        self.embedding_size = HEAD_CHANNELS
        channels = scaled(STEM_CHANNELS, width)
        layers: list[nn.Module] = [
            convolution(IMAGE_CHANNELS, channels, kernel=3, stride=2, activation=nn.ReLU6)
        ]
        for row in ROWS:
            out = scaled(row.channels, width)
            for index in range(row.repeats):
                stride = row.stride if index == 0 else 1
                block = Block(3, row.expansion * channels, out, False, nn.ReLU6, stride)
                layers.append(InvertedResidual(channels, block, width=1.0))  # scaled already
                channels = out
        layers.append(convolution(channels, HEAD_CHANNELS, kernel=1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(HEAD_CHANNELS, classes)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = MOMENTUM

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of images (B, H, W), or of images (B, 3, H, W) in colour."""
        if images.ndim == 3:
            images = images[:, None].expand(-1, IMAGE_CHANNELS, -1, -1)
        maps = self.features(images)  # (B, 1280, H / 32, W / 32)
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits
