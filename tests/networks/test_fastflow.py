from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from thrum.networks.fastflow import LOG_SCALE_BOUND, AffineCoupling, FastFlow, GlobalAffine

SHAPE = (3, 5, 2, 3)  # an odd number of channels; 30 values, so a Jacobian of 30 × 30


def random_flow(channels: int = 5, **settings: float | bool) -> FastFlow:
    torch.manual_seed(0)
    flow = FastFlow(channels, **settings).double()  # type: ignore[arg-type]
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.3)
    return flow


def jacobian_log_determinants(module: nn.Module, inputs: Tensor) -> Tensor:
    """The log-determinant (B,) from autograd's Jacobian of each input."""
    found = []
    for one in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda x: module(x[None])[0][0], one)
        found.append(torch.linalg.slogdet(jacobian.reshape(one.numel(), one.numel()))[1])
    return torch.stack(found)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_log_determinant_is_that_of_the_jacobian(steps: int) -> None:
    flow = random_flow(steps=steps, normalised=False)
    inputs = torch.randn(SHAPE, dtype=torch.float64)
    _, log_determinants = flow(inputs)
    wanted = jacobian_log_determinants(flow, inputs)
    assert wanted.abs().min() > 0.1  # not the identity
    torch.testing.assert_close(log_determinants, wanted)


def test_a_coupling_of_vectors_with_any_subnet() -> None:
    torch.manual_seed(0)
    coupling = AffineCoupling(
        4, nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 4))
    ).double()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    outputs, log_determinants = coupling(inputs)
    torch.testing.assert_close(outputs[:, :2], inputs[:, :2])
    torch.testing.assert_close(log_determinants, jacobian_log_determinants(coupling, inputs))
    torch.testing.assert_close(coupling.inverse(outputs), inputs)


def test_a_coupling_equals_what_is_computed_by_hand() -> None:
    subnet = nn.Linear(1, 2)
    nn.init.constant_(subnet.weight, 0.5)
    nn.init.zeros_(subnet.bias)
    outputs, log_determinants = AffineCoupling(2, subnet, bound=1.0)(torch.tensor([[2.0, 3.0]]))
    scale = torch.tanh(torch.tensor(1.0))  # of 0.5 · 2, bounded by 1
    torch.testing.assert_close(outputs, torch.stack([torch.tensor(2.0), 3 * scale.exp() + 1])[None])
    torch.testing.assert_close(log_determinants, scale[None])


@pytest.mark.parametrize("channels", [2, 5, 16])
def test_the_inverse_gives_the_maps_back(channels: int) -> None:
    flow = random_flow(channels, steps=4, hidden_ratio=0.5, normalised=False)
    maps = torch.randn(2, channels, 3, 4, dtype=torch.float64)
    latents, _ = flow(maps)
    assert not torch.allclose(latents, maps)
    torch.testing.assert_close(flow.inverse(latents), maps)


def test_scales_are_bounded_whatever_the_subnet_says() -> None:
    flow = random_flow(4, steps=1, affine=False)
    _, log_determinants = flow(1e6 * torch.randn(2, 4, 3, 3, dtype=torch.float64))
    assert log_determinants.abs().max() <= LOG_SCALE_BOUND * 2 * 9


def test_kernels_are_three_wide_or_take_turns_as_told() -> None:
    kernels = [coupling.subnet[0].kernel_size for coupling in FastFlow(8, steps=4).couplings]
    assert kernels == [(3, 3)] * 4
    flow = FastFlow(8, steps=4, kernels=(3, 1))
    assert [c.subnet[0].kernel_size for c in flow.couplings] == [(3, 3), (1, 1), (3, 3), (1, 1)]


def test_a_new_flow_only_normalises_and_permutes_channels() -> None:
    torch.manual_seed(0)
    maps = 5 + 3 * torch.randn(2, 6, 4, 5)
    latents, log_determinants = FastFlow(6, steps=3)(maps)
    assert not log_determinants.any()
    mean, variance = maps.mean(dim=(1, 2, 3)), maps.var(dim=(1, 2, 3), correction=0)
    wanted = (maps - mean[:, None, None, None]) / variance[:, None, None, None].sqrt()
    torch.testing.assert_close(latents.sort(dim=1).values, wanted.sort(dim=1).values)
    raw, _ = FastFlow(6, steps=3, normalised=False)(maps)
    torch.testing.assert_close(raw.sort(dim=1).values, maps.sort(dim=1).values)


def test_the_affine_fits_each_channel_as_the_normal_distribution_wants() -> None:
    """The likelihood's optimum is known: gain 1/σ, offset -μ/σ; a coupling alone cannot reach it."""
    torch.manual_seed(0)
    maps = torch.tensor([0.5, 2.0, 4.0])[:, None, None] * torch.randn(64, 3, 4, 4) + 1
    affine = GlobalAffine(3)
    optimizer = torch.optim.LBFGS(affine.parameters(), max_iter=200)

    def loss() -> Tensor:
        optimizer.zero_grad()
        latents, log_determinants = affine(maps)
        found = (0.5 * latents.square().sum(dim=(1, 2, 3)) - log_determinants).mean() / 48
        found.backward()
        return found

    optimizer.step(loss)
    latents, _ = affine(maps)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)


def test_gradient_reaches_every_parameter_and_the_maps() -> None:
    flow = random_flow(6, steps=4)
    maps = torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    latents, log_determinants = flow(maps)
    (latents.square().sum() - log_determinants.sum()).backward()
    assert all(parameter.grad.any() for parameter in flow.parameters())
    assert maps.grad is not None
    assert maps.grad.any()
