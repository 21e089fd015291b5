"""MobileFaceNet (Chen et al., 2018, table 1), its global depth-wise convolution sized to the input."""

from __future__ import annotations

from torch import Tensor, nn

BOTTLENECKS = (
    # expansion, channels, repeats, stride of the first
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
)


class MobileFaceNet(nn.Module):
    """A small image network that ends in a global depth-wise convolution instead of pooling.

    Parameters
    ----------
    height, width
        The size of the images; the paper's 112 × 112 gives its 7 × 7 global convolution.
    embedding_size
        E, the paper's 128.
    """

    def __init__(self, height: int, width: int, *, embedding_size: int = 128) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        layers: list[nn.Module] = [
            _convolution(1, 64, kernel=3, stride=2),
            _convolution(64, 64, kernel=3, groups=64),
        ]
        channels = 64
        for expansion, out_channels, repeats, first_stride in BOTTLENECKS:
            for index in range(repeats):
                stride = first_stride if index == 0 else 1
                layers.append(_Bottleneck(channels, out_channels, expansion, stride))
                channels = out_channels
        layers.append(_convolution(channels, 512, kernel=1))
        self.features = nn.Sequential(*layers)
        for _ in range(4):  # four strides of two, padded: halves are rounded up
            height, width = (height + 1) // 2, (width + 1) // 2
        self.global_depthwise = nn.Sequential(
            nn.Conv2d(512, 512, (height, width), groups=512, bias=False), nn.BatchNorm2d(512)
        )
        self.embed = nn.Sequential(
            nn.Conv2d(512, embedding_size, 1, bias=False), nn.BatchNorm2d(embedding_size)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, E) of images (B, height, width)."""
        maps = self.features(images[:, None])  # (B, 512, height/16, width/16)
        pooled = self.global_depthwise(maps)  # (B, 512, 1, 1)
        embeddings: Tensor = self.embed(pooled).flatten(1)  # (B, E)
        return embeddings


class _Bottleneck(nn.Module):
    """An inverted residual: widen, filter each channel, narrow linearly."""

    def __init__(self, channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.residual = stride == 1 and channels == out_channels
        self.layers = nn.Sequential(
            _convolution(channels, wide, kernel=1),
            _convolution(wide, wide, kernel=3, stride=stride, groups=wide),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        filtered: Tensor = self.layers(maps)
        return maps + filtered if self.residual else filtered


def _convolution(
    channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.PReLU(out_channels),
    )
