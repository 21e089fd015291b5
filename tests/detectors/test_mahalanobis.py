from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from thrum.detectors.mahalanobis import Mahalanobis
from thrum.detectors.mahalanobis_knn import MahalanobisKNN
from thrum.errors import DataError

RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.normal(size=(60, 5)) @ RANDOM.normal(size=(5, 5)) + 3
TEST = RANDOM.normal(size=(20, 5)) * 2


def test_equation_4_by_hand() -> None:
    train = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variances 2 and 1/2
    scores = Mahalanobis(shrinkage=0.0).fit(train + 7).anomaly_score(np.array([[7 + 2.0, 7 + 1.0]]))
    np.testing.assert_allclose(scores, [np.sqrt(4 / 2 + 1 / 0.5)])
    round_ = Mahalanobis(shrinkage=1.0).fit(train).anomaly_score(np.array([[3.0, 4.0]]))
    np.testing.assert_allclose(round_, [5 / np.sqrt(1.25)])
    half = Mahalanobis(shrinkage=0.5).fit(train).anomaly_score(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(half, [1 / np.sqrt(0.5 * 2 + 0.5 * 1.25)])


@pytest.mark.parametrize(
    ("shrinkage", "reference"), [(0.0, EmpiricalCovariance()), (None, LedoitWolf())]
)
def test_it_is_scikit_learns(shrinkage: float | None, reference: EmpiricalCovariance) -> None:
    wanted = np.sqrt(reference.fit(TRAIN).mahalanobis(TEST))
    scores = Mahalanobis(shrinkage=shrinkage).fit(TRAIN).anomaly_score(TEST)
    np.testing.assert_allclose(scores, wanted, rtol=1e-8)


def test_without_shrinkage_scales_do_not_matter() -> None:
    mixing = RANDOM.normal(size=(5, 5))
    scores = Mahalanobis(shrinkage=0.0).fit(TRAIN).anomaly_score(TEST)
    mixed = Mahalanobis(shrinkage=0.0).fit(TRAIN @ mixing).anomaly_score(TEST @ mixing)
    np.testing.assert_allclose(mixed, scores, rtol=1e-6)


def test_groups_are_left_out_of_mean_and_covariance() -> None:
    groups = np.arange(60) // 12
    left_out = Mahalanobis().fit(TRAIN).left_out_score(groups)
    others = Mahalanobis().fit(TRAIN[groups != 2])
    np.testing.assert_allclose(left_out[groups == 2], others.anomaly_score(TRAIN[groups == 2]))


def test_few_vectors_of_many_dimensions() -> None:
    few = RANDOM.normal(size=(3, 40))
    detector = Mahalanobis().fit(few)
    assert detector.anomaly_score(few + 9).min() > detector.anomaly_score(few).max()
    left_out = Mahalanobis().fit(few[:2]).left_out_score(np.arange(2))
    np.testing.assert_allclose(left_out, np.sqrt(40))
    with pytest.raises(DataError, match="more vectors than dimensions, got 3 of 40"):
        Mahalanobis(shrinkage=0.0).fit(few)


def test_directions_that_do_not_vary_are_no_obstacle() -> None:
    flat = np.column_stack([RANDOM.normal(size=30), np.zeros(30)])
    for shrinkage in (None, 0.0):
        detector = Mahalanobis(shrinkage=shrinkage).fit(flat)
        scores = detector.anomaly_score(np.array([[0.0, 0.0], [0.0, 1.0]]))
        assert np.isfinite(scores).all()
        assert scores[1] > 1e3 * scores[0] or shrinkage is None
    same = Mahalanobis().fit(np.ones((4, 3)))
    assert same.anomaly_score(np.ones((1, 3))) == 0


@pytest.mark.parametrize("detector", [Mahalanobis, MahalanobisKNN])
@pytest.mark.parametrize("count", [2, 12])
def test_two_clips_give_distances_of_a_usual_size(
    detector: type[Mahalanobis | MahalanobisKNN], count: int
) -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        clips = np.repeat(random.normal(size=(2, 128)), count // 2, axis=0)
        clips += 1e-4 * random.normal(size=clips.shape)  # the segments of a clip are nearly equal
        scores = detector().fit(clips).anomaly_score(random.normal(size=(9, 128)))
        assert (scores > 1).all()
        assert (scores < 100).all()
