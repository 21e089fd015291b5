"""Three scores of a clip on one scale, and their combinations (section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.mahalanobis import Mahalanobis
from thrum.systems.self_supervised.scoring import posterior_scores

SCORES = ("out", "arc", "maha")
COMBINATIONS = {
    "+".join(SCORES[index] for index in chosen): chosen
    for count in (1, 2, 3)
    for chosen in combinations(range(len(SCORES)), count)
}
"""The seven ways to sum one, two or three scores, and which scores each holds."""

ODDS = "odds"
"""Beside them: the log-odds against the ID head's answer, which enter no sum."""

Matrix = NDArray[np.float32]


class Readings(NamedTuple):
    """What the network makes of clips.

    Parameters
    ----------
    features
        (B, E), that Mahalanobis distances are measured in.
    ids
        (B, K), s times the cosine to the anchor of each machine ID.
    targets
        (B, targets), log-odds of being normal: of the machine type, or of each machine ID.
    """

    features: Matrix
    ids: Matrix
    targets: Matrix

    def take(self, rows: NDArray[np.int64]) -> Readings:
        """Return those of some clips."""
        return Readings(self.features[rows], self.ids[rows], self.targets[rows])


class Evaluator:
    """The anomaly evaluator of one machine ID.

    ``out`` is the log-odds against the type head's answer: the paper's is the probability of being normal, so
    the sign turns, and in floating point a probability is 1 long before the score stops telling clips apart.
    ``arc`` is how far the feature is from the anchor of its own machine ID, less its cosine: "closer to the
    target anchor" is more normal (section 2.3). ``maha`` is eq. 4. The ID head's probability, which the
    section speaks of too, is offered as ``odds``, without the margin, which is for training: it asks whether
    a clip is like another machine ID, and a failing machine rarely is. A head that had nothing to tell apart
    scores every clip 0.

    Parameters
    ----------
    number
        Of the machine ID, at its type.
    shrinkage
        See `Mahalanobis`.
    """

    def __init__(self, number: int, *, shrinkage: float | None) -> None:
        self.number = number
        self.shrinkage = shrinkage

    def fit(self, readings: Readings, *, left_out: bool = False) -> Self:
        """Learn mean, covariance and the scales of the scores from the training clips.

        `left_out`: scales from distances of each clip to mean and covariance without it.
        """
        self.distance_ = Mahalanobis(shrinkage=self.shrinkage).fit(readings.features)
        scores = self.three(readings)  # (N, 3)
        if left_out:
            scores[:, 2] = self.distance_.left_out_score(np.arange(len(scores)))
        return self._scaled(scores.mean(axis=0), scores.std(axis=0))

    def restore(self, features: Matrix, scales: NDArray[np.float64]) -> Self:
        """Become what was fitted on `features` (N, E) with these `scales` (2, 3)."""
        self.distance_ = Mahalanobis(shrinkage=self.shrinkage).fit(features)
        return self._scaled(scales[0], scales[1])

    def comparing(self, features: Matrix) -> Evaluator:
        """Return the same with mean and covariance of other features (N, E); its scales stay."""
        return Evaluator(self.number, shrinkage=self.shrinkage).restore(features, self.scales_)

    def score(self, readings: Readings) -> dict[str, NDArray[np.float64]]:
        """Return the seven scores (B,) of clips, each the mean of its standardised parts, and the odds."""
        return {**self.combined(self.three(readings)), ODDS: self.odds(readings)}

    def combined(self, three: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the seven scores (B,) of three scores (B, 3) that are not yet standardised."""
        standardised = (three - self.scales_[0]) / self.scales_[1]
        return {name: _mean(standardised, chosen) for name, chosen in COMBINATIONS.items()}

    def three(
        self, readings: Readings, *, distance: Mahalanobis | None = None
    ) -> NDArray[np.float64]:
        """Return the three scores (B, 3), not standardised; `distance` may be another than the learnt one."""
        scores = np.zeros((len(readings.features), len(SCORES)))
        if readings.targets.shape[1]:
            own = self.number if readings.targets.shape[1] > 1 else 0
            scores[:, 0] = -readings.targets[:, own]
        if readings.ids.shape[1] > 1:
            scores[:, 1] = -readings.ids[:, self.number]
        detector = distance or self.distance_
        # One by one: a distance's last digits would depend on the clips beside.
        scores[:, 2] = [detector.anomaly_score(one[None])[0] for one in readings.features]
        return scores

    def odds(self, readings: Readings) -> NDArray[np.float64]:
        """Return the log-odds (B,) against the own machine ID, of all that the ID head knows."""
        if readings.ids.shape[1] < 2:
            return np.zeros(len(readings.ids))
        return posterior_scores(readings.ids, self.number)

    def _scaled(self, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> Self:
        varies = deviation > 1e-9 * (1 + np.abs(mean))
        self.scales_ = np.stack([mean, np.where(varies, deviation, 1.0)])  # (2, 3)
        return self


def _mean(scores: NDArray[np.float64], chosen: Sequence[int]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = scores[:, list(chosen)].mean(axis=1)
    return mean
