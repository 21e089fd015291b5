"""YAMNet: MobileNet v1 (Howard et al., 2017) over patches of 96 log-mel frames.

The reference is TensorFlow's research/audioset/yamnet (Apache-2.0); modules are registered in the
order of its layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 521
EMBEDDING_SIZE = 1024
FIRST_CHANNELS = 32
LAYERS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, EMBEDDING_SIZE),
)
"""(stride, channels) of each depthwise separable layer."""
BATCH_NORM_EPS = 1e-4


class YAMNet(nn.Module):
    """Patches (N, 96, 64) to embeddings (N, 1024); `classifier` gives the logits of 521 classes."""

    embedding_size = EMBEDDING_SIZE

    def __init__(self) -> None:
        super().__init__()
        layers = [_convolution(1, FIRST_CHANNELS, kernel=3, stride=2)]
        channels = FIRST_CHANNELS
        for stride, wider in LAYERS:
            layers.append(
                _convolution(channels, channels, kernel=3, stride=stride, groups=channels)
            )
            layers.append(_convolution(channels, wider, kernel=1))
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(EMBEDDING_SIZE, CLASSES)

    def forward(self, patches: Tensor) -> Tensor:
        """Return embeddings (N, 1024) of patches (N, 96, 64), time before mel."""
        maps: Tensor = self.layers(patches.unsqueeze(1))  # (N, 1024, 3, 2)
        return maps.mean(dim=(2, 3))  # (N, 1024)


def _convolution(
    channels: int, wider: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    kind = nn.Conv2d if stride == 1 else _Halving
    convolution = kind(
        channels, wider, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(
        convolution, nn.BatchNorm2d(wider, eps=BATCH_NORM_EPS), nn.ReLU(inplace=True)
    )


class _Halving(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding "same".

    That pads an even length by one at its end only. A zero put before the kernel, and the map padded
    at both ends, is the same without a copy of the map.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C', H / 2, W / 2) of maps (N, C, H, W), H and W even."""
        if torch.onnx.is_in_onnx_export():  # it wants a kernel of known size, and fuses the padding
            padded = functional.pad(maps, (0, 1, 0, 1))
            return functional.conv2d(
                padded, self.weight, self.bias, self.stride, groups=self.groups
            )
        kernel = functional.pad(self.weight, (1, 0, 1, 0))  # (C', C / groups, 4, 4)
        return functional.conv2d(
            maps, kernel, self.bias, self.stride, self.padding, groups=self.groups
        )
