from __future__ import annotations

import pytest
import torch

from thrum.networks.resnet import STRIDE, ResNet18


def test_it_has_resnet_18s_parameters() -> None:
    # 11,689,512 of the published network, less its classifier of 1000 classes and two of three
    # input channels
    wanted = 11_689_512 - (512 * 1000 + 1000) - 2 * 64 * 7 * 7
    assert sum(parameter.numel() for parameter in ResNet18().parameters()) == wanted


@pytest.mark.parametrize(("height", "width"), [(224, 313), (64, 33), (7, 5)])
def test_maps_of_any_size(height: int, width: int) -> None:
    network = ResNet18(width=2).eval()
    images = torch.randn(2, height, width)
    maps = network.maps(images)
    assert maps.shape == (2, 16, -(-height // STRIDE), -(-width // STRIDE))
    assert maps.min() >= 0
    assert network.embedding_size == 16
    torch.testing.assert_close(network(images), maps.mean(dim=(2, 3)))


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = ResNet18(width=4)
    network(torch.randn(4, 64, 64)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
