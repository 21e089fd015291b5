"""ResNet-18 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) of one channel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

STRIDE = 32
"""Rows and columns of the input to one of the maps, the last being rounded up."""


class ResNet18(nn.Module):
    """From images to maps of 8 · `width` channels, and the maps' mean as the embedding.

    Parameters
    ----------
    width
        Channels of the first stage, the paper's 64; the cost goes with its square.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.embedding_size = 8 * width
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage, out_channels in enumerate((width, 2 * width, 4 * width, 8 * width)):
            blocks += [
                _Block(channels, out_channels, stride=1 if stage == 0 else 2),
                _Block(out_channels, out_channels, stride=1),
            ]
            channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al., 2015, as in all implementations since
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def load_image_weights(self, state: Mapping[str, Tensor]) -> None:
        """Take over weights for images of three colours, under torchvision's names.

        The kernels of the three colours are summed: a grey image is the same in all. The classifier of
        ImageNet is not used.

        Raises
        ------
        KeyError
            Where a tensor is missing.
        RuntimeError
            Where one has another shape.
        """
        own = {}
        for name in self.state_dict():
            value = state[_image_name(name)]
            own[name] = value.sum(dim=1, keepdim=True) if name == "stem.0.weight" else value
        self.load_state_dict(own)

    def maps(self, images: Tensor) -> Tensor:
        """Return the maps (B, 8 · width, ⌈H/32⌉, ⌈W/32⌉) of images (B, H, W), none negative."""
        stem = self.stem(images[:, None])  # (B, width, H/4, W/4)
        maps: Tensor = self.blocks(stem)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, 8 · width) of images (B, H, W)."""
        return self.maps(images).mean(dim=(2, 3))


class _Block(nn.Module):
    """Two convolutions and the input beside them, brought to their shape where it differs."""

    def __init__(self, channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels == out_channels
            else nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.layers(maps) + self.shortcut(maps))


def _image_name(name: str) -> str:
    """Return what torchvision calls a tensor of ours."""
    place, *rest = name.split(".")
    if place == "stem":
        return ".".join([{"0": "conv1", "1": "bn1"}[rest[0]], *rest[1:]])
    number, part, index, *leaf = rest
    stage, block = divmod(int(number), 2)
    layer = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2"}[index]
    if part == "shortcut":
        layer = f"downsample.{index}"
    return ".".join([f"layer{stage + 1}", str(block), layer, *leaf])
