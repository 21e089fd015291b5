"""How the classifier is trained: P×K batches and the loss of eq. 5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.losses.triplet import BatchHardTriplet
from thrum.systems.self_supervised.config import Config
from thrum.systems.self_supervised.inputs import Inputs
from thrum.systems.self_supervised.network import SectionClassifier
from thrum.training import train, uncompiled
from thrum.types import Clip, Progress

UNKNOWN = -100
"""The value of an attribute that a clip does not have: it takes no part in the auxiliary loss."""

Batch = tuple[dict[str, Tensor], Tensor, Tensor]
"""Inputs, sections (B,), attribute values (B, A)."""


@dataclass(frozen=True)
class AttributeValues:
    """What is classified of clips beside their section: the value of each attribute of a machine type.

    The paper's counts of classes (fan 12, ToyTrain 23, valve 15) are those of the values that occur at a
    machine type, not of their combinations. Values of one attribute exclude each other, those of two do
    not: so each of A attributes has a softmax of its own.

    Parameters
    ----------
    sizes
        How many values each has. One with a single value is classified by nobody.
    values
        The value (N, A) of each clip, from 0 on within its attribute; `UNKNOWN` for attributes of other
        machine types and those that a clip lacks.
    """

    sizes: tuple[int, ...]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> Self:
        """Return the attributes of clips."""
        occurring: dict[tuple[str, str], set[str]] = {}
        for clip in clips:
            for name, value in clip.attributes.items():
                occurring.setdefault((clip.machine, name), set()).add(value)
        values = np.full((len(clips), len(occurring)), UNKNOWN, dtype=np.int64)
        for column, ((machine, name), known) in enumerate(sorted(occurring.items())):
            numbers = {value: number for number, value in enumerate(sorted(known))}
            for row, clip in enumerate(clips):
                if clip.machine == machine and name in clip.attributes:
                    values[row, column] = numbers[clip.attributes[name]]
        return cls(tuple(len(known) for _, known in sorted(occurring.items())), values)


def balanced_batches(
    labels: NDArray[np.int64],
    *,
    classes_per_batch: int,
    clips_per_class: int,
    random: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows (P·K,) of batches of P classes with K clips each, until every clip was in one.

    A class whose clips are not a multiple of K, or are used up before those of others, gives some again.
    """
    classes = np.unique(labels)
    rows = {label: np.flatnonzero(labels == label) for label in classes}
    groups = {label: _groups(rows[label], clips_per_class, random) for label in classes}
    while any(groups.values()):
        order = random.permutation(classes)
        most_left = sorted(order, key=lambda label: -len(groups[label]))[:classes_per_batch]
        yield np.concatenate(
            [
                groups[label].pop()
                if groups[label]
                else random.choice(rows[label], clips_per_class, replace=True)
                for label in most_left
            ]
        )


def _groups(
    rows: NDArray[np.int64], size: int, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    missing = -len(rows) % size
    filled = np.concatenate([random.permutation(rows), random.choice(rows, missing)])
    return list(filled.reshape(-1, size))


class Loss:
    """Eq. 5: cross-entropy of sections, batch-hard triplets of embeddings, attributes where known.

    The third term is the mean over all that is known of the batch's clips, an attribute of a clip each.

    Parameters
    ----------
    sizes
        How many values each attribute has.
    """

    def __init__(
        self, network: SectionClassifier, config: Config, sizes: Sequence[int] = ()
    ) -> None:
        self.network = network
        self.sizes = sizes
        self.triplet = BatchHardTriplet(margin=config.triplet_margin)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        inputs, sections, attributes = batch
        embeddings = self.network(inputs)
        section_logits, attribute_logits = self.network.logits(embeddings)
        loss: Tensor = functional.cross_entropy(section_logits, sections)
        loss = loss + self.triplet(embeddings, sections)
        if attribute_logits is not None:
            loss = loss + self._of_attributes(attribute_logits, attributes)
        return loss

    def _of_attributes(self, logits: Tensor, attributes: Tensor) -> Tensor:
        """Return the loss of all values' logits (B, V), attribute by attribute; 0 where none is known."""
        parts = [
            functional.cross_entropy(of_one, values, ignore_index=UNKNOWN, reduction="none")
            for of_one, values, size in zip(
                torch.split(logits, list(self.sizes), dim=1), attributes.T, self.sizes, strict=True
            )
            if size > 1
        ]
        several = [column for column, size in enumerate(self.sizes) if size > 1]
        known = int((attributes[:, several] != UNKNOWN).sum())
        return torch.stack(parts).sum() / known if known else logits.new_zeros(())


def fit_network(
    network: SectionClassifier,
    inputs: Inputs,
    sections: NDArray[np.int64],
    attributes: AttributeValues,
    config: Config,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    stage: str = "training the section classifier",
) -> list[float]:
    """Train a network, on the device that it and its inputs are on; return the loss of each epoch.

    Parameters
    ----------
    sections, attributes
        The class (N,) of each clip of `inputs`, and what is known of it beside.
    checkpoint
        A file to resume from; that of other clips, settings or seed is not used.
    """
    length = (
        int(np.median(inputs.lengths))
        if config.crop_seconds is None
        else inputs.native_length(config.crop_seconds)
    )

    def batches(epoch: int, random: np.random.Generator) -> Iterator[Batch]:
        for rows in balanced_batches(
            sections,
            classes_per_batch=config.sections_per_batch,
            clips_per_class=config.clips_per_section,
            random=random,
        ):
            spare = np.maximum(0, inputs.lengths[rows] - length)
            starts = random.integers(0, spare + 1)
            targets = [
                torch.from_numpy(labels[rows]).to(inputs.device)
                for labels in (sections, attributes.values)
            ]
            yield inputs.batch(rows.tolist(), starts.tolist(), length), targets[0], targets[1]

    trained = replace(config, score="distance", neighbours=1)  # these two play no part in it
    return train(
        network,
        batches=batches,
        loss_of=Loss(network, config, attributes.sizes),
        optimizer=uncompiled(torch.optim.Adam)(network.parameters(), lr=config.learning_rate),
        epochs=config.epochs,
        seed=seed,
        checkpoint=checkpoint,
        fingerprint=f"{inputs.fingerprint} {trained} {seed}" if checkpoint else "",
        progress=progress,
        stage=stage,
    )
