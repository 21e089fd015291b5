from __future__ import annotations

import time

import numpy as np
import pytest

from thrum.errors import DataError
from thrum.systems.embedding_sharing.moments import Moments, moments_of, pooled
from thrum.systems.embedding_sharing.others import pooled_without_each


def covariance(moments: Moments) -> np.ndarray:
    """The matrix that moments stand for."""
    directions = moments.directions
    elsewhere = np.eye(moments.dimensions) - directions.T @ directions
    return moments.axes.T @ moments.axes + moments.rest * elsewhere


@pytest.mark.parametrize("count", [3, 8, 9, 40])
def test_moments_are_the_covariance_scaled_to_trace_one(count: int) -> None:
    X = np.random.default_rng(0).normal(size=(count, 8)) @ np.diag(np.arange(1, 9))
    wanted = np.cov(X.T)
    found = moments_of(X)
    np.testing.assert_allclose(covariance(found), wanted / np.trace(wanted), atol=1e-12)
    assert found.count == count
    assert found.trace == pytest.approx(1)
    assert len(found.axes) <= min(count - 1, 8)


def test_scale_and_place_do_not_matter() -> None:
    X = np.random.default_rng(1).normal(size=(20, 5))
    one, other = moments_of(X), moments_of(1000 * X + 7)
    np.testing.assert_allclose(covariance(one), covariance(other), atol=1e-9)


def test_a_pool_is_the_weighted_mean() -> None:
    random = np.random.default_rng(2)
    parts = [moments_of(random.normal(size=(n, 6)) * random.uniform(1, 3, 6)) for n in (4, 9, 30)]
    weights = [1.0, 0.0, 3.0]
    wanted = (covariance(parts[0]) + 3 * covariance(parts[2])) / 4
    np.testing.assert_allclose(covariance(pooled(parts, weights=weights)), wanted, atol=1e-12)


@pytest.mark.parametrize("dimensions", [6, 200], ids=["sums", "products of rows"])
def test_pools_without_each_are_those_of_the_others(dimensions: int) -> None:
    random = np.random.default_rng(2)
    shape = random.uniform(1, 3, dimensions)
    parts = [moments_of(random.normal(size=(n, dimensions)) * shape) for n in (4, 9, 30, 12, 7)]
    parts[1] = Moments(parts[1].count, parts[1].axes, 0.01)
    weights = [1.0, 0.5, 0.0, 2.0, 0.7]
    found = pooled_without_each(parts, weights)
    for number, pool in enumerate(found):
        others = [n for n in range(5) if n != number and weights[n] > 0]
        wanted = pooled([parts[n] for n in others], weights=[weights[n] for n in others])
        assert pool is not None
        assert pool.count == wanted.count
        np.testing.assert_allclose(covariance(pool), covariance(wanted), atol=1e-12)
    assert pooled_without_each(parts[:2], [1.0, 0.0])[0] is None
    assert pooled_without_each(parts[:2], [0.0, 0.0]) == [None, None]


def test_pools_of_many_machines_take_a_sum_and_a_decomposition_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = [moments_of(np.random.default_rng(n).normal(size=(9, 6))) for n in range(64)]
    decomposed, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: (decomposed.append(len(a)), eigh(a))[1])
    began = time.process_time()
    pooled_without_each(parts, [1.0] * 64)
    few = time.process_time() - began
    assert decomposed == [6] * 65
    decomposed.clear()
    began = time.process_time()
    pooled_without_each(parts * 8, [1.0] * 512)
    assert time.process_time() - began < 24 * max(few, 1e-3)  # each by itself: 64 times
    assert decomposed == [6] * 513


def test_many_dimensions_keep_the_leading_axes_and_spread_the_rest() -> None:
    random = np.random.default_rng(3)
    X = random.normal(size=(400, 500)) * np.r_[np.full(10, 20.0), np.ones(490)]
    found = moments_of(X)
    assert found.axes.shape == (256, 500)
    assert found.rest > 0
    assert found.trace == pytest.approx(1)
    wanted = np.cov(X.T) / np.trace(np.cov(X.T))
    top = found.directions[:10]
    np.testing.assert_allclose(np.diag(top @ wanted @ top.T), found.variances[:10], rtol=1e-8)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((1, 4)), "1 clip has no covariance"),
        (np.ones((9, 4)), "do not differ at all"),
        (np.full((9, 4), 0.1) * 3, "is the microphone on"),
    ],
)
def test_what_has_no_covariance_is_said(vectors: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        moments_of(vectors)


def test_pools_that_cannot_be_are_refused() -> None:
    one = moments_of(np.random.default_rng(0).normal(size=(5, 4)))
    other = moments_of(np.random.default_rng(0).normal(size=(5, 3)))
    with pytest.raises(DataError, match=r"different dimensions .* \[3, 4\]"):
        pooled([one, other])
    with pytest.raises(DataError, match="different dimensions"):
        pooled_without_each([one, other], [1.0, 1.0])
    with pytest.raises(DataError, match="no machine's statistics"):
        pooled([])
    with pytest.raises(DataError, match="weights"):
        pooled([one], weights=[0.0])
