"""Gaussian mixture: how improbable a vector is among normal ones."""

from __future__ import annotations

import math
import warnings
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from thrum.detectors.base import Detector, Vectors
from thrum.errors import DataError

FOLDS = 3
VARIANCE_FLOOR = 1e-3
"""Of the mean variance of the normal vectors: a component of a few equal vectors must not become a needle."""
ITERATIONS = 100


class GMM(Detector):
    """Negative log-likelihood under a mixture of Gaussians.

    The fit begins at k-means, from a fixed seed, and depends on the vectors alone, not on their order.

    Parameters
    ----------
    components
        How many Gaussians; with fewer different normal vectors, as many as those.
    covariance
        ``diagonal``, for the vectors of one machine are hardly more than their dimensions, or ``full``.
    """

    def __init__(
        self, *, components: int = 4, covariance: Literal["diagonal", "full"] = "diagonal"
    ) -> None:
        self.components = components
        self.covariance = covariance

    def fit(self, X: Vectors) -> Self:
        """Learn the mixture of normal vectors (N, D)."""
        X = self._checked(X)
        if len(X) == 0:
            raise DataError("GMM wants at least one normal vector, got none")
        self.vectors_ = X
        self.weights_, self.means_, self.variances_ = self._mixture(X)
        return self

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the negative log-likelihood (B,) of vectors (B, D)."""
        self._require_fitted("weights_")
        return _surprise(self._checked(X), self.weights_, self.means_, self.variances_)

    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors (N,) themselves, each by a mixture of others than its own group (N,).

        Where there are many groups, a third of them is left out together. Vectors with no others have
        the score that the mixture of all gives them.
        """
        self._require_fitted("vectors_")
        scores = self.anomaly_score(self.vectors_)
        names = np.unique(groups)
        if len(names) > 1:
            for left_out in np.array_split(names, min(len(names), FOLDS)):
                out = np.isin(groups, left_out)
                scores[out] = _surprise(self.vectors_[out], *self._mixture(self.vectors_[~out]))
        return scores

    def _mixture(
        self, X: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return weights (K,), means (K, D), and variances (K, D) or covariances (K, D, D)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        ordered = X[np.lexsort(X.T[::-1])]
        different = len(np.unique(ordered, axis=0))
        spread = float(ordered.var(axis=0).mean())
        model = GaussianMixture(
            min(self.components, different),
            covariance_type="diag" if self.covariance == "diagonal" else "full",
            reg_covar=VARIANCE_FLOOR * spread or np.finfo(np.float64).eps,
            max_iter=ITERATIONS,
            random_state=0,
        )
        if len(ordered) == 1:  # scikit-learn wants two vectors
            ordered = np.repeat(ordered, 2, axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # after 100 rounds it is near enough
            model.fit(ordered)
        return model.weights_, model.means_, model.covariances_


def _surprise(
    X: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return -log Σ_k w_k N(x; μ_k, Σ_k) (B,), with variances (K, D) or covariances (K, D, D)."""
    if variances.ndim == 3:
        factors = np.linalg.cholesky(variances)  # (K, D, D)
        whitened = [
            solve_triangular(factor, (X - mean).T, lower=True)
            for factor, mean in zip(factors, means, strict=True)
        ]
        squared = np.stack([np.square(own).sum(axis=0) for own in whitened], axis=1)  # (B, K)
        logarithms = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)  # (K,)
    else:
        precisions = 1 / variances  # (K, D)
        squared = (
            np.square(X) @ precisions.T
            - 2 * X @ (means * precisions).T
            + (np.square(means) * precisions).sum(axis=1)
        )  # (B, K)
        logarithms = np.log(variances).sum(axis=1)  # (K,)
    constants = logarithms + X.shape[1] * math.log(2 * math.pi)
    return np.asarray(-logsumexp(np.log(weights) - 0.5 * (squared + constants), axis=1))
