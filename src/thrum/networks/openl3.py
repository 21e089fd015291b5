"""OpenL3's audio sub-network (Cramer et al., 2019): eight convolutions over one second.

The reference is marl/openl3 (MIT); modules are registered in the order of its layers.
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCK_CHANNELS = (64, 128, 256, 512)
BATCH_NORM_EPS = 1e-3


class OpenL3(nn.Module):
    """Spectrograms (N, 1, F, T) to maps (N, 512, F // 8, T // 8), before any pooling."""

    embedding_size = BLOCK_CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm2d(1, eps=BATCH_NORM_EPS)]
        channels = 1
        for wider in BLOCK_CHANNELS:
            for into in (channels, wider):
                layers += [
                    nn.Conv2d(into, wider, kernel_size=3, padding=1),
                    nn.BatchNorm2d(wider, eps=BATCH_NORM_EPS),
                    nn.ReLU(inplace=True),
                ]
            layers.append(nn.MaxPool2d(2))
            channels = wider
        # The embedding is the last convolution itself: nothing comes after it.
        self.layers = nn.Sequential(*layers[:-3])

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the maps of spectrograms."""
        maps: Tensor = self.layers(spectrograms)
        return maps
