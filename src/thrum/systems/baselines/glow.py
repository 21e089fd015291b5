"""Glow on patches of the log-mel spectrogram, as a System: what is improbable is strange.

The normalizing flow that Dohi et al. (ICASSP 2021, arXiv 2103.08801) begin with, trained on normal clips of
the machine itself and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.config import require_at_least
from thrum.losses.flow_nll import latent_surprise
from thrum.networks.glow import Glow
from thrum.systems.baselines.trained import Fitted, MachineKey, TrainedBaseline, TrainedConfig


@dataclass(frozen=True)
class Config(TrainedConfig):
    """Settings of Glow, beside those of `TrainedConfig`.

    Sizes and training are ours, for want of the paper's: a third of the steps and a quarter of the width that
    Kingma and Dhariwal give images of 32 × 32.

    Parameters
    ----------
    score
        ``nll``, the negative log-likelihood for each value of a patch, in nats, its mean over the patches of
        a clip.
    stack_frames, hop_frames
        Of a patch, about a second, half overlapping.
    levels, steps, hidden
        Of the network.
    """

    score: Literal["nll"] = "nll"
    stack_frames: int = 32
    hop_frames: int = 16
    levels: int = 3
    steps: int = 12
    hidden: int = 128
    learning_rate: float = 5e-4
    batch_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, levels=1, steps=1, hidden=1)


class GlowBaseline(TrainedBaseline[Glow]):
    """Glow; it offers ``nll``."""

    Config: ClassVar[type[Config]] = Config
    name: ClassVar[str] = "glow"
    methods: ClassVar[tuple[str, ...]] = ("nll",)

    def _network(self, bands: int, keys: Sequence[MachineKey]) -> Glow:
        config = self.config
        return Glow(
            config.stack_frames,
            bands,
            levels=config.levels,
            steps=config.steps,
            hidden=config.hidden,
        )

    def _loss(self, network: Glow, windows: Tensor, owners: Tensor) -> Tensor:
        return _likelihoods(network, windows).mean()

    def _clip_scores(
        self, fitted: Fitted[Glow], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        values = [_likelihoods(fitted.network, some) for some in torch.split(windows, 64)]
        return np.array([torch.cat(values).double().mean().item()])


def _likelihoods(network: Glow, windows: Tensor) -> Tensor:
    """Return the negative log-likelihood for each value (B,) of windows (B, T, F), in nats."""
    latents, log_determinants = network(windows)
    surprise: Tensor = latent_surprise(latents).sum(dim=1) - log_determinants
    return surprise / windows[0].numel()
