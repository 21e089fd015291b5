from __future__ import annotations

import pytest
import torch
from torch.nn import functional

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


def test_weights_for_images_are_those_of_the_published_network() -> None:
    """A grey image through the layers under torchvision's names, with ImageNet's shapes."""
    torch.manual_seed(0)
    widths = (64, 64, 128, 256, 512)
    state: dict[str, torch.Tensor] = {}

    def add(convolution: str, norm: str, *shape: int) -> None:
        state[f"{convolution}.weight"] = torch.randn(shape) / (shape[1] * shape[2]) ** 0.5 / 2
        state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.rand(shape[0]), torch.randn(shape[0])
        state[f"{norm}.running_mean"] = torch.randn(shape[0])
        state[f"{norm}.running_var"] = 1 + torch.rand(shape[0])
        state[f"{norm}.num_batches_tracked"] = torch.tensor(3)

    add("conv1", "bn1", 64, 3, 7, 7)
    for stage in range(1, 5):
        for block in range(2):
            before, after, place = widths[stage - 1 + block], widths[stage], f"layer{stage}.{block}"
            add(f"{place}.conv1", f"{place}.bn1", after, before, 3, 3)
            add(f"{place}.conv2", f"{place}.bn2", after, after, 3, 3)
            if before != after:
                add(f"{place}.downsample.0", f"{place}.downsample.1", after, before, 1, 1)

    def normed(x: torch.Tensor, convolution: str, norm: str, stride: int) -> torch.Tensor:
        kernel = state[f"{convolution}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        parts = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var"))
        return functional.batch_norm(x, *parts, state[f"{norm}.weight"], state[f"{norm}.bias"])

    image = torch.randn(2, 64, 48)
    x = normed(image[:, None].expand(-1, 3, -1, -1), "conv1", "bn1", 2).relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            place, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = normed(x, f"{place}.conv1", f"{place}.bn1", stride).relu()
            inner = normed(inner, f"{place}.conv2", f"{place}.bn2", 1)
            if stride == 2:
                x = normed(x, f"{place}.downsample.0", f"{place}.downsample.1", 2)
            x = (inner + x).relu()
    network = ResNet18().eval()
    network.load_image_weights({**state, "fc.weight": torch.zeros(1000, 512)})
    torch.testing.assert_close(network.maps(image), x, rtol=1e-4, atol=1e-4)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = ResNet18(width=4)
    network(torch.randn(4, 64, 64)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
