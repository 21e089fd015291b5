"""Mahalanobis distance to normal vectors, the covariance shrunk where they are few."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, Vectors
from thrum.errors import DataError

FOLDS = 10
LEAST_VARIANCE = 1e-6
"""Of the mean over all directions: what a direction has at least, so that one without any does not decide."""


class Mahalanobis(Detector):
    r"""Distance to the mean of the normal vectors, in units of their own spread.

    .. math:: a(x) = \sqrt{(x - \mu)^\top \Sigma^{-1} (x - \mu)}, \quad
              \Sigma = (1 - \lambda) S + \lambda \frac{\mathrm{tr} S}{D} I

    with the sample covariance S. With fewer vectors than dimensions S has no inverse, with a few times as
    many a poor one; shrinking it towards a sphere mends both.

    Parameters
    ----------
    shrinkage
        λ, from 0 (the plain Mahalanobis distance) to 1 (Euclidean, up to a factor). None takes that of Ledoit
        and Wolf (2004), the best in the mean square, which goes to 0 as vectors become many; but 1/N at least
        of N ≤ D vectors, from which it is itself poorly told: of any two it would be 0.
    """

    def __init__(self, *, shrinkage: float | None = None) -> None:
        self.shrinkage = shrinkage

    def fit(self, X: Vectors) -> Self:
        """Learn mean and covariance of normal vectors (N, D)."""
        X = self._checked(X)
        if len(X) < 2:
            raise DataError(f"Mahalanobis wants at least two normal vectors, got {len(X)}")
        if self.shrinkage == 0 and len(X) <= X.shape[1]:
            raise DataError(
                f"Mahalanobis without shrinkage wants more vectors than dimensions, got {len(X)} of "
                f"{X.shape[1]} dimensions: set shrinkage above 0, or None for Ledoit and Wolf's"
            )
        self.vectors_ = X
        self.mean_, self.whitening_ = self._estimated(X)
        return self

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the distance (B,) of vectors (B, D)."""
        self._require_fitted("mean_")
        return _distance(self._checked(X), self.mean_, self.whitening_)

    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors (N,) themselves, each by mean and covariance without its own group (N,).

        Where there are many groups, a tenth of them is left out together. A vector without two others gets
        the distance that is to be expected of any, √D.
        """
        self._require_fitted("mean_")
        X = self.vectors_
        names = np.unique(groups)
        scores = np.full(len(groups), np.sqrt(X.shape[1]))
        for left_out in np.array_split(names, min(len(names), FOLDS)):
            out = np.isin(groups, left_out)
            rest = X[~out]
            if len(rest) > (X.shape[1] if self.shrinkage == 0 else 1):
                scores[out] = _distance(X[out], *self._estimated(rest))
        return scores

    def _estimated(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean (D,) and W (D, D) with W Wᵀ = Σ⁻¹ of vectors (N, D)."""
        from sklearn.covariance import ledoit_wolf_shrinkage, shrunk_covariance

        mean = X.mean(axis=0)
        centred = X - mean
        shrinkage = self.shrinkage
        if shrinkage is None:
            shrinkage = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
            if len(X) <= X.shape[1]:
                shrinkage = max(shrinkage, 1 / len(X))
        covariance = shrunk_covariance(centred.T @ centred / len(X), shrinkage)
        variances, axes = np.linalg.eigh(covariance)
        mean_variance = float(variances.mean())
        least = LEAST_VARIANCE * mean_variance if mean_variance > 0 else 1.0
        return mean, axes / np.sqrt(np.maximum(variances, least))


def _distance(
    X: NDArray[np.float64], mean: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm((X - mean) @ whitening, axis=1))
