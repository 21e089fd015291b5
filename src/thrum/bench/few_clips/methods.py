"""Scores of a site's test clips for which nothing is trained: seconds for all of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.bench.few_clips.draws import Situation
from thrum.detectors.mahalanobis import Mahalanobis
from thrum.systems.embedding_sharing.moments import Moments, moments_of, pooled
from thrum.systems.embedding_sharing.pool import MachineKey
from thrum.systems.embedding_sharing.scoring import (
    local_scores,
    local_whitened_scores,
    pool_scores,
    statistics_scores,
)
from thrum.systems.embedding_sharing.trust import says
from thrum.types import Clip

Frames = NDArray[np.floating[Any]]
FramesOf = Callable[[Clip], Frames]
"""The embedding frames (T, D) of a clip."""


def scores_of(now: Situation, mean_of: FramesOf) -> Mapping[str, NDArray[np.float64]]:
    """Return the scores (B,) of the test clips by every method that needs no training.

    `mean_of` gives the mean frame (1, D) of a clip.
    """
    own, test = ([mean_of(clip) for clip in clips] for clips in (now.own, now.test))
    means, asked = np.concatenate(own), np.concatenate(test)
    found = {
        "local": local_scores(own, test).test,
        "local_whitened": local_whitened_scores(own, test).test,
        "mahalanobis": Mahalanobis().fit(means).anomaly_score(asked),
    }
    others = {key: [mean_of(clip) for clip in clips] for key, clips in now.others.items()}
    pool = pool_of(others)
    if pool is not None:
        found["pool"] = pool_scores(own, test, pool).test
        found["statistics"] = statistics_scores(own, test, pool).test
    return found


METHODS = ("local", "local_whitened", "mahalanobis", "pool", "statistics")


def pool_of(others: Mapping[MachineKey, Sequence[Frames]]) -> Moments | None:
    """Return the pool that a server would make of the others' mean frames (1, D): by how far each has a say.

    Machines with one clip have no covariance. What a site would not send, of fewer clips than it must have,
    takes part here: the curve is about what sharing is worth.
    """
    moments = {
        key: moments_of(np.concatenate(clips)) for key, clips in others.items() if len(clips) > 1
    }
    if not moments:
        return None
    weights = {key: say.weight for key, say in says(moments).items()}
    named = [key for key, weight in weights.items() if weight > 0]
    return pooled([moments[key] for key in named], weights=[weights[key] for key in named])
