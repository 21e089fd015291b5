from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thrum.detectors.threshold import calibrations, conformal_threshold, gamma_threshold
from thrum.errors import DataError


@pytest.mark.parametrize(("shape", "location", "scale"), [(4.0, 9.0, 0.3), (20.0, 0.0, 1e-4)])
def test_it_finds_the_quantile_of_a_gamma_distribution(
    shape: float, location: float, scale: float
) -> None:
    scores = stats.gamma.rvs(shape, location, scale, size=4000, random_state=0)
    spread = scale * np.sqrt(shape)
    for quantile in (0.5, 0.9):
        wanted = stats.gamma.ppf(quantile, shape, location, scale)
        assert gamma_threshold(scores, quantile=quantile) == pytest.approx(
            wanted, abs=0.06 * spread
        )


def test_it_agrees_with_the_organisers_way() -> None:
    scores = stats.gamma.rvs(3.0, 9.0, 0.5, size=300, random_state=1)
    theirs = stats.gamma.ppf(0.9, *stats.gamma.fit(scores))
    assert gamma_threshold(scores) == pytest.approx(theirs, rel=1e-3)


def test_it_moves_with_the_units() -> None:
    scores = stats.gamma.rvs(2.0, size=200, random_state=2)
    assert gamma_threshold(1e-6 * scores + 5) == pytest.approx(
        1e-6 * gamma_threshold(scores) + 5, abs=1e-9
    )


@pytest.mark.parametrize("scores", [[3.5], [3.5] * 8])
def test_of_equal_scores_it_is_that_score(scores: list[float]) -> None:
    assert gamma_threshold(np.array(scores)) == 3.5


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_it_refuses_what_is_no_score(scores: list[float]) -> None:
    with pytest.raises(DataError, match="finite scores"):
        gamma_threshold(np.array(scores))


def test_it_refuses_a_quantile_out_of_range() -> None:
    with pytest.raises(DataError, match=r"quantile of a threshold is 90"):
        gamma_threshold(np.array([1.0, 2.0]), quantile=90)


def test_the_conformal_threshold_is_where_p_values_fall_below_what_is_asked() -> None:
    scores = np.random.default_rng(0).normal(size=59)
    for rate in (0.05, 0.1, 0.35):
        threshold = conformal_threshold(scores, false_alarms=rate)
        assert threshold is not None
        for score, alarms in ((threshold, True), (np.nextafter(threshold, -np.inf), False)):
            p = (1 + (scores >= score).sum()) / 60
            assert (p <= rate) == alarms
    assert conformal_threshold(scores[:18], false_alarms=0.05) is None
    assert conformal_threshold(scores[:19], false_alarms=0.05) == np.nextafter(
        scores[:19].max(), np.inf
    )


def test_every_way_to_set_a_threshold_where_there_are_clips() -> None:
    scores = np.random.default_rng(1).gamma(3.0, size=2000)
    found = calibrations({("fan", "id_00"): scores, ("fan", "id_01"): scores[:1]})
    assert all(list(thresholds) == [("fan", "id_00")] for thresholds in found.values())
    gamma, percentile, tenth, twentieth = (own["fan", "id_00"] for own in found.values())
    assert percentile == np.quantile(scores, 0.9)
    assert gamma == pytest.approx(percentile, rel=0.05)
    assert tenth == pytest.approx(percentile, rel=0.02)
    assert twentieth == pytest.approx(np.quantile(scores, 0.95), rel=0.02)
