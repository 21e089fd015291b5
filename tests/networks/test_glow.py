from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from thrum.errors import ConfigError
from thrum.networks.glow import ActNorm, Glow, InvertibleConvolution, Step


def random_glow(frames: int = 4, bands: int = 8, **settings: int) -> Glow:
    torch.manual_seed(0)
    network = Glow(frames, bands, **{"levels": 2, "steps": 2, "hidden": 5, **settings}).double()
    with torch.no_grad():
        for parameter in network.parameters():  # away from rotations and identities
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def jacobian_log_determinants(module: nn.Module, inputs: Tensor) -> Tensor:
    """The log-determinant (B,) from autograd's Jacobian of each input."""
    found = []
    for one in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda x: module(x[None])[0][0], one)
        found.append(torch.linalg.slogdet(jacobian.reshape(one.numel(), one.numel()))[1])
    return torch.stack(found)


@pytest.mark.parametrize(("levels", "steps"), [(1, 1), (2, 2)])
def test_the_log_determinant_is_that_of_the_jacobian(levels: int, steps: int) -> None:
    network = random_glow(levels=levels, steps=steps)
    spectrograms = torch.randn(3, 4, 8, dtype=torch.float64)
    latents, log_determinants = network(spectrograms)
    assert latents.shape == (3, 32)
    wanted = jacobian_log_determinants(network, spectrograms)
    assert wanted.abs().min() > 0.1  # not the identity
    torch.testing.assert_close(log_determinants, wanted)


@pytest.mark.parametrize("module", [ActNorm(4), InvertibleConvolution(4), Step(4, 6)])
def test_every_part_has_its_log_determinant_and_its_inverse(module: nn.Module) -> None:
    torch.manual_seed(1)
    module.double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    maps = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    outputs, log_determinants = module(maps)
    torch.testing.assert_close(log_determinants, jacobian_log_determinants(module, maps))
    torch.testing.assert_close(module.inverse(outputs), maps)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_inverse_gives_the_spectrograms_back(levels: int) -> None:
    network = random_glow(8, 16, levels=levels)
    spectrograms = torch.randn(2, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(network.inverse(network(spectrograms)[0]), spectrograms)


def test_the_first_batch_in_training_sets_the_normalisations_for_good() -> None:
    torch.manual_seed(0)
    network = Glow(4, 8, levels=2, steps=2, hidden=5).train()
    loud = 7 * torch.randn(64, 4, 8) * torch.arange(1, 9) - 30  # another spread in every band
    latents, _ = network(loud)
    assert abs(latents.mean().item()) < 1e-5
    assert latents.std().item() == pytest.approx(1, abs=0.01)
    bands = network.band_norm(loud.transpose(1, 2))[0]
    torch.testing.assert_close(
        bands.std(dim=(0, 2), correction=0), torch.ones(8), rtol=1e-4, atol=0
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.randn(64, 4, 8))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_rotation_to_begin_with() -> None:
    convolution = InvertibleConvolution(6)
    torch.testing.assert_close(convolution.weight @ convolution.weight.T, torch.eye(6))
    torch.testing.assert_close(
        convolution(torch.randn(2, 6, 3, 3))[1], torch.zeros(2), atol=1e-4, rtol=0
    )


def test_it_learns_everywhere() -> None:
    network = random_glow(8, 8).train()
    latents, log_determinants = network(torch.randn(6, 8, 8, dtype=torch.float64))
    (latents.square().sum() - log_determinants.sum()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_a_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 levels want .* multiples of 8, got 12 and 128"):
        Glow(12, 128, levels=3)
