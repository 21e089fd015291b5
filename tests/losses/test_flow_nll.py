from __future__ import annotations

import torch
from torch.distributions import MultivariateNormal, Normal

from thrum.losses.flow_nll import FlowNLL, latent_surprise


def test_it_is_the_density_of_a_linear_flow() -> None:
    """z = A x of standard normal z makes x normal with covariance (AᵀA)⁻¹."""
    torch.manual_seed(0)
    matrix = torch.randn(4, 4, dtype=torch.float64)
    inputs = torch.randn(6, 4, dtype=torch.float64)
    log_determinants = torch.linalg.slogdet(matrix)[1].expand(6)
    of_inputs = MultivariateNormal(
        torch.zeros(4, dtype=torch.float64), precision_matrix=matrix.T @ matrix
    )
    wanted = -of_inputs.log_prob(inputs).mean()
    torch.testing.assert_close(FlowNLL()(inputs @ matrix.T, log_determinants), wanted)


def test_the_first_channels_follow_their_own_means() -> None:
    torch.manual_seed(0)
    latents = torch.randn(2, 3, 4, 5)
    means = torch.tensor([[5.0, 5.0], [-10.0, -10.0]])
    wanted = [
        -Normal(torch.tensor([mean, mean, 0.0])[:, None, None], 1.0).log_prob(one).sum()
        for mean, one in zip([5.0, -10.0], latents, strict=True)
    ]
    loss = FlowNLL()(latents, torch.tensor([1.0, 3.0]), means)
    torch.testing.assert_close(loss, torch.stack(wanted).mean() - 2.0)


def test_it_falls_when_latents_come_near_their_means() -> None:
    latents, none = torch.full((2, 2, 1, 1), 3.0), torch.zeros(2)
    losses = [FlowNLL()(latents, none, torch.full((2, 1), mean)) for mean in (0.0, 1.0, 3.0)]
    assert losses[0] > losses[1] > losses[2]


def test_the_surprise_of_one_latent() -> None:
    latents = torch.tensor([0.0, 2.0])
    torch.testing.assert_close(latent_surprise(latents, 1.0), -Normal(1.0, 1.0).log_prob(latents))
