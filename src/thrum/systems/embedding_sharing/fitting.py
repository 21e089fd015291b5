"""How the ID classifier is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.systems.embedding_sharing.batches import Batches
from thrum.systems.embedding_sharing.classifier import IDClassifier, Member, Shape, share_of
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.fedavg import Averaging
from thrum.systems.embedding_sharing.optimising import adamw, scheduled
from thrum.systems.embedding_sharing.pool import FramePool
from thrum.systems.embedding_sharing.private import Cost, Private, cost_of, require_opacus
from thrum.systems.embedding_sharing.split import Splitting
from thrum.training import device_of, train
from thrum.types import Progress

MEASURED_VALUES = 1 << 27  # of frames that covariances are measured on, at most


def train_classifier(
    pool: FramePool,
    config: Config,
    *,
    stack_frames: int,
    stack_hop: int,
    seed: int = 0,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    stage: str = "training the ID classifier",
) -> IDClassifier:
    """Train a classifier of the machine IDs of `pool`.

    Parameters
    ----------
    stack_frames, stack_hop
        The embedder's stacking, for the form ``image``.
    seed
        Decides everything random: the same pool, settings and seed give the same bits on one machine. With
        `dp_epsilon`, only the weights to begin with: nobody may know the noise.
    checkpoint
        A file name; the state of each member is kept beside it while training. A checkpoint of another
        pool, seed or settings is not used.
    """
    require_opacus(config)
    cost = None if config.dp_epsilon is None else cost_of(config, pool)
    shape = _shape(pool, config, stack_frames, stack_hop)
    torch.manual_seed(seed)
    classifier = IDClassifier(pool.keys, shape, config).to(device_of(device))
    origin = f"{pool.fingerprint()} {config} {shape} {seed}"
    for number, member in enumerate(classifier.members):
        clips = seen_by(pool, config, number)
        _fit_whitening(member, config, pool, clips)
        if config.training == "untrained":
            continue
        fitting = _fitting(member, shape, config, pool, clips, seed=seed, cost=cost)
        drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        train(
            member,
            batches=fitting.batches,
            loss_of=fitting.loss,
            optimizer=fitting.optimizer,
            scheduler=fitting.scheduler,
            epochs=fitting.epochs,
            seed=drawn if cost is None else Private.seed(),
            checkpoint=checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{number}"),
            fingerprint=f"{origin} {number}",
            progress=progress,
            stage=stage if config.members == 1 else f"{stage}, {number + 1} of {config.members}",
        )
        fitting.finish()
    return classifier.to(torch.device("cpu"))


class Fitting(Protocol):
    """How one member is trained: what `thrum.training.train` asks for."""

    @property
    def epochs(self) -> int:
        """How many."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Over what the member learns."""

    @property
    def scheduler(self) -> torch.optim.lr_scheduler.LRScheduler | None:
        """What changes its rate."""

    def batches(self, epoch: int, random: np.random.Generator, /) -> Iterator[Any]:
        """Yield what the steps of an epoch are made of."""

    def loss(self, batch: Any, /) -> Tensor:
        """Return the loss of one step."""

    def finish(self) -> None:
        """Leave the member ready to be used."""


class Pooled:
    """How one member is trained on the embeddings of all sites together, as the paper does.

    With the training ``shuffled`` the clips' machine IDs are permuted, so that there is nothing to tell
    apart; the parameters are those of `thrum.systems.embedding_sharing.fedavg.Averaging`.
    """

    def __init__(
        self,
        member: Member,
        shape: Shape,
        config: Config,
        pool: FramePool,
        clips: NDArray[np.int64],
        *,
        seed: int,
    ) -> None:
        drawn = Batches(member, shape, config, pool, clips)
        if config.training == "shuffled":
            drawn.labels = np.random.default_rng(seed).permutation(drawn.labels)
        self.epochs = config.epochs
        self.optimizer = adamw(member, config)
        self.scheduler = scheduled(self.optimizer, config, steps=drawn.steps * config.epochs)
        self.batches = drawn.of_epoch
        self.loss = drawn.loss

    def finish(self) -> None:
        """Nothing is left to do."""


def _fitting(
    member: Member,
    shape: Shape,
    config: Config,
    pool: FramePool,
    clips: NDArray[np.int64],
    *,
    seed: int,
    cost: Cost | None,
) -> Fitting:
    if cost is not None:
        return Private(member, shape, config, pool, clips, cost=cost)
    if config.training == "fedavg":
        return Averaging(member, shape, config, pool, clips)
    if config.training == "split":
        return Splitting(member, shape, config, pool, clips)
    return Pooled(member, shape, config, pool, clips, seed=seed)


def _shape(pool: FramePool, config: Config, stack_frames: int, stack_hop: int) -> Shape:
    if config.form == "image" or config.stack_frames is not None:
        hop = config.stack_hop or stack_hop
        return Shape(pool.dimensions, config.stack_frames or stack_frames, hop)
    median = float(np.median([len(frames) for frames in pool.frames]))
    return Shape(pool.dimensions, max(2, round(config.crop * median)), None)


def seen_by(pool: FramePool, config: Config, number: int) -> NDArray[np.int64]:
    """Return the clips that member `number` is trained on."""
    counts = np.bincount(pool.labels)
    unseen_by = np.concatenate(
        [
            share_of(pool.keys, key, clips=int(clips), members=config.members)
            for key, clips in zip(pool.keys, counts, strict=True)
        ]
    )
    return np.flatnonzero(unseen_by != number)


def _fit_whitening(
    member: Member, config: Config, pool: FramePool, clips: NDArray[np.int64]
) -> None:
    """Measure the covariances within machine IDs on this member's clips."""
    if not config.standardise:
        return
    labels = pool.labels[clips]
    by_class = [
        [pool.frames[clip] for clip in clips[labels == label]] for label in np.unique(labels)
    ]
    values = sum(pool.frames[clip].size for clip in clips)
    stride = math.ceil(values / MEASURED_VALUES)  # of a large pool not every frame
    frames = [
        np.concatenate([np.asarray(clip[::stride], np.float32) for clip in own]) for own in by_class
    ]
    whitening = member.frame_whitening
    if config.whiten:
        whitening.fit_within(frames).scale_to_unit(np.concatenate(frames)[::10])
    else:
        whitening.fit_variances(np.concatenate(frames))
