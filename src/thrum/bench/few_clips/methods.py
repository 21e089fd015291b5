"""Scores of a site's test clips for which nothing is trained: seconds for all of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.bench.few_clips.draws import Situation
from thrum.detectors.knn import KNN
from thrum.detectors.mahalanobis import Mahalanobis
from thrum.systems.embedding_sharing.scoring import local_scores, local_whitened_scores
from thrum.systems.embedding_sharing.whitening import Whitening
from thrum.types import Clip

Frames = NDArray[np.floating[Any]]
FramesOf = Callable[[Clip], Frames]
"""The embedding frames (T, D) of a clip."""


def scores_of(now: Situation, mean_of: FramesOf) -> Mapping[str, NDArray[np.float64]]:
    """Return the scores (B,) of the test clips by every method that needs no training.

    `mean_of` gives the mean frame (1, D) of a clip.
    """
    own, test = ([mean_of(clip) for clip in clips] for clips in (now.own, now.test))
    pool = [np.concatenate([mean_of(clip) for clip in clips]) for clips in now.others.values()]
    means, asked = np.concatenate(own), np.concatenate(test)
    return {
        "local": local_scores(own, test).test,
        "local_whitened": local_whitened_scores(own, test).test,
        "mahalanobis": Mahalanobis().fit(means).anomaly_score(asked),
        "pool": _pool_scores(means, asked, pool),
    }


METHODS = ("local", "local_whitened", "mahalanobis", "pool")


def _pool_scores(own: Frames, test: Frames, pool: Sequence[Frames]) -> NDArray[np.float64]:
    """Score by k-NN on mean frames that are whitened by the others' covariance alone."""
    whitening = Whitening(own.shape[1]).fit_within(pool)
    with torch.inference_mode():
        mapped = [
            whitening(torch.from_numpy(vectors.astype(np.float32))).numpy()
            for vectors in (own, test)
        ]
    return KNN().fit(mapped[0]).anomaly_score(mapped[1])
