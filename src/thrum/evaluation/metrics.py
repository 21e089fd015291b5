"""The figures of anomalous sound detection, exact and in O(B log B).

Areas are sums over anomalies: an anomaly that outranks all but ``a`` to ``b`` of the normal clips
(``a < b`` where some are tied with it) lifts the ROC curve by a ramp from ``a`` to ``b``. Leaving
one clip out moves the ramps of the clips on one side of it, so that a jackknife needs prefix sums
instead of B ROC curves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrum.errors import EvaluationError

EPSILON = sys.float_info.epsilon
PARTIAL_MAX_FPR = 0.1
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


class DecisionQuality(NamedTuple):
    """How well yes-or-no answers found the anomalies."""

    precision: float
    recall: float
    f1: float


class _Ranks(NamedTuple):
    """The clips at each distinct score, highest score first: L levels."""

    anomalies: Floats  # (L,)
    normals: Floats  # (L,)
    above: Floats  # (L,) normals with a higher score
    upto: Floats  # (L,) normals with a higher or the same score


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve; equals scikit-learn's ``roc_auc_score``.

    Parameters
    ----------
    labels
        (B,), 1 or True for an anomaly.
    scores
        (B,), higher is more anomalous; a tie counts one half.

    Raises
    ------
    EvaluationError
        Where one of the two kinds is missing or a score is not finite.
    """
    return _area(_ranked(labels, scores), 1.0)


def partial_auc(labels: ArrayLike, scores: ArrayLike, *, max_fpr: float = PARTIAL_MAX_FPR) -> float:
    """Return the area under the ROC curve up to `max_fpr`, standardised so that 0.5 is chance.

    Equals scikit-learn's ``roc_auc_score(…, max_fpr=max_fpr)``: the curve is interpolated at
    `max_fpr` and the area standardised after McClish (1989). The challenge's papers print a sum
    over ``⌊max_fpr · normals⌋`` clips instead, which the organisers' evaluators do not use.

    Raises
    ------
    EvaluationError
        As `auc`.
    """
    return _area(_ranked(labels, scores), max_fpr)


def jackknife_interval(labels: ArrayLike, scores: ArrayLike, *, max_fpr: float = 1.0) -> float:
    """Return the half-width of the jackknife t-interval (95 %) that the organisers print.

    With the area θᵢ of all clips but the i-th, it is ``t · sqrt(Σ(θᵢ - mean θ)² / (B(B - 1)))``.
    The textbook's jackknife takes the spread of the pseudo-values ``Bθ - (B - 1)θᵢ`` instead,
    which makes it B - 1 times wider: multiply by that for an interval one can rely on.

    Parameters
    ----------
    labels, scores
        As in `auc`; at least two anomalies and two normal clips.
    max_fpr
        1 for the AUC, 0.1 for the challenge's partial AUC.
    """
    from scipy.special import stdtrit

    ranks = _ranked(labels, scores)
    if min(ranks.anomalies.sum(), ranks.normals.sum()) < 2:
        raise EvaluationError("a jackknife wants at least two normal clips and two anomalies")
    areas, counts = _areas_left_out(ranks, max_fpr)
    total = counts.sum()
    mean = np.average(areas, weights=counts)
    variance = np.sum(counts * (areas - mean) ** 2) / (total * (total - 1))
    return float(stdtrit(total - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance))


def decision_quality(labels: ArrayLike, decisions: ArrayLike) -> DecisionQuality:
    """Return precision, recall and F1 of decisions (B,), 1 for an alarm, as the organisers do.

    Denominators are at least the float epsilon, so that a system that never raises an alarm has
    precision, recall and F1 of 0 rather than none.
    """
    anomalous, alarmed = np.asarray(labels, dtype=bool), np.asarray(decisions, dtype=bool)
    hits = float(np.sum(anomalous & alarmed))
    precision = hits / max(float(np.sum(alarmed)), EPSILON)
    recall = hits / max(float(np.sum(anomalous)), EPSILON)
    return DecisionQuality(
        precision, recall, 2.0 * precision * recall / max(precision + recall, EPSILON)
    )


