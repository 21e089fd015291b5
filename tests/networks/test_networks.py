from __future__ import annotations

import pytest
import torch
from torch import nn

from thrum.networks.mobilefacenet import MobileFaceNet
from thrum.networks.separable import SeparableNet

IMAGES = [(32, 128), (8, 1024), (5, 7)]


@pytest.mark.parametrize(("height", "width"), IMAGES)
def test_mobilefacenet_takes_any_size(height: int, width: int) -> None:
    network = MobileFaceNet(height, width)
    assert network(torch.randn(2, height, width)).shape == (2, 128)
    gradient_reaches_every_parameter(network, torch.randn(3, height, width))


def test_mobilefacenet_has_the_papers_size() -> None:
    network = MobileFaceNet(112, 112)
    convolution = network.global_depthwise[0]
    assert convolution.weight.shape == (512, 1, 7, 7)
    # 0.99 M in the paper's table 2; its three input channels are one here
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(0.99e6, rel=0.02)


def test_mobilefacenet_adds_what_comes_in_wherever_it_fits() -> None:
    """Table 1 of its paper: all but the first of five, all six, both: there the block only adds to it."""
    blocks = [block for block in MobileFaceNet(32, 32).features if hasattr(block, "residual")]
    assert [block.residual for block in blocks] == [
        False,
        *[True] * 4,
        False,
        *[True] * 6,
        False,
        True,
        True,
    ]
    for block in blocks:
        maps = torch.randn(2, block.layers[0][0].in_channels, 4, 4)
        nn.init.zeros_(block.layers[-1].weight)  # what is filtered adds nothing
        torch.testing.assert_close(block(maps), maps) if block.residual else None
        assert block.residual or not block(maps).any()


@pytest.mark.parametrize("frames", [2, 13, 128, 300])
def test_separable_net_takes_any_length(frames: int) -> None:
    network = SeparableNet(20, 128)
    assert network(torch.randn(2, frames, 20)).shape == (2, 128)


def test_separable_net_learns_everywhere() -> None:
    gradient_reaches_every_parameter(SeparableNet(20, 128), torch.randn(3, 128, 20))


def test_separable_net_strides_until_few_frames_are_left() -> None:
    strides = [block.stride for block in SeparableNet(4, 128, blocks=5).blocks]
    assert strides == [2, 2, 1, 1, 1]


def gradient_reaches_every_parameter(network: nn.Module, inputs: torch.Tensor) -> None:
    network.train()
    network(inputs).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
