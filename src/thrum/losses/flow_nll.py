"""The negative log-likelihood of a normalizing flow whose latents are normal with given means."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def latent_surprise(latents: Tensor, means: Tensor | float = 0.0) -> Tensor:
    """Return -log N(z; mean, 1) of each latent, in the shape of `latents`; `means` broadcast."""
    return 0.5 * (latents - means).square() + HALF_LOG_TWO_PI


class FlowNLL(nn.Module):
    r"""What a flow's latents and log-determinant say of its inputs, a mean over the batch.

    .. math:: L = -\frac{1}{B} \sum_i \left( \log N(z_i; \mu_i, 1)
              + \log\left|\det \frac{\partial z_i}{\partial x_i}\right| \right)

    Eqs. 6 and 7 of Fujimura et al. (DCASE 2023, technical report). Dimensions are summed, not averaged:
    their :math:`\lambda = 10^{-7}` is for the sum over some 36 000 of them. With `means`, the first
    channels follow N(k·v, 1) instead of N(0, 1) (section 3.1, after Dohi et al., EUSIPCO 2022).
    """

    def forward(
        self, latents: Tensor, log_determinants: Tensor, means: Tensor | None = None
    ) -> Tensor:
        """Return the loss of latents (B, C, …) with log-determinants (B,).

        Parameters
        ----------
        means
            (B, C_d): those of the first C_d channels at all places; the others' are 0.
        """
        wanted = torch.zeros_like(latents)
        if means is not None:
            places = means.reshape(*means.shape, *[1] * (latents.ndim - 2))
            wanted[:, : means.shape[1]] = places  # (B, C_d, …)
        surprise = latent_surprise(latents, wanted).flatten(1).sum(dim=1)  # (B,)
        return (surprise - log_determinants).mean()
