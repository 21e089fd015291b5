"""What the ID classifier is trained on: batches of inputs cut from clips, and their targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thrum.systems.embedding_sharing.classifier import Member, Shape
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import FramePool

FEWEST_CLIPS = 256  # an epoch of fewer is repeated to about so many
MARGIN_RAMP = 0.3  # of the epochs, over which the margin grows from nothing
MASKED = 8  # at most the D/8 dimensions side by side are masked
CACHED_BYTES = 2 << 30  # of frames kept in float32 while training

Batch = tuple[Tensor, Tensor]
"""Whitened inputs (B, T, D), and the part that each has of the classes (B, K)."""


class Batches:
    """Batches of some clips, and a member's loss of them.

    Parameters
    ----------
    member
        The network, whose whitening is measured already.
    shape, config
        Of its inputs, and how it is trained.
    pool
        The embeddings of all machines.
    clips
        Those clips of the pool that are seen: all but the member's share, or one site's of them.
    """

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

    @property
    def weight(self) -> float:
        """How often these clips are drawn where they are one of several sites'."""
        if self.config.form == "image":
            return float(len(self.items))
        return float(np.sqrt(np.bincount(self.labels)).sum())

    def of_epoch(self, epoch: int, random: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        set_margin(self.member, self.config, epoch)
        if self.config.form == "sequence":
            for _ in range(self.steps):
                yield self.drawn(self.config.batch_size, random)
            return
        size = self.config.batch_size
        for chosen in np.array_split(random.permutation(len(self.items)), self.steps):
            if not len(chosen) < 2 <= size:  # batch normalisation wants two
                yield self._images(chosen, random)

    def drawn(self, size: int, random: np.random.Generator) -> Batch:
        """Return a batch of `size` inputs drawn at random."""
        if self.config.form == "image":
            return self._images(random.integers(0, len(self.items), size), random)
        return self.of_clips(random.choice(len(self.frames), size, p=self.chances), random)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        return loss_of(self.member, batch)

    def _images(self, chosen: NDArray[np.int64], random: np.random.Generator) -> Batch:
        frames = self.shape.frames
        items = [self.items[index] for index in chosen]
        inputs = np.stack([self._clip(clip)[at : at + frames] for clip, at in items])
        labels = torch.from_numpy(self.labels[[clip for clip, _ in items]])
        return self._mixed(self._whitened(inputs), labels, random)

    def of_clips(self, chosen: NDArray[np.int64], random: np.random.Generator) -> Batch:
        """Cut a random stretch of each clip, mix pairs, mask some dimensions (the form ``sequence``)."""
        inputs = np.empty((len(chosen), self.shape.frames, self.shape.dimensions), np.float32)
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

    def _mixed(self, inputs: Tensor, labels: Tensor, random: np.random.Generator) -> Batch:
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

    def _clip(self, clip: int) -> NDArray[np.float32]:
        """Return a clip's frames in float32, from memory where there is room for them."""
        frames = self.cache.get(clip)
        if frames is None:
            frames = self.shape.filled(self.frames[clip])
            if self.cached_bytes + frames.nbytes <= CACHED_BYTES:
                self.cache[clip] = frames
                self.cached_bytes += frames.nbytes
        return frames


def loss_of(member: Member, batch: Batch) -> Tensor:
    """Return the loss of a member on a batch."""
    inputs, targets = (tensor.to(member.loss.anchors.device) for tensor in batch)
    loss: Tensor = member.loss(member.network(inputs), targets)
    return loss


def set_margin(member: Member, config: Config, epoch: float) -> None:
    """Let the margin of the form ``sequence`` grow over the first epochs, of which `epoch` are done."""
    if config.form == "sequence":
        ramp = max(1.0, MARGIN_RAMP * config.epochs)
        member.loss.margin = config.margin * min(1.0, epoch / ramp)
