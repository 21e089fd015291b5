"""Interpolation of the middle frame (Suefusa et al., ICASSP 2020, arXiv 2005.09234), as two Systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.errors import ConfigError
from thrum.losses.elbo import negative_elbo
from thrum.networks.idnn import IDNN, VIDNN
from thrum.systems.baselines.trained import Fitted, MachineKey, TrainedBaseline
from thrum.systems.baselines.vae import DenseConfig, variational_scores


@dataclass(frozen=True)
class Config(DenseConfig):
    """Settings of the interpolation network, beside those of `DenseConfig`.

    Five log-mel frames and these widths are what public implementations of the paper have; epochs and
    batches are the official autoencoder's, for want of the paper's own.

    Parameters
    ----------
    score
        ``mse``, the mean squared error of the middle frame.
    stack_frames
        T, an odd number; the network is given all but the middle one.
    """

    score: Literal["mse"] = "mse"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_middle(self.stack_frames)


@dataclass(frozen=True)
class VariationalConfig(DenseConfig):
    """Settings of the variational interpolation network: those of `Config`, and another score.

    Parameters
    ----------
    score
        ``mse``, the mean squared error of the middle frame that the mean latent gives, or
        ``negative_elbo``, the negative evidence lower bound of a middle frame, in nats.
    """

    score: Literal["mse", "negative_elbo"] = "mse"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_middle(self.stack_frames)


class IDNNBaseline(TrainedBaseline[IDNN]):
    """The interpolation network; it offers ``mse``."""

    Config: ClassVar[type[Config]] = Config
    name: ClassVar[str] = "idnn"
    methods: ClassVar[tuple[str, ...]] = ("mse",)

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> IDNN:
        config = self.config
        return IDNN(config.stack_frames, bands, widths=config.widths, bottleneck=config.bottleneck)

    def _loss(self, network: IDNN, windows: Tensor, owners: Tensor) -> Tensor:
        return functional.mse_loss(*network(windows))

    def _clip_scores(
        self, fitted: Fitted[IDNN], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        middle, guessed = fitted.network(windows)  # (W, F) each
        return np.array([(middle - guessed).double().square().mean().item()])


class VIDNNBaseline(TrainedBaseline[VIDNN]):
    """The variational interpolation network; it offers ``mse`` and ``negative_elbo``."""

    Config: ClassVar[type[VariationalConfig]] = VariationalConfig
    name: ClassVar[str] = "vidnn"
    methods: ClassVar[tuple[str, ...]] = ("mse", "negative_elbo")

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> VIDNN:
        config = self.config
        return VIDNN(config.stack_frames, bands, widths=config.widths, bottleneck=config.bottleneck)

    def _loss(self, network: VIDNN, windows: Tensor, owners: Tensor) -> Tensor:
        return negative_elbo(*network(windows)).mean()

    def _clip_scores(
        self, fitted: Fitted[VIDNN], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        return variational_scores(*fitted.network(windows))


def _require_middle(stack_frames: int) -> None:
    if stack_frames < 3 or stack_frames % 2 == 0:
        raise ConfigError(
            f"stack_frames is {stack_frames}, wanted an odd number of 3 at least: one frame is the middle"
        )
