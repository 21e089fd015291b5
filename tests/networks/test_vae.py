from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from thrum.networks.idnn import IDNN, VIDNN, without_middle
from thrum.networks.vae import VAE


def sizes(network: nn.Module) -> list[tuple[int, int]]:
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in linear]


def test_a_vae_narrows_to_means_and_variances_and_widens_again() -> None:
    assert sizes(VAE(640, 640)) == [(640, 64), (64, 32), (32, 32), (16, 32), (32, 64), (64, 640)]


def test_while_training_outputs_are_of_draws_and_then_of_the_mean() -> None:
    torch.manual_seed(0)
    network = VAE(6, 3, widths=(8,), bottleneck=2)
    x = torch.randn(5, 6).expand(4000, 5, 6).flatten(0, 1)
    outputs, means, log_variances = network.eval()(x)
    torch.testing.assert_close(outputs, network.decoder(means))
    assert torch.equal(network(x)[0], outputs)
    network.train()
    network.decoder = nn.Identity()
    draws = network(x)[0].unflatten(0, (4000, 5))  # of one latent distribution each
    torch.testing.assert_close(draws.mean(0), means[:5], atol=0.08, rtol=0)
    torch.testing.assert_close(draws.std(0), (0.5 * log_variances[:5]).exp(), rtol=0.1, atol=0)


def test_the_middle_frame_is_taken_out() -> None:
    windows = torch.arange(10.0).reshape(1, 5, 2)
    surroundings, middle = without_middle(windows)
    assert surroundings.tolist() == [[0, 1, 2, 3, 6, 7, 8, 9]]
    assert middle.tolist() == [[4, 5]]


@pytest.mark.parametrize("kind", [IDNN, VIDNN])
@pytest.mark.parametrize("frames", [3, 5])
def test_what_is_guessed_of_the_middle_frame_does_not_depend_on_it(
    kind: type[IDNN | VIDNN], frames: int
) -> None:
    torch.manual_seed(0)
    network = kind(frames, 6, widths=(8,), bottleneck=4).eval()
    windows = torch.randn(3, frames, 6, requires_grad=True)
    network(windows)[1].square().sum().backward()
    reached = windows.grad.abs().sum(dim=(0, 2)) > 0
    assert reached.tolist() == [frame != frames // 2 for frame in range(frames)]


def test_interpolation_has_four_frames_in_and_one_out() -> None:
    assert sizes(IDNN(5, 128)) == [
        (512, 64), (64, 32), (32, 16), (16, 32), (32, 64), (64, 128)
    ]  # fmt: skip
    assert sizes(VIDNN(5, 128)) == [
        (512, 64), (64, 32), (32, 32), (16, 32), (32, 64), (64, 128)
    ]  # fmt: skip


@pytest.mark.parametrize("network", [VAE(15, 15), IDNN(5, 3), VIDNN(5, 3)])
def test_they_learn_everywhere(network: nn.Module) -> None:
    torch.manual_seed(0)
    windows: Tensor = torch.randn(64, 5, 3)
    outputs = network.train()(windows.flatten(1) if isinstance(network, VAE) else windows)
    sum(each.square().sum() for each in outputs[isinstance(network, IDNN | VIDNN) :]).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
