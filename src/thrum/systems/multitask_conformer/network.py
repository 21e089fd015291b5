"""Conformer, attentive pooling and the three heads on one feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from thrum.features.augment import KINDS
from thrum.losses.arcface import ArcFace
from thrum.losses.outlier_exposure import OutlierExposure
from thrum.networks.conformer import Conformer
from thrum.networks.pooling import AttentiveStatistics
from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.scoring import Matrix, Readings


@dataclass(frozen=True)
class Sizes:
    """What the network's shape depends on beside the settings.

    Parameters
    ----------
    bands
        M.
    ids
        K, the machine IDs that the ID head tells apart: those of the target type, or of all types.
    targets
        Outputs of the type head: 1 for the type against others, K for each ID against the others where
        there is no other type, 0 where there is nothing to tell apart.
    """

    bands: int
    ids: int
    targets: int


class MultitaskNetwork(nn.Module):
    """From log-mel spectrograms to features, and from these to machine ID, type and augmentation.

    Bands are standardised by what is usual at the target type (ours; the paper does not say).

    Parameters
    ----------
    sizes, config
        See there.
    """

    def __init__(self, sizes: Sizes, config: Config) -> None:
        super().__init__()
        self.sizes = sizes
        self.mean = nn.Buffer(torch.zeros(sizes.bands))
        self.deviation = nn.Buffer(torch.ones(sizes.bands))
        self.encoder = Conformer(
            sizes.bands,
            size=config.size,
            blocks=config.blocks,
            heads=config.heads,
            feed_forward=config.feed_forward,
            kernel=config.kernel,
            dropout=config.dropout,
            subsample=config.subsample,
        )
        self.pooling = AttentiveStatistics(config.size)
        self.embed = nn.Sequential(
            nn.Linear(self.pooling.embedding_size, config.embedding_size),
            nn.BatchNorm1d(config.embedding_size, affine=False),
        )
        self.ids = ArcFace(
            config.embedding_size, sizes.ids, scale=config.scale, margin=config.margin
        )
        self.targets = (
            OutlierExposure(config.embedding_size, sizes.targets) if sizes.targets else None
        )
        self.augmentations = nn.Linear(config.embedding_size, len(KINDS))

    def forward(self, levels: Tensor) -> Tensor:
        """Return the features (B, E) of levels (B, T, M) in dB."""
        standardised = (levels - self.mean) / self.deviation
        features: Tensor = self.embed(self.pooling(self.encoder(standardised)))
        return features

    @torch.inference_mode()
    def read(self, levels: Tensor) -> Readings:
        """Return features and what the heads for machine ID and type say of levels (B, T, M)."""
        return self.heads(self(levels))

    @torch.inference_mode()
    def heads(self, features: Tensor) -> Readings:
        """Return what the heads say of features (B, E)."""
        targets = self.targets.logits(features) if self.targets is not None else features[:, :0]
        ids = self.ids.scale * self.ids.cosines(features)
        return Readings(*(values.cpu().numpy() for values in (features, ids, targets)))


class Ensemble(nn.Module):
    """Networks of one machine type, each trained from its own seed, that are read as one.

    Their features stand side by side, what their heads say is the mean.

    Parameters
    ----------
    members
        One or more.
    """

    def __init__(self, members: Sequence[MultitaskNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.sizes = members[0].sizes

    @property
    def mean(self) -> Tensor:
        """The usual level (M,) of each band in dB."""
        return self.each[0].mean

    @property
    def each(self) -> list[MultitaskNetwork]:
        """The members."""
        return [member for member in self.members if isinstance(member, MultitaskNetwork)]

    @torch.inference_mode()
    def read(self, levels: Tensor) -> Readings:
        """Return features (B, members · E) and what the heads say of levels (B, T, M) in dB."""
        parts = [member.read(levels) for member in self.each]
        features, ids, targets = zip(*parts, strict=True)
        return Readings(np.concatenate(features, axis=1), _mean(ids), _mean(targets))


def _mean(parts: Sequence[Matrix]) -> Matrix:
    return np.asarray(np.mean(parts, axis=0), np.float32)
