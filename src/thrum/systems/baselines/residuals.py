"""Scores of what the autoencoder leaves over of a clip.

The organisers' code and their paper (arXiv 2303.00455) differ. Both take the lesser of two Mahalanobis
distances (squared), by the covariance that residual frames have in the source and in the target domain. The
code averages the products of every frame with every other of the clip, which is the distance of the *mean*
residual frame; the paper prints a mean over frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

METHODS = ("mse", "mahalanobis", "mahalanobis_per_frame")
RIDGE = 1e-6  # of the mean variance, so that a band that never changes does not forbid the inverse

Residuals = NDArray[np.float64]
"""(T, F): output minus input, frame by frame."""


def clip_scores(residuals: Residuals, precisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores of one clip, in the order of `METHODS`.

    Parameters
    ----------
    residuals
        (T, F).
    precisions
        Inverse covariances (K, F, F), one of each domain; the lesser distance counts.
    """
    mean = residuals.mean(axis=0)  # (F,)
    of_mean = np.einsum("f,kfg,g->k", mean, precisions, mean, optimize=True)
    of_frames = np.stack([((residuals @ each) * residuals).sum(axis=1) for each in precisions])
    return np.array([np.square(residuals).mean(), of_mean.min(), of_frames.min(axis=0).mean()])


class Covariances:
    """The covariance of residual frames in the source and in the target domain, clip by clip.

    Clips whose domain is not known count as source.
    """

    def __init__(self) -> None:
        self._sums: dict[bool, tuple[int, NDArray[np.float64], NDArray[np.float64]]] = {}

    def add(self, residuals: Residuals, *, is_target: bool) -> None:
        """Take in the residuals (T, F) of one clip."""
        count, total, products = self._sums.get(is_target, (0, np.zeros(1), np.zeros(1)))
        self._sums[is_target] = (
            count + len(residuals),
            total + residuals.sum(axis=0),
            products + residuals.T @ residuals,
        )

    def found(self) -> list[NDArray[np.float64]]:
        """Return the covariances (F, F): source, then target, those of which there were clips."""
        return [
            (products - np.outer(total, total) / count) / max(count - 1, 1)
            for _, (count, total, products) in sorted(self._sums.items())
        ]


def precision_of(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse (F, F) of a covariance, with `RIDGE` of its mean variance added."""
    size = len(covariance)
    ridge = max(RIDGE * np.trace(covariance) / size, np.finfo(np.float64).tiny)
    return np.asarray(np.linalg.inv(covariance + ridge * np.eye(size)))
