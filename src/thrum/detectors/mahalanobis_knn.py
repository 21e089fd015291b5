"""Nearest neighbours by the Mahalanobis distance, the covariance shrunk where vectors are few."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Vectors
from thrum.detectors.knn import KNN
from thrum.detectors.mahalanobis import Mahalanobis


class MahalanobisKNN(KNN):
    r"""Mean distance to the `neighbours` nearest normal vectors, in units of the vectors' own spread.

    :math:`d(x, y)^2 = (x - y)^\top \Sigma^{-1} (x - y)` with the covariance of all normal vectors, shrunk
    after Ledoit and Wolf (see `Mahalanobis`): with fewer vectors than dimensions the sample covariance
    has no inverse.

    Parameters
    ----------
    neighbours
        k; with fewer normal vectors, all of them count.
    """

    def __init__(self, *, neighbours: int = 2) -> None:
        super().__init__(neighbours=neighbours, metric="euclidean")

    def fit(self, X: Vectors) -> Self:
        """Keep the normal vectors (N, D), two at least, and learn their covariance."""
        X = self._checked(X)
        # Σ⁻¹ = W Wᵀ: the Euclidean distance of x W and y W is the Mahalanobis distance of x and y.
        self.whitening_ = Mahalanobis().fit(X).whitening_
        return super().fit(X @ self.whitening_)

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the mean distance (B,) of vectors (B, D) to their nearest normal vectors."""
        self._require_fitted("whitening_")
        return super().anomaly_score(self._checked(X) @ self.whitening_)
