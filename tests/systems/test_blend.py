from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from thrum.errors import DataError
from thrum.systems.embedding_sharing import blend as blends
from thrum.systems.embedding_sharing.blend import FLOORS, SHARES, Blend
from thrum.systems.embedding_sharing.moments import Moments, moments_of, pooled

DIMENSIONS = 16
SPREAD = np.geomspace(30, 0.3, DIMENSIONS)


def matrix(moments: Moments) -> NDArray[np.float64]:
    """The covariance that moments of full rank, or without a rest, stand for."""
    return np.asarray(moments.axes.T @ moments.axes)


def clips(seed: int, count: int, spread: NDArray[np.float64] = SPREAD) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) * spread


def pool() -> Moments:
    return pooled([moments_of(clips(seed, 40)) for seed in (11, 12, 13)])


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
@pytest.mark.parametrize("floor", [0.01, np.inf])
def test_the_map_whitens_the_blended_covariance(share: float, floor: float) -> None:
    """M C M^T is the identity for C = (1 - a) C_own + a s (C_pool + λ I / D), by dense algebra."""
    own = clips(1, 9)
    target = np.eye(DIMENSIONS)
    if np.isfinite(floor):
        target = matrix(pool()) + floor / DIMENSIONS * np.eye(DIMENSIONS)
    covariance = np.cov(own.T)
    scale = np.trace(np.linalg.solve(target, covariance)) / DIMENSIONS
    wanted = (1 - share) * covariance + share * scale * target
    mapped = Blend(pool()).fixed(own, share=share, floor=floor)(np.eye(DIMENSIONS))
    np.testing.assert_allclose(mapped.T @ wanted @ mapped, np.eye(DIMENSIONS), atol=1e-6)


def test_the_likelihood_is_the_gaussians_of_clips_left_out() -> None:
    """Against scipy's density with the dense covariance and the best overall scale."""
    own, share, floor = clips(2, 10), 0.75, 0.03
    target = matrix(pool()) + floor / DIMENSIONS * np.eye(DIMENSIONS)
    fold = np.arange(10) % 5

    def log_likelihood(scale: float) -> float:
        total = 0.0
        for number in range(5):
            seen, left_out = own[fold != number], own[fold == number]
            covariance = np.cov(seen.T)
            s = np.trace(np.linalg.solve(target, covariance)) / DIMENSIONS
            blended = (1 - share) * covariance + share * s * target
            blended = scale * (1 + 1 / len(seen)) * blended
            total += stats.multivariate_normal(seen.mean(axis=0), blended).logpdf(left_out).sum()
        return float(total)

    best = max(log_likelihood(scale) for scale in np.geomspace(0.2, 5, 2001))
    stage, log_determinant = blends._target(pool(), floor, DIMENSIONS)
    found = blends._log_likelihood(blends._folds(stage(own)), share, log_determinant, own.shape)
    constant = -0.5 * own.size * (np.log(2 * np.pi) + 1)
    assert found + constant == pytest.approx(best, abs=1e-3)


def test_few_clips_take_the_pool_and_many_their_own() -> None:
    shares = [Blend(pool()).fit(clips(3, count)).share_ for count in (2, 6, 30, 400)]
    assert shares[0] == 0.9
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5


def test_the_choice_is_the_likeliest_and_not_fixed() -> None:
    """Fixed (a, λ) would give one answer for machines that ask for different ones."""
    alike, strange = Blend(pool()).fit(clips(4, 12)), Blend(pool()).fit(clips(4, 12, SPREAD[::-1]))
    assert alike.floor_ in FLOORS
    assert alike.share_ in SHARES
    assert alike.gain_ > 0.3
    assert strange.gain_ < 0.1
    assert (alike.share_, alike.floor_) != (strange.share_, strange.floor_)


def test_of_all_blends_the_likeliest_is_chosen() -> None:
    """Machines that are louder where the pool is quiet ask for a higher floor."""
    chosen = []
    for added in (0.0, 1.0, 4.0):
        own = clips(8, 20, SPREAD + added)
        grid = {}
        for floor in FLOORS:
            stage, log_determinant = blends._target(pool(), floor, DIMENSIONS)
            folds = blends._folds(stage(own))
            for share in SHARES:
                found = blends._log_likelihood(folds, share, log_determinant, own.shape)
                grid[share, floor] = found
        blend = Blend(pool()).fit(own)
        chosen.append((blend.share_, blend.floor_))
        assert chosen[-1] == max(grid, key=lambda one: grid[one])
    floors = [floor for _, floor in chosen]
    assert floors == sorted(floors)
    assert floors[0] < floors[-1]


def test_a_pool_that_explains_nothing_is_not_used() -> None:
    random = np.random.default_rng(0)
    noise = moments_of(random.normal(size=(4, DIMENSIONS)))
    found = Blend(noise).fit(clips(5, 40, np.geomspace(1, 30, DIMENSIONS)))
    alone = Blend().fit(clips(5, 40, np.geomspace(1, 30, DIMENSIONS)))
    if found.gain_ <= 0:
        assert found.floor_ == np.inf
        assert found.share_ == alone.share_
    assert found.gain_ < 0.05


def test_one_clip_is_whitened_by_the_pool() -> None:
    found = Blend(pool()).fit(clips(6, 1))
    assert found.share_ == 1.0
    assert np.isfinite(found(clips(7, 3))).all()


def test_more_dimensions_than_axes_give_what_the_dense_form_gives() -> None:
    random = np.random.default_rng(8)
    wide = moments_of(random.normal(size=(5, 40)))
    own = random.normal(size=(6, 40))
    target = wide.axes.T @ wide.axes + 0.1 / 40 * np.eye(40)
    covariance = np.cov(own.T)
    scale = np.trace(np.linalg.solve(target, covariance)) / 40
    wanted = 0.5 * covariance + 0.5 * scale * target
    mapped = Blend(wide).fixed(own, share=0.5, floor=0.1)(np.eye(40))
    np.testing.assert_allclose(mapped.T @ wanted @ mapped, np.eye(40), atol=1e-6)


def test_another_embedder_is_refused() -> None:
    with pytest.raises(DataError, match="16 dimensions, the pool 4"):
        Blend(moments_of(np.random.default_rng(0).normal(size=(5, 4)))).fit(clips(0, 5))
