from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from thrum.detectors.fusion import Fusion
from thrum.detectors.grouped import Grouped
from thrum.detectors.knn import KNN
from thrum.detectors.lof import LOF
from thrum.errors import DataError, NotFittedError

RANDOM = np.random.default_rng(0)
TRAIN, TEST = RANDOM.normal(size=(60, 5)), RANDOM.normal(size=(20, 5)) * 2


def test_knn_is_scikit_learns_mean_distance() -> None:
    distances, _ = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(TRAIN).kneighbors(TEST)
    scores = KNN(neighbours=3).fit(TRAIN).anomaly_score(TEST)
    np.testing.assert_allclose(scores, distances.mean(axis=1), rtol=1e-10)


def test_knn_by_hand() -> None:
    detector = KNN().fit(np.array([[0.0, 0.0], [3.0, 0.0], [10.0, 0.0]]))
    np.testing.assert_allclose(detector.anomaly_score(np.array([[1.0, 0.0]])), [1.5])
    np.testing.assert_allclose(detector.left_out_score(np.arange(3)), [6.5, 5.0, 8.5])


def test_knn_leaves_out_whole_groups() -> None:
    detector = KNN(neighbours=1).fit(np.array([[0.0, 0], [0.1, 0], [4.0, 0], [9.0, 0]]))
    np.testing.assert_allclose(
        detector.left_out_score(np.array([7, 7, 1, 2])), [4.0, 3.9, 3.9, 5.0]
    )


def test_knn_cosine_does_not_see_lengths() -> None:
    scores = KNN(neighbours=1, metric="cosine").fit(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(
        scores.anomaly_score(np.array([[5.0, 0.0], [0.0, 2.0]])), [0, 1], atol=1e-12
    )


def test_lof_is_scikit_learns() -> None:
    wanted = -LocalOutlierFactor(n_neighbors=20, novelty=True).fit(TRAIN).score_samples(TEST)
    np.testing.assert_allclose(LOF().fit(TRAIN).anomaly_score(TEST), wanted, rtol=1e-10)


def test_lof_leaves_a_group_out_of_its_own_fit() -> None:
    groups = np.arange(60) // 12
    left_out = LOF().fit(TRAIN).left_out_score(groups)
    others = LOF().fit(TRAIN[groups != 2])
    np.testing.assert_allclose(left_out[groups == 2], others.anomaly_score(TRAIN[groups == 2]))


def test_grouped_scores_are_means_over_windows() -> None:
    clips = [TRAIN[:3], TRAIN[3:10], TRAIN[10:60]]
    grouped = Grouped(KNN()).fit(clips)
    plain = KNN().fit(TRAIN)
    np.testing.assert_allclose(
        grouped.anomaly_score([TEST[:5], TEST[5:]]),
        [plain.anomaly_score(TEST[:5]).mean(), plain.anomaly_score(TEST[5:]).mean()],
    )
    groups = np.repeat([0, 1, 2], [3, 7, 50])
    left_out = plain.left_out_score(groups)
    np.testing.assert_allclose(
        grouped.left_out_score(), [left_out[groups == g].mean() for g in range(3)]
    )
    assert grouped.anomaly_score([]).shape == (0,)


def test_fusion_by_hand() -> None:
    left_out = {
        "a": np.array([0.0, 2.0]),
        "b": np.array([10.0, 30.0]),
    }  # means 1, 20; deviations 1, 10
    scores = {"a": np.array([2.0, 1.0]), "b": np.array([20.0, 50.0])}  # standardised: 1, 0 and 0, 3
    summed = Fusion().fit(left_out).combine(scores)
    np.testing.assert_allclose(summed, [0.5, 1.5])
    weighted = Fusion(weights={"a": 3.0}).fit(left_out).combine(scores)
    np.testing.assert_allclose(weighted, [0.75, 0.75])


def test_fusion_of_one_clip_is_to_the_last_bit_that_among_others() -> None:
    random = np.random.default_rng(0)
    kinds = {str(kind): random.normal(kind, 1 + kind, size=50) for kind in range(24)}
    fusion = Fusion().fit(kinds)
    together = fusion.combine(kinds)
    for clip in range(50):
        alone = fusion.combine({kind: scores[[clip]] for kind, scores in kinds.items()})
        assert alone[0] == together[clip]


def test_fusion_survives_a_kind_that_does_not_vary() -> None:
    fusion = Fusion().fit({"a": np.zeros(4), "b": np.arange(4.0)})
    assert np.isfinite(fusion.combine({"a": np.ones(2), "b": np.ones(2)})).all()


def test_fusion_refuses_what_it_was_not_fitted_on() -> None:
    with pytest.raises(NotFittedError):
        Fusion().combine({"a": np.zeros(1)})
    with pytest.raises(DataError, match=r"fitted on \['a'\], got \['b'\]"):
        Fusion().fit({"a": np.zeros(2)}).combine({"b": np.zeros(1)})
    with pytest.raises(DataError, match="at least one kind"):
        Fusion().fit({})


@pytest.mark.parametrize(("level", "noise"), [(0.0, 1e-9), (1e3, 1e-5), (0.0, 0.0)])
def test_scores_that_differ_by_rounding_are_not_blown_up(level: float, noise: float) -> None:
    equal = level + noise * np.random.default_rng(0).normal(size=9)
    fusion = Fusion().fit({"equal": equal, "other": np.arange(9.0)})
    combined = fusion.combine({"equal": np.array([level + 2.0]), "other": np.array([4.0])})
    np.testing.assert_allclose(combined, [1.0], rtol=1e-3)
