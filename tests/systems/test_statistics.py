from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from thrum.systems.embedding_sharing.moments import moments_of, pooled
from thrum.systems.embedding_sharing.statistics import Local, Statistics, Whitened

DIMENSIONS = 24
SPREAD = np.geomspace(20, 0.1, DIMENSIONS)
FAULT = np.r_[np.zeros(18), np.full(6, 1.2)]


def clips(seed: int, count: int, fault: float = 0.0) -> NDArray[np.float64]:
    """Machines vary much along some directions and hardly along others, where faults show."""
    random = np.random.default_rng(seed)
    shift = fault * FAULT * random.choice([-1, 1], size=(count, 1))
    return random.normal(size=(count, DIMENSIONS)) * SPREAD + shift


POOL = pooled([moments_of(clips(seed, 50) + seed) for seed in (1, 2, 3)])
TEST = np.concatenate([clips(20, 100), clips(21, 100, fault=1.0)])
IS_ANOMALY = np.repeat([0, 1], 100)


def auc(scorer: Local | Whitened | Statistics, own: NDArray[np.float64]) -> float:
    return float(roc_auc_score(IS_ANOMALY, scorer.fit(own).score(TEST)))


@pytest.mark.parametrize(("count", "gain"), [(2, 0.2), (5, 0.15), (10, 0.1)])
def test_sharing_pays_where_clips_are_few(count: int, gain: float) -> None:
    draws = [clips(30 + draw, count) for draw in range(5)]
    together = np.mean([auc(Statistics(POOL), own) for own in draws])
    alone = max(np.mean([auc(scorer(), own) for own in draws]) for scorer in (Local, Whitened))
    assert together > alone + gain


def test_with_many_clips_nothing_is_lost() -> None:
    own = clips(40, 200)
    assert auc(Statistics(POOL), own) > max(auc(Local(), own), auc(Whitened(), own)) - 0.01


def test_machines_of_another_kind_leave_a_site_what_it_has_alone() -> None:
    foreign = pooled(
        [moments_of(clips(seed, 50)[:, ::-1]) for seed in (4, 5, 6)]
    )  # their faults' directions vary most
    own = clips(41, 20)
    found = Statistics(foreign).fit(own)
    assert found.weights_[2] > 0.95
    assert auc(Statistics(foreign), own) > auc(Whitened(), own) - 0.01


@pytest.mark.parametrize(
    ("count", "weights"),
    [(1, (1, 0, 0)), (50, (9 / 16, 3 / 16, 1 / 4)), (200, (1 / 4, 1 / 4, 1 / 2))],
)
def test_the_more_own_clips_the_more_they_count(count: int, weights: tuple[float, ...]) -> None:
    assert Statistics(POOL).fit(clips(42, count)).weights_ == pytest.approx(weights)


@pytest.mark.parametrize("count", [3, 8, 40])
@pytest.mark.parametrize("scorer", [Local(), Whitened(), Whitened(POOL), Statistics(POOL)])
def test_left_out_scores_are_what_new_normal_clips_score(
    scorer: Local | Whitened | Statistics, count: int
) -> None:
    """The share of new normal clips above the highest left-out score is about 1 / (n + 1)."""
    above = []
    for draw in range(12):
        own = clips(50 + draw, count)
        new = scorer.fit(own).score(clips(80 + draw, 200))
        above.append((new > scorer.left_out_.max()).mean())
    assert np.mean(above) < 2.5 / (count + 1)
    assert len(scorer.left_out_) == count


def test_test_clips_are_scored_by_a_map_of_all_own_clips() -> None:
    """Not by the mean of maps of most of them: another last clip changes every score."""
    own = clips(60, 9)
    before = Whitened().fit(own).score(TEST)
    own[-1] += 3
    assert (Whitened().fit(own).score(TEST) != before).all()


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_clips_are_scored_by_the_pool(count: int) -> None:
    found = Statistics(POOL).fit(clips(70, count))
    assert np.isfinite(found.score(TEST)).all()
    assert found.weights_[0] > 0.9
    assert len(found.left_out_) == count
