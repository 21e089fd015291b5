"""Batches of as many target as pseudo-anomalous segments, and the mixing of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.frontend import Spectrograms

Rows = NDArray[np.int64]
Scale = Literal["values", "decibels", "amplitudes"]
SCALES: dict[str, Scale] = {"log": "decibels", "magnitude": "amplitudes"}
"""What the values of a spectrogram are, by `Config.spectrum`."""


@dataclass(frozen=True)
class Labels:
    """What is known of each of N clips.

    Parameters
    ----------
    target
        t (N,): 1 for clips of the target machine, 0 for pseudo-anomalous ones, nan for clips that take no
        part.
    classes
        y (N, K): the section or attribute of target clips, 0 for others; K may be 0.
    means
        k·v (N,) of target clips; None where latents are not tied to a condition.
    """

    target: NDArray[np.float32]
    classes: NDArray[np.float32]
    means: NDArray[np.float32] | None


@dataclass(frozen=True)
class Batch:
    """B segments, some of them mixed of two.

    Parameters
    ----------
    levels
        (B, F, T).
    target, classes
        t (B,) and y (B, K), mixed as the levels are.
    pure
        (B,), whether there is nothing pseudo-anomalous in it.
    means
        k·v (B,) of the dominant clip, or None.
    """

    levels: Tensor
    target: Tensor
    classes: Tensor
    pure: Tensor
    means: Tensor | None


def steps_of(target: NDArray[np.float32], batch_size: int, least: int = 1) -> int:
    """Return how many batches an epoch has: whole rounds of the target's clips, of `least` batches."""
    once = math.ceil(np.count_nonzero(target == 1) / max(1, batch_size // 2))
    return once * math.ceil(least / once)


def balanced_rows(
    target: NDArray[np.float32], batch_size: int, random: np.random.Generator, least: int = 1
) -> Iterator[Rows]:
    """Yield the rows of an epoch's batches, each half target, half pseudo-anomalous (section 4.2).

    Pseudo-anomalous clips are drawn in turn until all were drawn once, then all over again.
    """
    others = random.permutation(np.flatnonzero(target == 0))
    once = steps_of(target, batch_size)
    for turn in range(steps_of(target, batch_size, least) // once):
        own = random.permutation(np.flatnonzero(target == 1))
        strange = np.resize(np.roll(others, -turn * len(own)), len(own))
        for some, beside in zip(
            np.array_split(own, once), np.array_split(strange, once), strict=True
        ):
            yield np.concatenate([some, beside])


def training_batch(
    spectrograms: Spectrograms,
    labels: Labels,
    rows: Rows,
    config: Config,
    random: np.random.Generator,
    *,
    done: float = 1.0,
) -> Batch:
    """Return random segments of clips, a share of them mixed with another of the batch.

    Parameters
    ----------
    done
        The part of the training that lies behind.
    """
    starts = spectrograms.random_starts(rows, random)
    levels, _ = spectrograms.segments(rows, starts, spectrograms.segment_frames)
    weights = np.ones(len(rows))
    chosen = chosen_for_mixup(len(rows), config, random, done=done)
    weights[chosen] = random.beta(config.mixup_alpha, config.mixup_alpha, int(chosen.sum()))
    on = spectrograms.device
    partners = random.permutation(len(rows))
    means = None if labels.means is None else torch.from_numpy(labels.means[rows]).to(on)
    return mixed(
        Batch(
            levels,
            torch.from_numpy(labels.target[rows]).to(on),
            torch.from_numpy(labels.classes[rows]).to(on),
            torch.from_numpy(labels.target[rows] == 1).to(on),
            means,
        ),
        torch.from_numpy(weights.astype(np.float32)).to(on),
        torch.from_numpy(partners).to(on),
        of="values" if config.mixup_of == "levels" else SCALES[config.spectrum],
    )


def unmixed_batches(
    spectrograms: Spectrograms,
    labels: Labels,
    rows: Rows,
    config: Config,
    random: np.random.Generator,
) -> Iterator[Batch]:
    """Yield random segments of these clips, each once and as they are."""
    for start in range(0, len(rows), config.batch_size):
        some = rows[start : start + config.batch_size]
        yield training_batch(spectrograms, labels, some, replace(config, mixup_share=0.0), random)


def chosen_for_mixup(
    count: int, config: Config, random: np.random.Generator, *, done: float
) -> NDArray[np.bool_]:
    """Return which (B,) clips of a batch are mixed."""
    if config.mixup == "clips":
        return random.random(count) < config.mixup_share
    rising = 0.5 * (1 - math.cos(min(math.pi, 2 * math.pi * done)))
    return np.full(count, random.random() < config.mixup_share * rising)


def mixed(
    batch: Batch,
    weights: Tensor,
    partners: Tensor,
    *,
    of: Scale = "values",
) -> Batch:
    """Return w of each segment and 1 - w of its partner (mixup; Zhang et al., 2018).

    A mixed segment is pure where both are, and has the condition of the one that weighs more.

    Parameters
    ----------
    weights, partners
        (B,); a weight of 1 leaves a segment as it is.
    of
        Whether the spectrograms' values are mixed as they are, or the power that they are decibels or
        amplitudes of: that of the mixed waveforms, on average over their phases.
    """
    w, alone = weights, weights == 1
    column = w[:, None]
    means = batch.means
    return Batch(
        _mixed_spectrograms(batch.levels, batch.levels[partners], column[..., None], of),
        w * batch.target + (1 - w) * batch.target[partners],
        column * batch.classes + (1 - column) * batch.classes[partners],
        batch.pure & (alone | batch.pure[partners]),
        None if means is None else torch.where(w >= 0.5, means, means[partners]),
    )


def _mixed_spectrograms(own: Tensor, others: Tensor, w: Tensor, of: str) -> Tensor:
    """Return those of w of one sound and 1 - w of another, all (B, F, T); w is (B, 1, 1)."""
    if of == "values":
        return w * own + (1 - w) * others
    if of == "amplitudes":
        return torch.hypot(w * own, (1 - w) * others)
    power = w.square() * 10 ** (own / 10) + (1 - w).square() * 10 ** (others / 10)
    return 10 * torch.log10(power)
