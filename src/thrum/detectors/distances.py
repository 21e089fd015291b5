"""The nearest of many vectors, exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEW = 256
"""Up to so many vectors every pair is taken."""
SPARE = 2
"""Candidates beside the nearest, so that rounding and ties rarely call for every pair."""
NUMBERS_AT_ONCE = 1 << 22
"""Held at a time: 32 MB."""

Distances = NDArray[np.float64]
Neighbours = tuple[Distances, NDArray[np.intp]]


def nearest(
    X: NDArray[np.float64],
    Y: NDArray[np.float64],
    count: int,
    *,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Neighbours:
    """Return distances (B, count) of `X` (B, D) to its nearest of `Y` (N, D), ascending, and which these are.

    They are Euclidean and taken pair by pair: a copy is at no distance, and what is beside a vector changes
    no digit. Where `Y` is many, a product of matrices tells which pairs: all that could be nearest, as far as
    it may be wrong.

    Parameters
    ----------
    count
        N at most.
    groups
        Of X (B,) and of Y (N,): vectors of one group are no neighbours. Where too few others are left, the
        distance is infinite.
    """
    distances, places = np.zeros((len(X), count)), np.zeros((len(X), count), np.intp)
    candidates = _Candidates(Y, count) if len(Y) > max(FEW, count + SPARE) else None
    held = len(Y) + (count + SPARE) * Y.shape[1]
    at_once = max(1, NUMBERS_AT_ONCE // held)
    for start in range(0, len(X), at_once):
        some = X[start : start + at_once]
        same = np.zeros((len(some), len(Y)), bool)
        if groups is not None:
            same = groups[0][start : start + at_once, None] == groups[1]
        rows = slice(start, start + len(some))
        if candidates is None:
            distances[rows], places[rows] = _lowest(_every_pair(some, Y, same), count)
            continue
        among, sure = candidates.of(some, same)
        pairs = _paired(some[:, None], Y[among], np.take_along_axis(same, among, axis=1))
        distances[rows], which = _lowest(pairs, count)
        places[rows] = np.take_along_axis(among, which, axis=1)
        for row in np.flatnonzero(~sure):
            every = _paired(some[row, None, None], Y[None], same[row, None])
            distances[start + row], places[start + row] = _lowest(every, count)
    return distances, places


class _Candidates:
    """Which of `Y` (N, D) can be the `count` nearest of a vector."""

    def __init__(self, Y: NDArray[np.float64], count: int) -> None:
        self.count = count
        self.centre = Y.mean(axis=0)  # far from the origin squares would lose their digits
        centred = Y - self.centre
        self.squares = (centred**2).sum(axis=1)
        self.factors = -2 * centred.T

    def of(
        self, X: NDArray[np.float64], same: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the candidates (B, C) of `X` (B, D), and whether none beside them can be as near (B,)."""
        X = X - self.centre
        found = X @ self.factors  # of |x|² + |y|² - 2xy the first is the same in a row
        found += self.squares
        found[same] = np.inf
        # A sum of D products is wrong by D ε of its size at most; these are three, and a pair's own is of
        # twice the size: on both sides of a comparison eight.
        size = (X**2).sum(axis=1) + self.squares.max()
        wrong = 8 * (X.shape[1] + 4) * np.finfo(float).eps * size
        own, which = _lowest(found, self.count + SPARE)
        return which, own[:, -1] > own[:, self.count - 1] + wrong


def _every_pair(
    X: NDArray[np.float64], Y: NDArray[np.float64], same: NDArray[np.bool_]
) -> Distances:
    from scipy.spatial.distance import cdist

    return np.where(same, np.inf, cdist(X, Y))


def _paired(X: NDArray[np.float64], Y: NDArray[np.float64], same: NDArray[np.bool_]) -> Distances:
    """Return the distances (B, C) of each of `X` (B, 1, D) to its own of `Y` (B, C, D)."""
    return np.where(same, np.inf, np.sqrt(((X - Y) ** 2).sum(axis=-1)))


def _lowest(values: Distances, count: int) -> Neighbours:
    """Return the `count` lowest of each row (B, N), ascending, and where they are."""
    which = np.argpartition(values, count - 1, axis=1)[:, :count]
    own = np.take_along_axis(values, which, axis=1)
    order = np.argsort(own, axis=1)
    return np.take_along_axis(own, order, axis=1), np.take_along_axis(which, order, axis=1)
