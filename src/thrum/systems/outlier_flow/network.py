"""The feature extractor, what is classified from its embedding, and the flow on its maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from thrum.errors import WeightsError
from thrum.losses.flow_nll import FlowNLL, latent_surprise
from thrum.losses.outlier_exposure import OutlierExposure
from thrum.losses.serial_outlier_exposure import NormOutlierExposure, SectionExposure
from thrum.networks.fastflow import FastFlow
from thrum.networks.resnet import ResNet18
from thrum.systems.outlier_flow.batches import Batch
from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.variants import Variant

PAPER_CHANNELS = 512


@dataclass(frozen=True)
class Shape:
    """What a network's shape depends on beside settings and variant.

    Parameters
    ----------
    classes
        K, how many sections or attribute values the serial head tells apart; 0 where there is no such head.
    sections
        Whether they are sections (eq. 3), otherwise attributes (eq. 8).
    invariant
        Whether some latents are tied to a condition: where the variant wants it and there is one.
    """

    classes: int
    sections: bool
    invariant: bool


class OutlierFlowNetwork(nn.Module):
    """From segments to embeddings, to latents and to the loss of eq. 5.

    The maps go to the flow as they are, and its loss goes on to the feature extractor, which learns with it
    (section 3). Spectrograms are first brought to mean 0 and variance 1 over all that was trained on, by
    statistics that stay as they were set: those of mixed batches are not those of clips as they are scored.

    Parameters
    ----------
    config, variant, shape
        See there.
    """

    def __init__(self, config: Config, variant: Variant, shape: Shape) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(1, affine=False)
        self.extractor = ResNet18(width=config.width)
        size = self.extractor.embedding_size
        self.machine_loss = (
            OutlierExposure(size) if config.machine_head == "linear" else NormOutlierExposure()
        )
        self.section_loss = SectionExposure(size, shape.classes) if shape.sections else None
        self.attribute_loss = (
            OutlierExposure(size, shape.classes) if shape.classes and not shape.sections else None
        )
        self.flow = (
            FastFlow(
                size,
                steps=config.flow_steps,
                hidden_ratio=config.flow_hidden_ratio,
                kernels=config.flow_kernels,
                normalised=config.flow_normalised,
                affine=config.flow_affine,
            )
            if variant.flow
            else None
        )
        self.flow_loss = FlowNLL()
        part = config.invariant_channels * size / PAPER_CHANNELS
        self.tied = min(size - 1, max(1, round(part))) if shape.invariant else 0
        self.section_weight, self.flow_weight = config.section_weight, config.flow_weight

    def maps(self, levels: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of segments (B, F, T)."""
        return self.extractor.maps(self.standardised(levels))

    def standardise_by(self, mean: float, variance: float) -> None:
        """Set the mean and variance of all values that spectrograms are brought to 0 and 1 by."""
        held = self.standardise
        if held.running_mean is not None and held.running_var is not None:  # for mypy
            held.running_mean.fill_(mean)
            held.running_var.fill_(variance)

    def standardised(self, levels: Tensor) -> Tensor:
        """Return segments (B, F, T) by the mean and variance that `standardise` holds."""
        held = self.standardise
        flat = levels.reshape(len(levels), 1, -1)
        return functional.batch_norm(flat, held.running_mean, held.running_var).reshape(
            levels.shape
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return eq. 1, with eq. 8 for eq. 3 where attributes are learnt, and the flow's part (eq. 5)."""
        maps = self.maps(batch.levels)
        embeddings = maps.mean(dim=(2, 3))  # (B, C)
        total: Tensor = self.machine_loss(embeddings, batch.target[:, None])
        if self.section_loss is not None:
            own = self.section_loss(embeddings, batch.classes, batch.target)
            total = total + self.section_weight * own
        if self.attribute_loss is not None:
            total = total + self.section_weight * self.attribute_loss(embeddings, batch.classes)
        if self.flow is not None and bool(batch.pure.any()):
            latents, log_determinants = self.flow(maps[batch.pure])
            means = None
            if batch.means is not None and self.tied:
                means = batch.means[batch.pure][:, None].expand(-1, self.tied)  # (B, C_d)
            total = total + self.flow_weight * self.flow_loss(latents, log_determinants, means)
        return total

    @torch.inference_mode()
    def embeddings(self, maps: Tensor) -> Tensor:
        """Return the embeddings (B, C) of maps (B, C, H, W)."""
        return maps.mean(dim=(2, 3))

    @torch.inference_mode()
    def strangeness(self, embeddings: Tensor) -> Tensor:
        """Return -g_machine (B,) of embeddings (B, C): the log-odds that they are not of the target."""
        return -self.machine_loss.logits(embeddings)[:, 0]

    @torch.inference_mode()
    def surprise(self, maps: Tensor) -> Tensor | None:
        """Return the score map (B, H, W) of maps (B, C, H, W); None without a flow.

        -log p_Z of the latents that are tied to no condition (sections 3 and 3.1: without the
        log-determinant), a mean over channels instead of a sum so that it reads alike at every width.
        """
        if self.flow is None:
            return None
        latents, _ = self.flow(maps)
        return latent_surprise(latents[:, self.tied :]).mean(dim=1)


def begin_with(network: OutlierFlowNetwork, path: Path) -> None:
    """Take a file's ImageNet weights of ResNet-18 for the extractor (`Config.backbone`).

    Raises
    ------
    WeightsError
        Where it is missing, damaged or holds something else.
    """
    from thrum.embedders.conversion import read_torch  # which reads other formats too, by libraries

    content = read_torch(path)
    try:
        network.extractor.load_image_weights(content)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(
            f"{path} holds no weights of ResNet-18 under torchvision's names: {reason}"
        ) from error