def arithmetic_mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value."""
    return float(np.mean(_some(values)))


def harmonic_mean(values: Iterable[float]) -> float:
    """Return the harmonic mean of ``max(value, float epsilon)``: one 0 pulls it to about 1e-15."""
    some = np.maximum(_some(values), EPSILON)
    return float(some.size / np.sum(1.0 / some))


def _some(values: Iterable[float]) -> Floats:
    array = np.array(list(values), dtype=np.float64)
    if array.size == 0:
        raise EvaluationError("a mean wants at least one value, got none")
    return array


def _ranked(labels: ArrayLike, scores: ArrayLike) -> _Ranks:
    anomalous = np.asarray(labels).astype(bool)  # (B,)
    values = np.asarray(scores, dtype=np.float64)  # (B,)
    if anomalous.shape != values.shape or values.ndim != 1:
        raise EvaluationError(
            f"wanted one label a score, got labels {anomalous.shape} and scores {values.shape}"
        )
    if not np.isfinite(values).all():
        n_bad = int(np.sum(~np.isfinite(values)))
        raise EvaluationError(f"{n_bad} of {values.size} scores are NaN or infinite")
    n_anomalies = int(anomalous.sum())
    if not 0 < n_anomalies < anomalous.size:
        raise EvaluationError(
            f"an AUC wants normal clips and anomalies, "
            f"got {anomalous.size - n_anomalies} normal clips and {n_anomalies} anomalies"
        )
    _, level = np.unique(-values, return_inverse=True)  # (B,)
    anomalies = np.bincount(level, weights=anomalous).astype(np.float64)  # (L,)
    normals = np.bincount(level, weights=~anomalous).astype(np.float64)  # (L,)
    upto = np.cumsum(normals)  # (L,)
    return _Ranks(anomalies, normals, upto - normals, upto)


def _area(ranks: _Ranks, max_fpr: float) -> float:
    n_anomalies, n_normals = ranks.anomalies.sum(), ranks.normals.sum()
    lift = np.sum(ranks.anomalies * _lift(ranks.above, ranks.upto, max_fpr * n_normals))
    return float(_standardised(lift / (n_anomalies * n_normals), max_fpr))


def _areas_left_out(ranks: _Ranks, max_fpr: float) -> tuple[Floats, Floats]:
    """Return the area without one clip, and how many clips this stands for (2L,).

    First for an anomaly of each level, then for a normal clip of each.
    """
    anomalies, normals, above, upto = ranks
    n_anomalies, n_normals = anomalies.sum(), normals.sum()

    lift = _lift(above, upto, max_fpr * n_normals)
    without_anomaly = (np.sum(anomalies * lift) - lift) / ((n_anomalies - 1) * n_normals)

    # A normal clip gone: anomalies above it keep their place, those tied with it and below it gain
    # one. Levels without a normal clip get a number too, which counts for no clip.
    limit = max_fpr * (n_normals - 1)
    kept = anomalies * _lift(above, upto, limit)
    tied = anomalies * _lift(above, upto - 1, limit)
    gained = anomalies * _lift(above - 1, upto - 1, limit)
    sums = np.cumsum(kept) - kept + tied + np.sum(gained) - np.cumsum(gained)
    without_normal = sums / (n_anomalies * (n_normals - 1))

    areas = np.concatenate([without_anomaly, without_normal])
    return _standardised(areas, max_fpr), np.concatenate([anomalies, normals])


def _lift(above: Floats, upto: Floats, limit: float) -> Floats:
    """Integrate from 0 to `limit` what is 0 before `above`, 1 after `upto` and a ramp between."""
    on_ramp: Floats = np.clip(limit, above, upto) - above
    ramp: Floats = on_ramp**2 / (2 * np.maximum(upto - above, 1))
    return ramp + np.maximum(limit - upto, 0)


def _standardised(area: Floats, max_fpr: float) -> Floats:
    """Scale a partial area so that chance is 0.5 and the best 1 (McClish 1989)."""
    chance = max_fpr**2 / 2
    standardised: Floats = 0.5 * (1 + (area - chance) / (max_fpr - chance))
    return standardised
