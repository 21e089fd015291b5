"""YAMNet's convolutions against TensorFlow's padding, by its definition."""

import pytest
import torch
from torch.nn.functional import conv2d, pad

from thrum.networks.yamnet import YAMNet


@pytest.mark.parametrize("layer", [0, 3, 23])
def test_a_stride_of_two_pads_only_the_end(layer: int) -> None:
    torch.manual_seed(0)
    convolution = YAMNet().layers[layer][0]
    assert convolution.stride == (2, 2)
    maps = torch.randn(2, convolution.in_channels, 6, 4)
    wanted = conv2d(
        pad(maps, (0, 1, 0, 1)), convolution.weight, stride=2, groups=convolution.groups
    )
    torch.testing.assert_close(convolution(maps), wanted)
