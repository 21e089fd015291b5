"""The evidence lower bound of a variational autoencoder (Kingma and Welling, 2014)."""

from __future__ import annotations

import math

from torch import Tensor

LOG_TWO_PI = math.log(2 * math.pi)


def kl_to_standard_normal(means: Tensor, log_variances: Tensor) -> Tensor:
    r"""Return how far normal distributions with these diagonal variances are from N(0, 1), (B,).

    .. math:: D_{KL} = \tfrac12 \sum_d \left( \mu_d^2 + \sigma_d^2 - 1 - \log \sigma_d^2 \right)

    Parameters
    ----------
    means, log_variances
        (B, D).
    """
    summands = means.square() + log_variances.exp() - 1 - log_variances
    return 0.5 * summands.sum(dim=1)


def negative_elbo(targets: Tensor, outputs: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    r"""Return the negative evidence lower bound (B,) of targets, in nats.

    The decoder's distribution is N(outputs, 1), and its logarithm is taken at the one latent that gave the
    outputs:

    .. math:: L = \tfrac12 \sum_d \left( (x_d - \hat x_d)^2 + \log 2 \pi \right) + D_{KL}

    Parameters
    ----------
    targets, outputs
        (B, N).
    means, log_variances
        Of the latents (B, D).
    """
    surprise = 0.5 * ((targets - outputs).square() + LOG_TWO_PI).sum(dim=1)
    return surprise + kl_to_standard_normal(means, log_variances)
