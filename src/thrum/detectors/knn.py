"""Distance to the nearest normal vectors."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, Vectors
from thrum.detectors.distances import nearest
from thrum.errors import DataError


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
        both = None if groups is None else (groups, groups)
        if self.metric == "cosine":  # 1 - cos is half the square of the distance of the directions
            directions = _direction(X), _direction(self.vectors_)
            distances = nearest(*directions, k, groups=both)[0] ** 2 / 2
        else:
            distances = nearest(X, self.vectors_, k, groups=both)[0]  # (B, k)
        there = np.isfinite(distances)
        total, count = np.where(there, distances, 0.0).sum(axis=1), there.sum(axis=1)
        return np.asarray(np.divide(total, count, out=np.zeros(len(X)), where=count > 0))


def _direction(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors (B, D) at length 1; one of none stays."""
    lengths = np.sqrt((X**2).sum(axis=1, keepdims=True))
    return X / np.where(lengths > 0, lengths, 1.0)
