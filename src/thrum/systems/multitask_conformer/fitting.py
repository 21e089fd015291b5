"""The loss of eq. 3, and training from the inside out (section 2.2.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thrum.features.augment import KINDS
from thrum.systems.multitask_conformer.batches import balanced_rows, steps_of_an_epoch
from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import MultitaskNetwork
from thrum.training import epoch_seed, train, uncompiled
from thrum.types import Progress

FIRST_MEMBER = 1 << 16
"""No epoch and no stage has this number: a member's seed is none of theirs."""


@dataclass(frozen=True)
class Target:
    """One machine type among the training clips.

    Parameters
    ----------
    machine
        Its name.
    rows, ids
        Its clips (N,), and the number (N,) of each one's machine ID.
    outliers, outlier_ids
        The clips (M,) of other types, and the number (M,) of each one's machine ID there.
    names
        Of the machine IDs.
    among_all
        Whether the ID head tells them from those of other types, too.
    """

    machine: str
    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    outliers: NDArray[np.int64]
    outlier_ids: NDArray[np.int64]
    names: tuple[str, ...]
    among_all: bool = False

    @property
    def foreign(self) -> NDArray[np.int64] | None:
        """The class (M,) of each outlier in the ID head, after the own; None where it has the own alone.

        The only machine ID of a type has no sister to be told from: ArcFace over one class has no gradient.
        """
        among_all = self.among_all or len(self.names) == 1
        if not among_all or not len(self.outliers):
            return None
        order = np.unique(self.outlier_ids, return_inverse=True)[1]
        return len(self.names) + order.astype(np.int64)

    @property
    def classes(self) -> int:
        """K, of the ID head."""
        return len(self.names) if self.foreign is None else 1 + int(self.foreign.max())


class Batch(NamedTuple):
    """Clips of a batch, those of the target type first.

    Parameters
    ----------
    levels
        (B, T, M) in dB.
    kinds
        (B,), what was done to each.
    ids
        (N,), the classes in the ID head of the first N: of the target type's clips, or of all.
    normal
        How many are of the target type.
    """

    levels: Tensor
    kinds: Tensor
    ids: Tensor
    normal: int


class Loss:
    """L = L_type + α L_id + β L_aug (eq. 3), each the mean over its clips where the paper prints the sum.

    L_id is of the target type's clips alone, or of all where the ID head tells all machine IDs apart; L_aug
    of all. In stage one there is no L_type. Where there is no other type, it is about what L_id is about, and
    trains its head alone.
    """

    def __init__(self, network: MultitaskNetwork, config: Config, *, with_type: bool) -> None:
        self.network = network
        self.config = config
        self.with_type = with_type

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        config, network = self.config, self.network
        with torch.autocast(batch.levels.device.type, torch.bfloat16, enabled=config.bf16):
            features = network(batch.levels).float()
        loss: Tensor = config.id_weight * network.ids(features[: len(batch.ids)], batch.ids)
        if config.augmentation_task:
            own = functional.cross_entropy(network.augmentations(features), batch.kinds)
            loss = loss + config.augmentation_weight * own
        if self.with_type and network.targets is not None:
            told = features if network.sizes.targets == 1 else features.detach()
            loss = loss + network.targets(told, self._normal(batch))
        return loss

    def _normal(self, batch: Batch) -> Tensor:
        """Return of what each clip is a normal one (B, targets)."""
        count = self.network.sizes.targets
        if count == 1:
            normal = batch.levels.new_zeros(len(batch.levels), 1)
            normal[: batch.normal] = 1
            return normal
        return functional.one_hot(batch.ids, count)


def fit_network(
    network: MultitaskNetwork,
    spectrograms: Spectrograms,
    target: Target,
    config: Config,
    *,
    number: int = 0,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train a network for one machine type in two stages; return the loss of each epoch.

    Parameters
    ----------
    number
        Which of the machine type's members it is.
    folder
        Where each stage keeps its checkpoint; those of other clips, settings or seed are not used.
    """
    inputs = spectrograms.inputs
    length = (
        int(np.median(inputs.lengths[target.rows]))
        if config.crop_seconds is None
        else inputs.native_length(config.crop_seconds)
    )
    # What is done with the network afterwards plays no part in its training.
    trained = replace(
        config, members=1, shrinkage=None, standardise_by="training", score="combined"
    )
    name, told = target.machine, target.machine
    if number:
        seed, name = epoch_seed(seed, FIRST_MEMBER + number), f"{name}_{number}"
    if config.members > 1:
        told = f"{told}, {number + 1} of {config.members}"
    fingerprint = f"{inputs.fingerprint} {target.machine} {trained} {seed}" if folder else ""
    losses: list[float] = []
    stages = (("inliers", config.inlier_epochs), ("outliers", config.epochs))
    for order, (stage, epochs) in enumerate(stages):
        with_type = stage == "outliers"
        needed = with_type and network.sizes.targets == 1
        outliers = len(target.outliers) > 0 and (needed or target.foreign is not None)

        def batches(
            epoch: int, random: np.random.Generator, outliers: bool = outliers
        ) -> Iterator[Batch]:
            return _batches(network, spectrograms, target, config, length, random, outliers)

        losses += train(
            network,
            batches=batches,
            loss_of=Loss(network, config, with_type=with_type),
            optimizer=uncompiled(torch.optim.Adam)(
                _learnt(network, with_type), lr=config.learning_rate
            ),
            epochs=epochs,
            seed=epoch_seed(seed, order),
            averaging=config.averaging,
            checkpoint=folder and folder / f"{name}_{stage}.safetensors",
            fingerprint=f"{fingerprint} {stage}",
            progress=progress,
            stage=f"training on {told} ({stage})",
        )
    return losses


def _learnt(network: MultitaskNetwork, with_type: bool) -> list[nn.Parameter]:
    if network.targets is not None:
        network.targets.requires_grad_(with_type)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _batches(
    network: MultitaskNetwork,
    spectrograms: Spectrograms,
    target: Target,
    config: Config,
    length: int,
    random: np.random.Generator,
    outliers: bool,
) -> Iterator[Batch]:
    """Yield the batches of an epoch; with outliers, every second clip is one."""
    size = config.batch_size - config.batch_size // 2 if outliers else config.batch_size
    own = balanced_rows(target.ids, size, random)
    others = balanced_rows(target.outlier_ids, config.batch_size - size, random)
    steps = config.steps_per_epoch or steps_of_an_epoch(target.ids, size)
    for chosen in islice(own, steps):
        rows, ids = target.rows[chosen], target.ids[chosen]
        if outliers:
            strange = next(others)
            rows = np.concatenate([rows, target.outliers[strange]])
            if target.foreign is not None:
                ids = np.concatenate([ids, target.foreign[strange]])
        kinds = random.integers(1, len(KINDS), len(rows))
        kinds[random.random(len(rows)) >= config.augmented] = 0
        levels = spectrograms.changed(rows, kinds, length, random, fill=network.mean)
        yield Batch(
            levels,
            torch.from_numpy(kinds).to(levels.device),
            torch.from_numpy(ids).to(levels.device),
            len(chosen),
        )
