"""YAMNet: MobileNet v1 (Howard et al., 2017) over patches of 96 log-mel frames.

The reference is TensorFlow's research/audioset/yamnet (Apache-2.0); modules are registered in the
order of its layers.
"""

from __future__ import annotations

from torch import Tensor, nn

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
    # TensorFlow's padding "same" pads an even length by one at its end where the stride is 2.
    padding = kernel // 2 if stride == 1 else 0
    convolution = nn.Conv2d(
        channels, wider, kernel, stride=stride, padding=padding, groups=groups, bias=False
    )
    normalised = [convolution, nn.BatchNorm2d(wider, eps=BATCH_NORM_EPS), nn.ReLU(inplace=True)]
    ends = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    return nn.Sequential(*ends, *normalised)
