"""Distances of vectors to normal vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EXACT_PRODUCTS = 1 << 28  # a second's work; beyond, distances come of a product of matrices


def can_be_exact(rows: int, Y: NDArray[np.float64]) -> bool:
    """Return whether distances of so many `rows` to `Y` (N, D) are worth taking pair by pair."""
    return rows * Y.size <= EXACT_PRODUCTS


def euclidean(
    X: NDArray[np.float64], Y: NDArray[np.float64], *, exact: bool
) -> NDArray[np.float64]:
    """Return the Euclidean distances (B, N) of `X` (B, D) to `Y` (N, D).

    Parameters
    ----------
    exact
        Pair by pair: a copy is at no distance, and what is beside a vector changes no digit of its own
        distances. Otherwise by a product of matrices, ten times as fast where they are large.
    """
    if exact:
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(X, Y))
    from sklearn.metrics import pairwise_distances

    return np.asarray(pairwise_distances(X, Y))
