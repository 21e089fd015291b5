from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from thrum.errors import EvaluationError
from thrum.evaluation.metrics import (
    EPSILON,
    arithmetic_mean,
    auc,
    decision_quality,
    harmonic_mean,
    jackknife_interval,
    partial_auc,
)

# Scores 5 | 4 4 4 | 3 | 2 | 1, the anomalies being 5, one of the 4s and 3.
LABELS = [1, 1, 0, 0, 1, 0, 0]
SCORES = [5.0, 4.0, 4.0, 4.0, 3.0, 2.0, 1.0]


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At least two clips of each kind, few or many ties, negative scores too."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 120))
    labels = np.zeros(n, dtype=int)
    labels[: int(rng.integers(2, n - 1))] = 1
    rng.shuffle(labels)
    scores = rng.normal(labels * rng.uniform(-1, 2), 1.0)
    levels = rng.choice([0.5, 3.0, 1e6])
    return labels, np.round(scores * levels) / levels - rng.choice([0.0, 50.0])


def test_auc_by_hand() -> None:
    # Of the 12 pairs: 5 wins 4; 4 wins 2 and halves 2; 3 wins 2.
    assert auc(LABELS, SCORES) == (4 + 2 + 1 + 2) / 12


def test_partial_auc_by_hand() -> None:
    # Up to a false-positive rate of 1/4 (one of four normal clips): the 5 counts over the whole width,
    # the tied 4 is a ramp over two clips of which the first is reached, the 3 comes later.
    area = (1 + 1 / 4 + 0) / (3 * 4)
    standardised = 0.5 * (1 + (area - 1 / 32) / (1 / 4 - 1 / 32))
    assert partial_auc(LABELS, SCORES, max_fpr=0.25) == pytest.approx(standardised, abs=1e-15)


@pytest.mark.parametrize(("scores", "expected"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0)])
def test_perfect_and_inverted(scores: list[float], expected: float) -> None:
    assert auc([0, 0, 1, 1], scores) == expected


def test_all_tied_is_chance() -> None:
    assert auc([0, 1, 0, 1], [7, 7, 7, 7]) == 0.5
    assert partial_auc([0, 1, 0, 1], [7, 7, 7, 7]) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize("seed", range(60))
def test_areas_equal_those_of_sklearn(seed: int) -> None:
    labels, scores = random_case(seed)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    for max_fpr in (0.03, 0.1, 0.5):
        expected = roc_auc_score(labels, scores, max_fpr=max_fpr)
        assert partial_auc(labels, scores, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_fpr", [1.0, 0.1])
def test_jackknife_equals_leaving_each_clip_out(seed: int, max_fpr: float) -> None:
    labels, scores = random_case(seed)
    n = len(labels)
    keep = ~np.eye(n, dtype=bool)
    areas = [roc_auc_score(labels[k], scores[k], max_fpr=max_fpr) for k in keep]
    error = math.sqrt(sum((area - np.mean(areas)) ** 2 for area in areas) / (n * (n - 1)))
    expected = stats.t.ppf(0.975, n - 1) * error
    assert jackknife_interval(labels, scores, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


def test_textbook_jackknife_is_b_minus_1_times_wider_and_covers() -> None:
    """The organisers' interval times B - 1 must cover the true AUC in about 95 % of repetitions."""
    rng = np.random.default_rng(0)
    n, shift = 100, 1.0
    true_auc = stats.norm.cdf(shift / math.sqrt(2))
    labels = np.arange(n) % 2
    covered = narrow = 0
    for _ in range(400):
        scores = rng.normal(labels * shift, 1.0)
        distance = abs(auc(labels, scores) - true_auc)
        narrow += distance <= jackknife_interval(labels, scores)
        covered += distance <= jackknife_interval(labels, scores) * (n - 1)
    assert 0.92 < covered / 400 < 0.98
    assert narrow / 400 < 0.05


@pytest.mark.parametrize("seed", range(10))
def test_decision_quality_equals_that_of_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, decisions = rng.integers(0, 2, (2, 30))
    assert decision_quality(labels, decisions) == pytest.approx(
        (
            precision_score(labels, decisions),
            recall_score(labels, decisions),
            f1_score(labels, decisions),
        ),
        abs=1e-12,
    )


def test_a_system_that_never_alarms_has_zeros() -> None:
    assert decision_quality([0, 1, 1], [0, 0, 0]) == (0.0, 0.0, 0.0)


def test_harmonic_mean_is_floored_at_the_float_epsilon() -> None:
    assert harmonic_mean([0.5, 1.0]) == pytest.approx(2 / 3, abs=1e-15)
    assert harmonic_mean([0.0, 1.0]) == pytest.approx(2 * EPSILON, rel=1e-12)
    assert harmonic_mean([0.25, 0.5, 0.75]) == pytest.approx(
        stats.hmean([0.25, 0.5, 0.75]), abs=1e-15
    )


def test_arithmetic_mean() -> None:
    assert arithmetic_mean(iter([0.25, 0.75])) == 0.5


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1.0, math.nan], "1 of 2 scores are NaN or inf"),
        ([0, 1], [1.0, math.inf], "1 of 2 scores are NaN or inf"),
        ([0, 0], [1.0, 2.0], "2 normal clips and 0 anomalies"),
        ([1], [1.0], "0 normal clips and 1 anomalies"),
        ([0, 1], [1.0], "one label a score"),
        ([], [], "0 normal clips and 0 anomalies"),
    ],
)
def test_what_has_no_area(labels: list[int], scores: list[float], message: str) -> None:
    for area in (auc, partial_auc, jackknife_interval):
        with pytest.raises(EvaluationError, match=message):
            area(labels, scores)


def test_means_and_jackknife_refuse_too_little() -> None:
    for mean in (arithmetic_mean, harmonic_mean):
        with pytest.raises(EvaluationError, match="at least one value"):
            mean([])
    with pytest.raises(EvaluationError, match="at least two normal clips and two anomalies"):
        jackknife_interval([0, 0, 1], [1.0, 2.0, 3.0])
