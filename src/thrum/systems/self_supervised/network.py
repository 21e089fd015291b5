"""Feature maps side by side, the TDNN, and what is read off its embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from thrum.networks.tdnn import TDNN
from thrum.networks.tgram import TgramNet
from thrum.systems.self_supervised.config import Config


@dataclass(frozen=True)
class Sizes:
    """What the network's shape depends on beside the settings.

    Parameters
    ----------
    features
        The feature maps, in the order of their channels.
    bands
        F.
    wav2vec2
        D of the pretrained features, 0 where there are none.
    sections
        How many section IDs there are, over all machines.
    attributes
        How many values the attributes have, all together; 0 where none is known or wanted.
    """

    features: tuple[str, ...]
    bands: int
    wav2vec2: int
    sections: int
    attributes: int


class SectionClassifier(nn.Module):
    """From the inputs of a clip to its embedding, and from that to section and attributes.

    The paper does not say how wav2vec 2.0's D dimensions become F: here by a learnt matrix. Nor how
    maps of decibels, of a network and of another are brought to one scale: here each channel by its mean
    and variance over the training batches. The heads stand on a second layer over the embedding, as in
    the x-vector network.

    Parameters
    ----------
    sizes, config
        See there.
    """

    def __init__(self, sizes: Sizes, config: Config) -> None:
        super().__init__()
        self.features = sizes.features
        branches: dict[str, nn.Module] = {}
        for feature in sizes.features:
            if feature == "tgram":
                branches[feature] = TgramNet(sizes.bands)
            elif feature == "wav2vec2":
                branches[feature] = nn.Conv1d(sizes.wav2vec2, sizes.bands, 1)
            else:
                branches[feature] = nn.Identity()
        self.branches = nn.ModuleDict(branches)
        channels = len(sizes.features) * sizes.bands
        self.standardise = nn.BatchNorm1d(channels, affine=False)
        self.tdnn = TDNN(
            channels,
            width=config.width,
            pooled_width=config.pooled_width,
            embedding_size=config.embedding_size,
        )
        size = config.embedding_size
        self.hidden = nn.Sequential(
            nn.ReLU(), nn.BatchNorm1d(size), nn.Linear(size, size), nn.ReLU(), nn.BatchNorm1d(size)
        )
        self.section_head = nn.Linear(size, sizes.sections)
        self.attribute_head = nn.Linear(size, sizes.attributes) if sizes.attributes else None

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the embeddings (B, E) of inputs by feature, see `Inputs.batch`."""
        maps = [self.branches[feature](inputs[feature]) for feature in self.features]
        stacked = torch.stack(maps, dim=1)  # (B, C, F, T), eq. 4
        channels = self.standardise(stacked.flatten(1, 2))  # (B, C·F, T)
        return cast("Tensor", self.tdnn(channels))

    def logits(self, embeddings: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits of sections (B, K) and of attributes' values (B, V) from embeddings (B, E)."""
        hidden = self.hidden(embeddings)
        attributes = None if self.attribute_head is None else self.attribute_head(hidden)
        return self.section_head(hidden), attributes
