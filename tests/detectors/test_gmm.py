from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from thrum.detectors.gmm import GMM, VARIANCE_FLOOR


def test_one_component_is_the_normal_distribution_of_the_vectors() -> None:
    X = np.random.default_rng(0).normal([1, -2, 5], [1, 0.5, 3], size=(400, 3))
    variances = X.var(axis=0) + VARIANCE_FLOOR * X.var(axis=0).mean()
    wanted = -multivariate_normal(X.mean(axis=0), np.diag(variances)).logpdf(X[:20])
    np.testing.assert_allclose(GMM(components=1).fit(X).anomaly_score(X[:20]), wanted)


def test_full_covariances_are_those_of_the_vectors() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3)) @ random.normal(size=(3, 3))
    covariance = np.cov(X.T, bias=True) + VARIANCE_FLOOR * X.var(axis=0).mean() * np.eye(3)
    wanted = -multivariate_normal(X.mean(axis=0), covariance).logpdf(X[:20])
    found = GMM(components=1, covariance="full").fit(X).anomaly_score(X[:20])
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize(("covariance", "theirs"), [("diagonal", "diag"), ("full", "full")])
def test_it_agrees_with_scikit_learn(
    covariance: Literal["diagonal", "full"], theirs: Literal["diag", "full"]
) -> None:
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(c, 1, size=(50, 4)) for c in (-6, 0, 6)])
    reference = GaussianMixture(
        3,
        covariance_type=theirs,
        reg_covar=VARIANCE_FLOOR * X.var(axis=0).mean(),
        random_state=0,
    ).fit(X)
    new = random.normal(0, 5, size=(30, 4))
    fitted = GMM(components=3, covariance=covariance).fit(random.permutation(X))
    found = fitted.anomaly_score(new)
    np.testing.assert_allclose(found, -reference.score_samples(new), rtol=1e-3)


def test_a_gap_between_two_clusters_is_less_likely_than_both() -> None:
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(c, 0.5, size=(60, 2)) for c in (-3, 3)])
    detector = GMM(components=2).fit(X)
    gap, low, high = detector.anomaly_score(np.array([[0.0, 0], [-3, -3], [3, 3]]))
    assert gap > max(low, high) + 5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_vectors_than_components_are_enough(count: int) -> None:
    X = np.random.default_rng(0).normal(size=(count, 3))
    scores = GMM(components=32).fit(X).anomaly_score(np.concatenate([X, X + 10]))
    assert scores[:count].max() < scores[count:].min()


def test_equal_vectors_are_enough() -> None:
    scores = (
        GMM(components=4).fit(np.ones((6, 3))).anomaly_score(np.array([[1.0, 1, 1], [1, 1, 2]]))
    )
    assert scores[0] < scores[1]
    assert np.isfinite(scores).all()


def test_left_out_scores_do_not_know_their_own_group() -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[:4] += 20
    groups = np.repeat(np.arange(10), 4)
    detector = GMM(components=2).fit(X)
    left_out = detector.left_out_score(groups)
    assert left_out[:4].min() > 10 * detector.anomaly_score(X)[:4].max()
    np.testing.assert_array_equal(
        detector.left_out_score(np.zeros(40, int)), detector.anomaly_score(X)
    )
