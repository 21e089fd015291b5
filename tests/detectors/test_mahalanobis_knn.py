from __future__ import annotations

import numpy as np

from thrum.detectors.knn import KNN
from thrum.detectors.mahalanobis import Mahalanobis
from thrum.detectors.mahalanobis_knn import MahalanobisKNN

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 4)) @ RANDOM.normal(size=(4, 4))
NEW = RANDOM.normal(size=(7, 4))


def test_the_distance_is_that_of_the_shrunk_covariance() -> None:
    whitening = Mahalanobis().fit(X).whitening_
    precision = whitening @ whitening.T
    differences = NEW[:, None] - X[None]  # (7, 50, 4)
    squared = np.einsum("bnd,de,bne->bn", differences, precision, differences)
    wanted = np.sort(np.sqrt(squared), axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(MahalanobisKNN(neighbours=3).fit(X).anomaly_score(NEW), wanted)


def test_units_do_not_matter_where_vectors_are_many() -> None:
    many = RANDOM.normal(size=(20000, 2))
    units = np.array([1.0, 1.5])
    one = MahalanobisKNN(neighbours=1).fit(many).anomaly_score(NEW[:, :2])
    other = MahalanobisKNN(neighbours=1).fit(many * units).anomaly_score(NEW[:, :2] * units)
    np.testing.assert_allclose(other, one, rtol=0.05)
    euclidean = [KNN(neighbours=1).fit(many * u).anomaly_score(NEW[:, :2] * u) for u in (1, units)]
    assert not np.allclose(euclidean[0], euclidean[1], rtol=0.05)


def test_left_out_scores_leave_the_group_out() -> None:
    twins = np.repeat(X, 2, axis=0)
    detector = MahalanobisKNN(neighbours=1).fit(twins)
    np.testing.assert_allclose(detector.anomaly_score(twins), 0, atol=1e-6)
    assert detector.left_out_score(np.repeat(np.arange(50), 2)).min() > 0.01
