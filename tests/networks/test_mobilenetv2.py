from __future__ import annotations

import pytest
import torch
from torch import nn

from thrum.networks.mobilenetv2 import MobileNetV2


def trained_values(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("width", "wanted"),
    [(1.0, 3_504_872), (0.5, 1_968_680)],  # as torchvision and timm count their published models
)
def test_it_has_the_published_size(width: float, wanted: int) -> None:
    assert trained_values(MobileNetV2(1000, width=width)) == wanted


def test_its_layers_are_those_of_table_2() -> None:
    network = MobileNetV2(1000).eval()
    shapes: list[tuple[int, ...]] = []
    for layer in network.features:
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 224, 224)).shape == (1, 1000)
    wanted = [(32, 112, 112), (16, 112, 112)]
    for channels, repeats, size in (
        (24, 2, 56), (32, 3, 28), (64, 4, 14), (96, 3, 14), (160, 3, 7), (320, 1, 7), (1280, 1, 7)
    ):  # fmt: skip
        wanted += [(channels, size, size)] * repeats
    assert shapes == wanted
    strides = [m.stride[0] for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sum(stride == 2 for stride in strides) == 5
    residuals = [getattr(layer, "is_residual", False) for layer in network.features]
    assert sum(residuals) == 10  # every block but the first of a row


def test_the_image_of_the_baseline_is_given_three_times() -> None:
    network = MobileNetV2(4, width=0.5).eval()
    images = torch.randn(2, 64, 128)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(torch.stack([images] * 3, dim=1)))
        assert network.features(images[:, None].expand(-1, 3, -1, -1)).shape == (2, 1280, 2, 4)


def test_it_learns_everywhere() -> None:
    torch.manual_seed(0)
    network = MobileNetV2(3, width=0.1).train()
    nn.functional.cross_entropy(network(torch.randn(8, 64, 64)), torch.arange(8) % 3).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
