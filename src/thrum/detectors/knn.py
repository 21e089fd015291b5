"""Distance to the nearest normal vectors."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, Vectors
from thrum.detectors.distances import can_be_exact, euclidean
from thrum.errors import DataError

ROWS_AT_ONCE, DISTANCES_AT_ONCE = 1024, 1 << 22  # bound the matrix of distances to 32 MB


class KNN(Detector):
    """Mean distance to the `neighbours` nearest normal vectors, exact.

    The embedding-sharing paper (section V-B) uses two neighbours. With fewer normal vectors than
    neighbours, all of them count.

    Parameters
    ----------
    neighbours
        k.
    metric
        ``euclidean``, or ``cosine`` (one minus the cosine).
    """

    def __init__(self, *, neighbours: int = 2, metric: str = "euclidean") -> None:
        self.neighbours = neighbours
        self.metric = metric

    def fit(self, X: Vectors) -> Self:
        """Keep the normal vectors (N, D)."""
        X = self._checked(X)
        if len(X) == 0:
            raise DataError("KNN wants at least one normal vector, got none")
        self.vectors_ = X
        return self

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the mean distance (B,) of vectors (B, D) to their nearest normal vectors."""
        self._require_fitted("vectors_")
        return self._nearest(self._checked(X), None)

    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors (N,) themselves, each without the vectors of its own group (N,).

        Windows cut from one clip are one group: a clip must not be its own neighbour.
        """
        self._require_fitted("vectors_")
        return self._nearest(self.vectors_, groups)

    def _nearest(
        self, X: NDArray[np.float64], groups: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Return the mean distance (B,) to the k nearest that are not of the own group."""
        k = min(self.neighbours, len(self.vectors_))
        scores = np.zeros(len(X))
        at_once = max(1, min(ROWS_AT_ONCE, DISTANCES_AT_ONCE // len(self.vectors_)))
        few = can_be_exact(min(len(X), ROWS_AT_ONCE), self.vectors_)
        for start in range(0, len(X), at_once):
            rows = slice(start, start + at_once)
            distances = self._distances(X[rows], exact=few)  # (B, N)
            if groups is not None:
                distances[groups[rows, None] == groups[None, :]] = np.inf
            nearest = np.partition(distances, k - 1, axis=1)[:, :k]  # (B, k)
            there = np.isfinite(nearest)
            total, count = np.where(there, nearest, 0.0).sum(axis=1), there.sum(axis=1)
            np.divide(total, count, out=scores[rows], where=count > 0)
        return scores

    def _distances(self, X: NDArray[np.float64], *, exact: bool) -> NDArray[np.float64]:
        """Return the distances (B, N), `exact` pair by pair, so that a copy is at no distance."""
        if self.metric == "euclidean":
            return euclidean(X, self.vectors_, exact=exact)
        from sklearn.metrics import pairwise_distances

        return np.asarray(pairwise_distances(X, self.vectors_, metric=self.metric))
