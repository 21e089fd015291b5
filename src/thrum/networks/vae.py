"""A variational autoencoder of dense layers (Kingma and Welling, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class VAE(nn.Module):
    """Dense layers to the mean and variance of a latent, and dense layers from it to the outputs.

    Parameters
    ----------
    inputs, outputs
        Their sizes; an autoencoder has as many of one as of the other.
    widths
        Of the encoder's layers; those of the decoder are the same in reverse.
    bottleneck
        E, the size of the latent.
    """

    def __init__(
        self, inputs: int, outputs: int, *, widths: Sequence[int] = (64, 32), bottleneck: int = 16
    ) -> None:
        super().__init__()
        self.embedding_size = bottleneck
        self.encoder = nn.Sequential(*dense_layers([inputs, *widths]))
        self.moments = nn.Linear(widths[-1], 2 * bottleneck)
        self.decoder = nn.Sequential(
            *dense_layers([bottleneck, *reversed(widths)]), nn.Linear(widths[0], outputs)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs (B, N), and the means and logarithmic variances (B, E) of the latents.

        While training, outputs are of a latent drawn at random; afterwards, of its mean.
        """
        means, log_variances = self.moments(self.encoder(x)).chunk(2, dim=1)
        latents = means
        if self.training:
            latents = means + torch.randn_like(means) * (0.5 * log_variances).exp()
        return self.decoder(latents), means, log_variances


def dense_layers(sizes: Sequence[int]) -> list[nn.Module]:
    """Return dense layers from each size to the next, each with its ReLU."""
    return [
        layer
        for before, after in pairwise(sizes)
        for layer in (nn.Linear(before, after), nn.ReLU())
    ]
