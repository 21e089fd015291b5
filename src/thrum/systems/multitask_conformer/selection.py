"""Which combination of the scores to act on, chosen without an anomaly.

The paper selects "from the training data" and does not say how. Here clips that are surely not the machine
as it always was stand in for anomalies: training clips changed as in training, and training clips with
another machine mixed in. The combination that ranks them highest above the training clips as they are is
selected for the machine type. Mean and covariance are those of other training clips throughout: a tenth of
the clips, and what was made of them, is measured by the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from thrum.detectors.mahalanobis import Mahalanobis
from thrum.evaluation.metrics import auc
from thrum.features.augment import KINDS
from thrum.systems.multitask_conformer.fitting import Target
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import Ensemble
from thrum.systems.multitask_conformer.scoring import (
    COMBINATIONS,
    SCORES,
    Evaluator,
    Readings,
)

FOLDS = 10
AT_ONCE = 16
CHANCE = 0.05
MIXED_DB = -6.0
"""Mean power of the machine mixed in over that of the clip."""


def proxy_aucs(
    network: Ensemble,
    spectrograms: Spectrograms,
    target: Target,
    readings: Readings,
    evaluators: Sequence[Evaluator],
    *,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Return for each combination its AUCs (C,) on stand-ins for anomalies, of each sort and machine ID.

    Parameters
    ----------
    readings
        Of the target's clips, in their order.
    evaluators
        Of each machine ID.
    """
    random = np.random.default_rng(seed)
    areas: dict[str, list[float]] = {name: [] for name in _possible(readings)}
    for evaluator in evaluators:
        own = np.flatnonzero(target.ids == evaluator.number)
        others = np.concatenate([np.delete(target.rows, own), target.outliers])
        normal = readings.take(own)
        for proxies in _proxies(network, spectrograms, target.rows[own], others, random):
            known = _without_themselves(evaluator, normal, normal, random)
            strange = _without_themselves(evaluator, normal, proxies, random)
            for name, found in areas.items():
                scores = np.concatenate([known[name], strange[name]])
                found.append(auc(np.arange(len(scores)) >= len(own), scores))
    return {name: np.array(found) for name, found in areas.items()}


def selected(areas: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the combination of most scores that is as good as the best; of several, the highest.

    As good is what is behind the best by no more than chance makes of it, by Student's t of the differences
    over the AUCs (C,) of `proxy_aucs`, one-sided at `CHANCE`: stand-ins are not anomalies, and a small lead
    on them is no reason to leave out a score, each of which sees what the others miss.
    """
    best = areas[max(areas, key=lambda name: float(areas[name].mean()))]

    def as_good(own: NDArray[np.float64]) -> bool:
        behind = best - own
        if len(behind) < 2:
            return True
        error = behind.std(ddof=1) / np.sqrt(len(behind))
        return bool(behind.mean() <= stdtrit(len(behind) - 1, 1 - CHANCE) * error + 5e-4)

    near = [name for name, own in areas.items() if as_good(own)]
    return max(near, key=lambda name: (len(COMBINATIONS[name]), float(areas[name].mean())))


def _possible(readings: Readings) -> list[str]:
    """Return the combinations of scores whose heads had something to tell apart."""
    silent = {0} if readings.targets.shape[1] == 0 else set()
    silent |= {1} if readings.ids.shape[1] == 1 else set()
    return [name for name, chosen in COMBINATIONS.items() if not silent & set(chosen)]


def _without_themselves(
    evaluator: Evaluator, normal: Readings, made: Readings, random: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Return the scores (N,) of what was made of each normal clip, by mean and covariance of others."""
    count = len(normal.features)
    three = np.zeros((count, len(SCORES)))
    for held_out in np.array_split(random.permutation(count), min(FOLDS, count)):
        rest = np.delete(normal.features, held_out, axis=0)
        distance = Mahalanobis(shrinkage=evaluator.shrinkage if len(rest) > rest.shape[1] else None)
        three[held_out] = evaluator.three(
            made.take(held_out), distance=distance.fit(rest) if len(rest) > 1 else None
        )
    return evaluator.combined(three)


def _proxies(
    network: Ensemble,
    spectrograms: Spectrograms,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    random: np.random.Generator,
) -> Iterator[Readings]:
    """Yield what the network makes of each sort of stand-in."""
    length = int(np.median(spectrograms.inputs.lengths[rows]))

    def read(kinds: NDArray[np.int64], mixed_in: NDArray[np.int64] | None = None) -> Readings:
        parts = []
        for start in range(0, len(rows), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            levels = spectrograms.changed(
                rows[some], kinds[some], length, random, fill=network.mean
            )
            if mixed_in is not None:
                foreign = mixed_in[some]
                levels = _mixed(
                    levels,
                    spectrograms.changed(foreign, kinds[some], length, random, fill=network.mean),
                )
            parts.append(network.read(levels))
        return Readings(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    yield read(1 + np.arange(len(rows)) % (len(KINDS) - 1))
    if len(others):
        yield read(np.zeros(len(rows), np.int64), random.choice(others, len(rows)))


def _mixed(levels: Tensor, foreign: Tensor) -> Tensor:
    """Return levels (B, T, M) in dB of two sounds together, the second `MIXED_DB` beside the first."""
    own, other = (10 ** (sound / 10) for sound in (levels, foreign))
    gains = own.mean(dim=(1, 2), keepdim=True) / other.mean(dim=(1, 2), keepdim=True)
    return 10 * torch.log10(own + other * gains * 10 ** (MIXED_DB / 10))
