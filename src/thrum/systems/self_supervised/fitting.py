"""How the classifier is trained: P×K batches and the loss of eq. 5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.losses.triplet import BatchHardTriplet
from thrum.systems.self_supervised.config import Config
from thrum.systems.self_supervised.inputs import Inputs
from thrum.systems.self_supervised.network import SectionClassifier
from thrum.training import train
from thrum.types import Clip, Progress

UNKNOWN = -100
"""The attribute class of a clip without attributes: it takes no part in the auxiliary loss."""

Batch = tuple[dict[str, Tensor], Tensor, Tensor]
"""Inputs, sections (B,), attribute classes (B,)."""


def attribute_classes(clips: Sequence[Clip]) -> tuple[int, NDArray[np.int64]]:
    """Return how many classes of attributes there are, and that of each clip (N,).

    The paper counts classes for each machine type and does not define them: here each combination of
    all attributes that occurs at a machine type is one. Clips without attributes are `UNKNOWN`.
    """
    keys = [(clip.machine, tuple(sorted(clip.attributes.items()))) for clip in clips]
    classes = sorted({key for key in keys if key[1]})
    numbers = {key: number for number, key in enumerate(classes)}
    return len(classes), np.array([numbers.get(key, UNKNOWN) for key in keys], dtype=np.int64)


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
    """Eq. 5: cross-entropy of sections, batch-hard triplets of embeddings, attributes where known."""

    def __init__(self, network: SectionClassifier, config: Config) -> None:
        self.network = network
        self.triplet = BatchHardTriplet(margin=config.triplet_margin)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        inputs, sections, attributes = batch
        embeddings = self.network(inputs)
        section_logits, attribute_logits = self.network.logits(embeddings)
        loss: Tensor = functional.cross_entropy(section_logits, sections)
        loss = loss + self.triplet(embeddings, sections)
        if attribute_logits is not None and bool((attributes != UNKNOWN).any()):
            loss = loss + functional.cross_entropy(
                attribute_logits, attributes, ignore_index=UNKNOWN
            )
        return loss


def fit_network(
    network: SectionClassifier,
    inputs: Inputs,
    sections: NDArray[np.int64],
    attributes: NDArray[np.int64],
    config: Config,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train a network, on the device that it and its inputs are on; return the loss of each epoch.

    Parameters
    ----------
    sections, attributes
        The classes (N,) of each clip of `inputs`.
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
                for labels in (sections, attributes)
            ]
            yield inputs.batch(rows.tolist(), starts.tolist(), length), targets[0], targets[1]

    trained = replace(config, score="distance", neighbours=1)  # these two play no part in it
    return train(
        network,
        batches=batches,
        loss_of=Loss(network, config),
        optimizer=torch.optim.Adam(network.parameters(), lr=config.learning_rate),
        epochs=config.epochs,
        seed=seed,
        checkpoint=checkpoint,
        fingerprint=f"{inputs.fingerprint} {trained} {seed}" if checkpoint else "",
        progress=progress,
        stage="training the section classifier",
    )
