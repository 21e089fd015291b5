"""p-values: by hand, uniform on exchangeable scores, and a tail that is only an assumption."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thrum.errors import DataError
from thrum.monitoring.conformal import Ranks, finest, p_values, tail_p_values


def test_p_values_by_hand() -> None:
    left_out = [1.0, 2.0, 2.0, 4.0]
    assert p_values(left_out, [0.0, 2.0, 3.0, 5.0]).tolist() == [1.0, 4 / 5, 2 / 5, 1 / 5]
    assert p_values([], [3.0]).tolist() == [1.0]
    assert finest(4) == p_values(left_out, [9.0])[0]


def test_an_exchangeable_clip_has_every_rank_equally_often() -> None:
    random = np.random.default_rng(0)
    scores = random.standard_cauchy((20_000, 10))  # no moments are needed
    found = [p_values(row[1:], row[:1])[0] for row in scores]
    counts = np.bincount(np.rint(np.array(found) * 10).astype(int), minlength=11)[1:]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_equal_scores_never_make_p_too_small() -> None:
    random = np.random.default_rng(1)
    scores = random.integers(0, 3, (5_000, 20)).astype(float)
    found = np.array([p_values(row[1:], row[:1])[0] for row in scores])
    for level in (0.05, 0.1, 0.35, 0.7):
        assert (found <= level).mean() <= level + 3 * np.sqrt(level / len(found))


def test_ranks_in_a_growing_set_are_independent_and_a_fixed_sets_are_not() -> None:
    random = np.random.default_rng(2)
    growing, fixed = [], []
    for scores in random.normal(size=(2_000, 14)):
        ranks = Ranks(scores[:4])
        own = []
        for score in scores[4:]:
            own.append(ranks.p_value(score))
            ranks.add(score)
        growing.append(own)
        fixed.append(p_values(scores[:4], scores[4:]))

    def correlation(values: list[object]) -> float:
        return float(np.corrcoef(np.array(values, float).T)[0, -1])

    assert abs(correlation(growing)) < 4 / np.sqrt(2_000)
    assert correlation(fixed) > 0.1


def test_a_score_taken_out_again_leaves_the_set_as_it_was() -> None:
    ranks = Ranks([1.0, 2.0])
    ranks.add(1.5)
    ranks.remove(1.5)
    ranks.remove(7.0)
    assert ranks.scores == [1.0, 2.0]


def test_a_set_that_is_full_takes_no_more() -> None:
    ranks = Ranks([1.0, 2.0], limit=3)
    for score in (3.0, 4.0):
        ranks.add(score)
    assert ranks.scores == [1.0, 2.0, 3.0]


def test_the_tail_model_goes_on_as_the_distribution_does() -> None:
    random = np.random.default_rng(3)
    known = random.exponential(size=20_000)
    scores = np.array([0.5, 5.0, 12.0])
    found = tail_p_values(known, scores)
    assert found[0] == p_values(known, scores)[0]
    np.testing.assert_allclose(np.log(found[1:]), -scores[1:], rtol=0.15)
    assert found[2] < finest(len(known))


def test_a_tail_with_an_end_is_taken_for_one_without() -> None:
    known = np.random.default_rng(4).uniform(size=2_000)
    assert tail_p_values(known, [1.05])[0] > 0


def test_a_tail_wants_clips() -> None:
    with pytest.raises(DataError, match="50 normal clips at least, got 49"):
        tail_p_values(np.arange(49.0), [1.0])


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="1 of them not finite"):
        p_values([1.0, np.nan], [1.0])
