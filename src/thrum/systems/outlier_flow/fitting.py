"""How one network is trained: what is told of each clip, the optimiser and its schedule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.systems.outlier_flow.batches import (
    Batch,
    Labels,
    balanced_rows,
    steps_of,
    training_batch,
    unmixed_batches,
)
from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.frontend import Spectrograms
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape
from thrum.systems.outlier_flow.roles import (
    Target,
    combinations_of,
    latent_means,
    one_hot,
    parameters_of,
    pseudo_anomalous,
    values_of,
)
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.training import epoch_seed, train, uncompiled
from thrum.types import Clip, Progress, rows_by_machine

_log = logging.getLogger(__name__)


def conditions_for(variant: str, clips: Sequence[Clip], *, name: str) -> list[str]:
    """Return the parameters that a variant trains one network for each; ``""`` is a network for none.

    Parameters
    ----------
    clips
        The target's.
    name
        The target's, for messages.
    """
    if not VARIANTS[variant].invariant:
        return [""]
    found = parameters_of(clips)
    if not found:
        _log.warning(
            "%s: %s has no attribute of two values, and no two domains: its latents are tied to none",
            variant,
            name,
        )
    return found or [""]


def labelled(
    clips: Sequence[Clip], target: Target, variant: str, parameter: str, config: Config
) -> tuple[Shape, Labels]:
    """Return the network's shape and what is told of each clip."""
    wanted = VARIANTS[variant]
    rows = [row for row, clip in enumerate(clips) if clip.machine_key in target.keys]
    own = [clips[row] for row in rows]
    is_target = np.full(len(clips), np.nan, np.float32)
    is_target[pseudo_anomalous(clips, target.keys)] = 0
    is_target[rows] = 1
    known = np.zeros((len(own), 0), np.float32)
    sections = wanted.serial and len(target.keys) > 1
    if sections:
        known = one_hot(["/".join(clip.machine_key) for clip in own])
    elif wanted.serial:
        known = one_hot(values_of(own, parameter) if parameter else combinations_of(own))
        if known.shape[1] < 2:
            _log.warning("%s: %s has one section and one attribute value", variant, target.name)
            known = known[:, :0]
    classes = np.zeros((len(clips), known.shape[1]), np.float32)
    classes[rows] = known
    means = None
    if wanted.invariant and parameter:
        means = np.zeros(len(clips), np.float32)
        means[rows] = latent_means(values_of(own, parameter), separation=config.separation)
    return Shape(known.shape[1], sections, means is not None), Labels(is_target, classes, means)


def fit_network(
    network: OutlierFlowNetwork,
    spectrograms: Spectrograms,
    labels: Labels,
    config: Config,
    *,
    seed: int,
    stage: str,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train a network, on the device that it and its inputs are on; return the loss of each epoch.

    OneCycleLR with AdamW for the variant without a flow, a fixed rate for the others (section 4.2).
    Afterwards the running means of its batch norms are taken anew, from batches of unmixed clips: those of a
    short training lag behind, and mixed clips vary less than those that are scored.

    Parameters
    ----------
    checkpoint
        A file to resume from; that of other clips, settings or seed is not used.
    """
    cycle = network.flow is None
    epochs = config.oe_epochs if cycle else config.epochs
    rate = config.oe_learning_rate if cycle else config.learning_rate
    optimizer = uncompiled(torch.optim.AdamW)(
        network.parameters(), lr=rate, weight_decay=config.weight_decay
    )
    seen, kept_out = _held_out(labels, spectrograms.clips, config.hold_out, seed=seed)
    steps = steps_of(seen.target, config.batch_size, config.least_steps)
    mean, variance = spectrograms.usual
    network.standardise_by(mean, variance)
    scheduler = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
        if cycle
        else None
    )

    def batches(epoch: int, random: np.random.Generator) -> Iterator[Batch]:
        drawn = balanced_rows(seen.target, config.batch_size, random, config.least_steps)
        for step, rows in enumerate(drawn):
            done = (epoch + step / steps) / epochs
            yield training_batch(spectrograms, seen, rows, config, random, done=done)

    trained = replace(  # what is done with the network afterwards plays no part in it
        config,
        variant="OE",
        inlier_sizes=(1,),
        inlier_data=("both",),
        covariance="diagonal",
        weighted_machines=(),
        targets=(),
        choice="all",
        chosen_members=1,
        also_by_test_labels=False,
        renewed_means=True,
    )
    losses = train(
        network,
        batches=batches,
        loss_of=network.loss,
        optimizer=optimizer,
        epochs=epochs,
        seed=seed,
        scheduler=scheduler,
        validate=_loss_of(network, spectrograms, labels, kept_out, config, seed=seed),
        checkpoint=checkpoint,
        fingerprint=f"{spectrograms.fingerprint()} {trained} {seed} {stage}",
        progress=progress,
        stage=stage,
    )
    if config.renewed_means:
        renew_means(network, spectrograms, seen, config, seed=epoch_seed(seed, epochs))
    return losses


def renew_means(
    network: OutlierFlowNetwork,
    spectrograms: Spectrograms,
    labels: Labels,
    config: Config,
    *,
    seed: int,
) -> None:
    """Take the running means of a network's batch norms anew, from an epoch of clips as they are."""
    random = np.random.default_rng(seed)
    unmixed = replace(config, mixup_share=0.0)
    drawn = balanced_rows(labels.target, config.batch_size, random, config.least_steps)
    batches = (training_batch(spectrograms, labels, rows, unmixed, random) for rows in drawn)
    standardised = (network.standardised(batch.levels) for batch in batches)
    torch.optim.swa_utils.update_bn(standardised, network.extractor)


def _held_out(
    labels: Labels, clips: Sequence[Clip], part: float, *, seed: int
) -> tuple[Labels, NDArray[np.int64]]:
    """Return the labels without those of some clips of each machine ID, and the rows of these."""
    if part == 0:
        return labels, np.zeros(0, np.int64)
    random = np.random.default_rng(seed)
    chosen: list[int] = []
    for rows in rows_by_machine(clips).values():
        count = min(max(1, round(part * len(rows))), len(rows) - 1)
        chosen += random.permutation(rows)[:count].tolist()
    kept_out = np.array(sorted(chosen), np.int64)
    target = labels.target.copy()
    target[kept_out] = np.nan
    return replace(labels, target=target), kept_out[~np.isnan(labels.target[kept_out])]


def _loss_of(
    network: OutlierFlowNetwork,
    spectrograms: Spectrograms,
    labels: Labels,
    rows: NDArray[np.int64],
    config: Config,
    *,
    seed: int,
) -> Callable[[], float] | None:
    """Return what tells the mean loss of some clips, of the same segments each time; None of no clips."""
    if not len(rows):
        return None

    @torch.no_grad()
    def validate() -> float:
        random = np.random.default_rng(seed)
        batches = unmixed_batches(spectrograms, labels, rows, config, random)
        losses = [(len(batch.levels), float(network.loss(batch))) for batch in batches]
        return float(np.average([loss for _, loss in losses], weights=[size for size, _ in losses]))

    return validate
