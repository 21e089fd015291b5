"""Local outlier factor (Breunig et al., SIGMOD 2000)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, Vectors
from thrum.errors import DataError

FOLDS = 10


class LOF(Detector):
    """How much sparser a vector's surroundings are than those of its nearest normal vectors.

    Parameters
    ----------
    neighbours
        k; fewer are used where there are not more normal vectors than that.
    """

    def __init__(self, *, neighbours: int = 20) -> None:
        self.neighbours = neighbours

    def fit(self, X: Vectors) -> Self:
        """Learn the local densities of the normal vectors (N, D)."""
        X = self._checked(X)
        if len(X) < 2:
            raise DataError(f"LOF wants at least two normal vectors, got {len(X)}")
        self.vectors_ = X
        self.model_ = self._fitted(X)
        return self

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the local outlier factor (B,) of vectors (B, D); about 1 where all is as usual."""
        self._require_fitted("model_")
        scores: NDArray[np.float64] = -self.model_.score_samples(self._checked(X))
        return scores

    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors (N,) themselves, each against a fit without its own group (N,).

        Where there are many groups, a tenth of them is left out together: ten fits instead of one a group.
        """
        self._require_fitted("model_")
        names = np.unique(groups)
        scores = np.ones(len(groups))
        for left_out in np.array_split(names, min(len(names), FOLDS)):
            out = np.isin(groups, left_out)
            if (~out).sum() >= 2:
                scores[out] = -self._fitted(self.vectors_[~out]).score_samples(self.vectors_[out])
        return scores

    def _fitted(self, X: NDArray[np.float64]) -> Any:
        from sklearn.neighbors import LocalOutlierFactor

        neighbours = min(self.neighbours, len(X) - 1)
        return LocalOutlierFactor(n_neighbors=neighbours, novelty=True, algorithm="brute").fit(X)
