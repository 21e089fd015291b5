"""The dense autoencoder of the official baselines of DCASE task 2, 2020 to 2025 (Koizumi et al., 2020)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

DEPTH = 4  # layers of `width` on either side of the bottleneck


class DenseAutoencoder(nn.Module):
    """Inputs, 4 × width, bottleneck, 4 × width, inputs; all but the last with batch normalisation, ReLU.

    Parameters
    ----------
    inputs
        The size of one input; five stacked frames of 128 mel bands make the baselines' 640.
    width
        The baselines' 128.
    bottleneck
        E, the baselines' 8.
    """

    def __init__(self, inputs: int = 640, *, width: int = 128, bottleneck: int = 8) -> None:
        super().__init__()
        self.embedding_size = bottleneck
        self.encoder = nn.Sequential(
            *_layers([inputs, *[width] * DEPTH, bottleneck]),
        )
        self.decoder = nn.Sequential(
            *_layers([bottleneck, *[width] * DEPTH]), nn.Linear(width, inputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return inputs (B, D) as they come out again, (B, D)."""
        reconstructed: Tensor = self.decoder(self.encoder(x))
        return reconstructed


def _layers(sizes: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        # Keras's momentum of 0.99 is PyTorch's 0.01.
        normalisation = nn.BatchNorm1d(after, momentum=0.01, eps=1e-3)
        layers += [nn.Linear(before, after), normalisation, nn.ReLU()]
    return layers
