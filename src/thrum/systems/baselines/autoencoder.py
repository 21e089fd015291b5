"""The official autoencoder baseline of DCASE task 2, 2020 to 2025, as a System.

What it cannot put together again from eight numbers it has not heard before. The scores are the mean squared
error, and the selective Mahalanobis distance of the first-shot baseline (Harada et al., EUSIPCO 2023, arXiv
2303.00455).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.config import require_at_least
from thrum.networks.autoencoder import DenseAutoencoder
from thrum.systems.baselines.residuals import METHODS, Covariances, clip_scores, precision_of
from thrum.systems.baselines.trained import Fitted, MachineKey, TrainedBaseline, TrainedConfig
from thrum.types import Clip


@dataclass(frozen=True)
class Config(TrainedConfig):
    """Settings of the autoencoder; the defaults are those of the baselines of 2023 and later.

    Beside those of `TrainedConfig` (100 epochs of Adam at 1e-3; batches of 256, which until 2022 were of 512;
    five frames, every one of which begins an input):

    Parameters
    ----------
    score
        ``mse``; ``mahalanobis``, of a clip's mean residual frame, as the organisers' code has it; or
        ``mahalanobis_per_frame``, the mean over frames, as they print it.
    network_per
        One a machine type, which all its machine IDs share, as the organisers train it.
    width, bottleneck
        Of the network.
    """

    score: Literal["mse", "mahalanobis", "mahalanobis_per_frame"] = "mse"
    network_per: Literal["machine_id", "machine_type", "all"] = "machine_type"
    width: int = 128
    bottleneck: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, width=1, bottleneck=1)


class AutoencoderBaseline(TrainedBaseline[DenseAutoencoder]):
    """The autoencoder; it offers ``mse``, ``mahalanobis`` and ``mahalanobis_per_frame``.

    Its statistics are ``precisions`` (K, F, F), the inverse covariance of residual frames: of the source
    domain and of the target domain, or one where domains are not known.
    """

    Config: ClassVar[type[Config]] = Config
    name: ClassVar[str] = "autoencoder"
    methods: ClassVar[tuple[str, ...]] = METHODS

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> DenseAutoencoder:
        config = self.config
        return DenseAutoencoder(
            config.stack_frames * bands, width=config.width, bottleneck=config.bottleneck
        )

    def _loss(self, network: DenseAutoencoder, windows: Tensor, owners: Tensor) -> Tensor:
        inputs = windows.flatten(1)  # (B, T · F)
        return functional.mse_loss(network(inputs), inputs)

    def _statistics(
        self, network: DenseAutoencoder, clips: Iterable[tuple[Clip, Tensor]]
    ) -> dict[str, NDArray[np.float64]]:
        covariances = Covariances()
        for clip, windows in clips:
            covariances.add(_residuals(network, windows), is_target=clip.domain == "target")
        return {"precisions": np.stack([precision_of(each) for each in covariances.found()])}

    def _clip_scores(
        self, fitted: Fitted[DenseAutoencoder], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        return clip_scores(_residuals(fitted.network, windows), fitted.statistics["precisions"])


def _residuals(network: DenseAutoencoder, windows: Tensor) -> NDArray[np.float64]:
    """Return what the network leaves over of windows (W, T, F), frame by frame: (W · T, F)."""
    inputs = windows.flatten(1)  # (W, T · F)
    residuals = (network(inputs) - inputs).reshape(-1, windows.shape[-1])
    return np.asarray(residuals.cpu().numpy(), np.float64)
