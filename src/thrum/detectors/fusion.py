"""Several scores of a clip made one, without an anomaly or a test label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError, NotFittedError

NOISE = 1e-6, 1e-7
"""Of the mean, and in itself: scores that deviate by less are taken for equal but for rounding."""


class Fusion:
    """Brings scores of different kinds to one scale and combines them.

    Each kind is standardised by the mean and deviation that the training clips' own left-out scores have,
    that is by what is usual for normal clips of this very machine.

    Parameters
    ----------
    weights
        How much each kind counts in the mean of the standardised scores; kinds not named count 1.
    """

    def __init__(self, *, weights: Mapping[str, float] | None = None) -> None:
        self.weights = dict(weights or {})

    def fit(self, left_out: Mapping[str, NDArray[np.float64]]) -> Self:
        """Learn the scale of each kind from the left-out scores (N,) of the training clips."""
        if not left_out:
            raise DataError("Fusion wants at least one kind of score, got none")
        self.means_ = {kind: float(np.mean(scores)) for kind, scores in left_out.items()}
        self.deviations_ = {
            kind: _deviation(scores, self.means_[kind]) for kind, scores in left_out.items()
        }
        return self

    def combine(self, scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return one score (B,) from the scores (B,) of every kind that was fitted."""
        if not hasattr(self, "means_"):
            raise NotFittedError("Fusion was asked for scores before fit")
        if set(scores) != set(self.means_):
            raise DataError(f"Fusion was fitted on {sorted(self.means_)}, got {sorted(scores)}")
        kinds = sorted(scores)
        weights = {kind: self.weights.get(kind, 1.0) for kind in kinds}
        # One kind after the other: the order in which NumPy adds up along an axis depends on how many clips
        # there are, and so would the last digits of a score.
        total = sum(
            weights[kind] * ((scores[kind] - self.means_[kind]) / self.deviations_[kind])
            for kind in kinds
        )
        return np.asarray(total / sum(weights.values()))


def _deviation(scores: NDArray[np.float64], mean: float) -> float:
    """Return the deviation of scores; 1 where they are equal but for rounding, which must not be blown up."""
    deviation = float(np.std(scores))
    return deviation if deviation > NOISE[0] * abs(mean) + NOISE[1] else 1.0
