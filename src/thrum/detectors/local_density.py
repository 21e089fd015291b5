"""Distance to the nearest normal vectors, in units of how close to one another they lie themselves."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, Vectors
from thrum.detectors.distances import nearest
from thrum.errors import DataError

FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 2, 5
VECTORS_A_NEIGHBOUR = 50
TINIEST = 1e-12
"""Where all are copies."""
FEWEST = 3
TINY = 1e-9
"""Of the mean distance: copies of one recording lie at distance 0 and would make every ratio infinite."""


class LocalDensity(Detector):
    r"""Mean over the `neighbours` nearest normal vectors of

    .. math:: d(x, r) \;/\; \frac1K \sum_{q \in N_K(r)} d(r, q)

    that is of the distance to a normal vector over that vector's own mean distance to its K nearest: about
    1 for a vector that lies among normal ones, wherever they are. A machine with several states, heard more
    often in one than in another, has no single scale of distances. After Wilkinghoff et al., *Local
    density-based anomaly score normalization for domain generalization* (2025), who divide in the same way.

    With fewer than three normal vectors there are no neighbourhoods, and the plain distance counts.

    Parameters
    ----------
    neighbours
        How many normal vectors a vector is compared with; None is one for every fifty of them, from two to
        five. On simulated machines of 240 clips three to six were better than two, and of 60 clips no
        better (docs/statistics.md).
    own_neighbours
        K: of how many its own neighbourhood consists.
    """

    def __init__(self, *, neighbours: int | None = None, own_neighbours: int = 4) -> None:
        self.neighbours = neighbours
        self.own_neighbours = own_neighbours

    def fit(self, X: Vectors) -> Self:
        """Keep the normal vectors (N, D) and learn how close to one another they lie."""
        X = self._checked(X)
        if len(X) == 0:
            raise DataError("LocalDensity wants at least one normal vector, got none")
        self.vectors_ = X
        if len(X) < FEWEST:
            self.spreads_ = np.ones(len(X))
        else:
            most = max(self.compared, self.own_neighbours + 1)  # as many as a left-out score needs
            each = np.arange(len(X))
            self.nearest_ = nearest(X, X, min(most, len(X) - 1), groups=(each, each))
            self.spreads_ = _at_least(self.nearest_[0][:, : self.own_neighbours].mean(axis=1))
        return self

    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the score (B,) of vectors (B, D)."""
        self._require_fitted("vectors_")
        distances, places = nearest(self._checked(X), self.vectors_, self.compared)
        return np.asarray((distances / self.spreads_[places]).mean(axis=1))

    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors (N,), each as if its group (N,) had not been there, nor a neighbour."""
        self._require_fitted("vectors_")
        enough = len(groups) > max(self.compared, self.own_neighbours + 1)
        if enough and len(np.unique(groups)) == len(groups):
            return self._each_left_out()
        from scipy.spatial.distance import cdist

        distances = cdist(self.vectors_, self.vectors_)
        np.fill_diagonal(distances, np.inf)
        scores = np.zeros(len(groups))
        for group in np.unique(groups):
            own = groups == group
            if own.all():
                continue
            spreads = np.ones((~own).sum())
            if len(groups) >= FEWEST and len(spreads) > 1:
                spreads = _spreads(distances[np.ix_(~own, ~own)], self.own_neighbours)
            k = min(self.compared, len(spreads))
            of_own = distances[np.ix_(own, ~own)]
            places = np.argpartition(of_own, k - 1, axis=1)[:, :k]
            near = np.take_along_axis(of_own, places, axis=1)
            scores[own] = (near / spreads[places]).mean(axis=1)
        return scores

    def _each_left_out(self) -> NDArray[np.float64]:
        """Return what `left_out_score` does where each vector is a group: from the nearest of each alone."""
        count, own = self.compared, self.own_neighbours
        near, places = self.nearest_
        around = places[:, :count]  # (N, k) what each vector is compared with
        of_those, who = (
            near[around][..., : own + 1],
            places[around][..., : own + 1],
        )  # (N, k, K + 1)
        itself = who == np.arange(len(near))[:, None, None]
        without = np.sort(np.where(itself, np.inf, of_those), axis=2)[..., :own]
        spreads = _at_least(without.mean(axis=2))
        return np.asarray((near[:, :count] / spreads).mean(axis=1))

    @property
    def compared(self) -> int:
        """How many of the normal vectors a vector is compared with, at most."""
        return min(self.neighbours or _usual(len(self.vectors_)), len(self.vectors_))


def _usual(count: int) -> int:
    """Return how many of `count` normal vectors a vector is compared with."""
    return min(max(count // VECTORS_A_NEIGHBOUR, FEWEST_NEIGHBOURS), MOST_NEIGHBOURS)


def _spreads(distances: NDArray[np.float64], own_neighbours: int) -> NDArray[np.float64]:
    """Return the mean distance (N,) of each vector to its nearest others."""
    k = min(own_neighbours, len(distances) - 1)
    return _at_least(np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1))


def _at_least(spreads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return spreads that a distance can be divided by."""
    return np.asarray(np.maximum(spreads, max(TINY * spreads.mean(), TINIEST)))
