"""What every registered detector promises."""

from __future__ import annotations

import numpy as np
import pytest

from thrum.detectors import DETECTORS, create_detector
from thrum.errors import DataError, NotFittedError

RANDOM = np.random.default_rng(1)
NORMAL = RANDOM.normal(size=(80, 6))
ANOMALOUS = RANDOM.normal(size=(40, 6)) + 4

pytestmark = pytest.mark.parametrize("name", sorted(DETECTORS))


def test_anomalies_score_higher(name: str) -> None:
    detector = create_detector(name).fit(NORMAL[:60])
    normal, anomalous = detector.anomaly_score(NORMAL[60:]), detector.anomaly_score(ANOMALOUS)
    assert normal.dtype == np.float64
    assert normal.shape == (20,)
    assert np.median(anomalous) > normal.max()


def test_the_order_of_rows_does_not_matter(name: str) -> None:
    shuffled = RANDOM.permutation(len(NORMAL))
    scores = create_detector(name).fit(NORMAL).anomaly_score(ANOMALOUS)
    again = create_detector(name).fit(NORMAL[shuffled]).anomaly_score(ANOMALOUS[::-1])
    np.testing.assert_allclose(again[::-1], scores, rtol=1e-9)


def test_fitting_again_forgets_and_scoring_is_pure(name: str) -> None:
    detector = create_detector(name).fit(ANOMALOUS).fit(NORMAL)
    scores = detector.anomaly_score(ANOMALOUS)
    np.testing.assert_array_equal(
        scores, create_detector(name).fit(NORMAL).anomaly_score(ANOMALOUS)
    )
    np.testing.assert_array_equal(scores, detector.anomaly_score(ANOMALOUS))


def test_left_out_scores_are_those_of_new_normal_vectors(name: str) -> None:
    detector = create_detector(name).fit(NORMAL[:60])
    left_out = detector.left_out_score(np.arange(60))
    assert left_out.shape == (60,)
    new = detector.anomaly_score(NORMAL[60:])
    assert abs(left_out.mean() - new.mean()) < new.std()


def test_it_refuses_to_score_before_fit(name: str) -> None:
    with pytest.raises(NotFittedError, match="before fit"):
        create_detector(name).anomaly_score(NORMAL)


def test_bad_vectors_are_said(name: str) -> None:
    with pytest.raises(DataError, match=r"wants vectors \(B, D\)"):
        create_detector(name).fit(np.zeros(5))
    with pytest.raises(DataError, match="NaN or infinite"):
        create_detector(name).fit(np.array([[np.nan, 0.0], [1.0, 1.0]]))
    with pytest.raises(DataError, match="at least"):
        create_detector(name).fit(np.zeros((0, 3)))
