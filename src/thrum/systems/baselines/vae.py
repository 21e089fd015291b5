"""A variational autoencoder of stacked log-mel frames, as a System."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thrum.config import require_at_least
from thrum.errors import ConfigError
from thrum.losses.elbo import negative_elbo
from thrum.networks.vae import VAE
from thrum.systems.baselines.trained import Fitted, MachineKey, TrainedBaseline, TrainedConfig


@dataclass(frozen=True)
class DenseConfig(TrainedConfig):
    """Settings of dense networks with a bottleneck, beside those of `TrainedConfig`.

    Parameters
    ----------
    widths, bottleneck
        Of the layers before the bottleneck (those behind it are the same in reverse), and of itself.
    """

    widths: tuple[int, ...] = (64, 32)
    bottleneck: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, bottleneck=1)
        if not self.widths or min(self.widths) < 1:
            raise ConfigError(f"widths are {self.widths}, wanted one layer of one unit at least")


@dataclass(frozen=True)
class Config(DenseConfig):
    """Settings of the variational autoencoder, beside those of `DenseConfig`.

    Kingma and Welling (2014) leave the network to the data: it is that of `thrum.systems.baselines.idnn`,
    and frames, epochs and batches are the official autoencoder's, so that the baselines compare. Ours.

    Parameters
    ----------
    score
        ``mse``, the mean squared error of what the mean latent gives, or ``negative_elbo``, the negative
        evidence lower bound of a window, in nats.
    """

    score: Literal["mse", "negative_elbo"] = "mse"


class VAEBaseline(TrainedBaseline[VAE]):
    """The variational autoencoder; it offers ``mse`` and ``negative_elbo``."""

    Config: ClassVar[type[Config]] = Config
    name: ClassVar[str] = "vae"
    methods: ClassVar[tuple[str, ...]] = ("mse", "negative_elbo")

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> VAE:
        size = self.config.stack_frames * bands
        return VAE(size, size, widths=self.config.widths, bottleneck=self.config.bottleneck)

    def _loss(self, network: VAE, windows: Tensor, owners: Tensor) -> Tensor:
        inputs = windows.flatten(1)  # (B, T · F)
        return negative_elbo(inputs, *network(inputs)).mean()

    def _clip_scores(self, fitted: Fitted[VAE], windows: Tensor, owner: int) -> NDArray[np.float64]:
        inputs = windows.flatten(1)  # (W, T · F)
        return variational_scores(inputs, *fitted.network(inputs))


def variational_scores(
    targets: Tensor, outputs: Tensor, means: Tensor, log_variances: Tensor
) -> NDArray[np.float64]:
    """Return the mean squared error and the mean negative evidence lower bound of a clip's windows."""
    targets, outputs = targets.double(), outputs.double()
    bound = negative_elbo(targets, outputs, means.double(), log_variances.double())  # (W,)
    return np.array([(targets - outputs).square().mean().item(), bound.mean().item()])
