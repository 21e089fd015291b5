from __future__ import annotations

import torch
from torch import distributions

from thrum.losses.elbo import kl_to_standard_normal, negative_elbo


def moments() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)


def test_the_divergence_is_that_of_independent_normal_distributions() -> None:
    means, log_variances = moments()
    own = distributions.Normal(means, (0.5 * log_variances).exp())
    standard = distributions.Normal(torch.zeros_like(means), 1.0)
    wanted = distributions.kl_divergence(own, standard).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(means, log_variances), wanted)


def test_the_divergence_of_the_standard_normal_distribution_from_itself_is_nothing() -> None:
    assert not kl_to_standard_normal(torch.zeros(3, 5), torch.zeros(3, 5)).any()


def test_the_bound_is_the_likelihood_less_the_divergence() -> None:
    means, log_variances = moments()
    targets, outputs = torch.randn(2, 6, 9, dtype=torch.float64)
    likelihood = distributions.Normal(outputs, 1.0).log_prob(targets).sum(dim=1)
    wanted = kl_to_standard_normal(means, log_variances) - likelihood
    torch.testing.assert_close(negative_elbo(targets, outputs, means, log_variances), wanted)


def test_the_bound_lies_below_the_evidence_and_meets_it_at_the_posterior() -> None:
    """Where z ~ N(0, 1) and x ~ N(z, 1), x ~ N(0, 2), and z given x is N(x / 2, 1 / 2)."""
    torch.manual_seed(0)
    x = torch.tensor([[1.3]], dtype=torch.float64)
    evidence = distributions.Normal(0.0, 2**0.5).log_prob(x)
    for mean, variance in ((0.65, 0.5), (0.2, 0.5), (0.65, 0.9)):
        draws = mean + variance**0.5 * torch.randn(400_000, 1, dtype=torch.float64)
        log_variances = torch.full_like(draws, variance).log()
        bounds = negative_elbo(
            x.expand_as(draws), draws, torch.full_like(draws, mean), log_variances
        )
        gap = bounds.mean() + evidence.item()
        assert abs(gap) < 0.005 if (mean, variance) == (0.65, 0.5) else gap > 0.05
