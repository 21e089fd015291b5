"""How the ID classifier is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.systems.embedding_sharing.classifier import IDClassifier, Member, Shape, share_of
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import FramePool
from thrum.training import device_of, train
from thrum.types import Progress

FEWEST_CLIPS = 256  # an epoch of fewer is repeated to about so many
MARGIN_RAMP = 0.3  # of the epochs, over which the margin grows from nothing
MASKED = 8  # at most the D/8 dimensions side by side are masked
CACHED_BYTES = 2 << 30  # of frames kept in float32 while training
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
        Decides everything random: the same pool, settings and seed give the same bits on one machine.
    checkpoint
        A file name; the state of each member is kept beside it while training. A checkpoint of another
        pool, seed or settings is not used.
    """
    shape = _shape(pool, config, stack_frames, stack_hop)
    torch.manual_seed(seed)
    classifier = IDClassifier(pool.keys, shape, config).to(device_of(device))
    origin = f"{pool.fingerprint()} {config} {shape} {seed}"
    for number, member in enumerate(classifier.members):
        fitting = _Fitting(member, shape, config, pool, _seen(pool, config, number))
        groups: list[dict[str, Any]] = [
            {"params": list(member.network.parameters())},
            {"params": list(member.loss.parameters()), "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        train(
            member,
            batches=fitting.batches,
            loss_of=fitting.loss,
            optimizer=optimizer,
            scheduler=_schedule(optimizer, config, steps=fitting.steps * config.epochs),
            epochs=config.epochs,
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
            checkpoint=checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{number}"),
            fingerprint=f"{origin} {number}",
            progress=progress,
            stage=stage if config.members == 1 else f"{stage}, {number + 1} of {config.members}",
        )
    return classifier.to(torch.device("cpu"))


def _shape(pool: FramePool, config: Config, stack_frames: int, stack_hop: int) -> Shape:
    if config.form == "image" or config.stack_frames is not None:
        hop = config.stack_hop or stack_hop
        return Shape(pool.dimensions, config.stack_frames or stack_frames, hop)
    median = float(np.median([len(frames) for frames in pool.frames]))
    return Shape(pool.dimensions, max(2, round(config.crop * median)), None)


def _seen(pool: FramePool, config: Config, number: int) -> NDArray[np.int64]:
    """Return the clips that member `number` is trained on."""
    counts = np.bincount(pool.labels)
    unseen_by = np.concatenate(
        [
            share_of(pool.keys, key, clips=int(clips), members=config.members)
            for key, clips in zip(pool.keys, counts, strict=True)
        ]
    )
    return np.flatnonzero(unseen_by != number)


def _schedule(
    optimizer: torch.optim.Optimizer, config: Config, *, steps: int
) -> torch.optim.lr_scheduler.LambdaLR | None:
    if config.schedule == "constant":
        return None
    warm = max(1, steps // 10)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class _Fitting:
    """The batches and the loss of one member."""

    def __init__(
        self,
        member: Member,
        shape: Shape,
        config: Config,
        pool: FramePool,
        clips: NDArray[np.int64],
    ) -> None:
        self.member = member
        self.shape = shape
        self.config = config
        self.classes = len(pool.keys)
        self.labels = pool.labels[clips]
        self.frames = [pool.frames[clip] for clip in clips]
        self.cache: dict[int, NDArray[np.float32]] = {}
        self.cached_bytes = 0
        self._fit_whitening()
        if config.form == "image":  # every input of every clip is an item
            self.items = [
                (clip, int(start))
                for clip in range(len(clips))
                for start in shape.starts(max(len(self.frames[clip]), shape.frames))
            ]
            self.steps = math.ceil(len(self.items) / config.batch_size)
        else:
            self.steps = max(1, round(max(len(clips), FEWEST_CLIPS) / config.batch_size))
            weights = 1 / np.sqrt(np.bincount(self.labels, minlength=self.classes))[self.labels]
            self.chances = weights / weights.sum()

    def batches(self, epoch: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs (B, T, D) and targets (B, K) of one epoch."""
        if self.config.form == "image":
            yield from self._images(random)
            return
        ramp = max(1.0, MARGIN_RAMP * self.config.epochs)
        self.member.loss.margin = self.config.margin * min(1.0, epoch / ramp)
        for _ in range(self.steps):
            yield self._sequences(random)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        inputs, targets = (tensor.to(self.member.loss.anchors.device) for tensor in batch)
        loss: Tensor = self.member.loss(self.member.network(inputs), targets)
        return loss

    def _images(self, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        size, frames = self.config.batch_size, self.shape.frames
        order = random.permutation(len(self.items))
        for chosen in np.array_split(order, self.steps):
            if len(chosen) < 2 <= size:  # batch normalisation wants two
                continue
            items = [self.items[index] for index in chosen]
            inputs = np.stack([self._clip(clip)[at : at + frames] for clip, at in items])
            labels = torch.from_numpy(self.labels[[clip for clip, _ in items]])
            yield self._mixed(self._whitened(inputs), labels, random)

    def _sequences(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw clips, cut a random stretch of each, mix pairs, mask some dimensions."""
        size, dimensions = self.config.batch_size, self.shape.dimensions
        chosen = random.choice(len(self.frames), size, p=self.chances)
        inputs = np.empty((size, self.shape.frames, dimensions), np.float32)
        for row, clip in enumerate(chosen):
            frames = self._clip(int(clip))
            at = int(random.integers(0, len(frames) - self.shape.frames + 1))
            inputs[row] = frames[at : at + self.shape.frames]
        labels = torch.from_numpy(self.labels[chosen])
        mixed, targets = self._mixed(self._whitened(inputs), labels, random)
        return self._masked(mixed, random), targets

    def _whitened(self, inputs: NDArray[np.float32]) -> Tensor:
        whitening = self.member.frame_whitening
        with torch.no_grad():
            whitened: Tensor = whitening(torch.from_numpy(inputs).to(whitening.mean.device))
        return whitened

    def _mixed(
        self, inputs: Tensor, labels: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix each input with another of its batch by a uniform share (mixup; Zhang et al., 2018)."""
        targets = functional.one_hot(labels, self.classes).float()  # (B, K)
        if not self.config.mixup:
            return inputs, targets
        share = torch.from_numpy(random.random(len(inputs), dtype=np.float32))[:, None]
        other = torch.from_numpy(random.permutation(len(inputs)))
        targets = share * targets + (1 - share) * targets[other]
        share = share[:, None].to(inputs.device)  # (B, 1, 1)
        return share * inputs + (1 - share) * inputs[other.to(inputs.device)], targets

    def _masked(self, inputs: Tensor, random: np.random.Generator) -> Tensor:
        """Set a run of dimensions of each input to nothing."""
        size, _, dimensions = inputs.shape
        widths = random.integers(0, dimensions // MASKED + 1, size)
        starts = random.integers(0, dimensions - widths + 1)
        where = np.arange(dimensions)
        kept = (where < starts[:, None]) | (where >= (starts + widths)[:, None])  # (B, D)
        return inputs * torch.from_numpy(kept[:, None, :]).to(inputs.device)

    def _fit_whitening(self) -> None:
        """Measure the covariances within machine IDs on this member's clips."""
        by_class = [
            [self.frames[clip] for clip in np.flatnonzero(self.labels == label)]
            for label in np.unique(self.labels)
        ]
        values = sum(frames.size for frames in self.frames)
        stride = math.ceil(values / MEASURED_VALUES)  # of a large pool not every frame
        frames = [
            np.concatenate([np.asarray(clip[::stride], np.float32) for clip in own])
            for own in by_class
        ]
        whitening = self.member.frame_whitening
        if self.config.whiten:
            whitening.fit_within(frames).scale_to_unit(np.concatenate(frames)[::10])
        else:
            whitening.fit_variances(np.concatenate(frames))
        means = [
            np.stack([clip.mean(axis=0, dtype=np.float64) for clip in own]) for own in by_class
        ]
        self.member.clip_whitening.fit_within(means)

    def _clip(self, clip: int) -> NDArray[np.float32]:
        """Return a clip's frames in float32, from memory where there is room for them."""
        frames = self.cache.get(clip)
        if frames is None:
            frames = self.shape.filled(self.frames[clip])
            if self.cached_bytes + frames.nbytes <= CACHED_BYTES:
                self.cache[clip] = frames
                self.cached_bytes += frames.nbytes
        return frames
