"""The nearest of many vectors: exact, whichever way they were found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from thrum.detectors import distances
from thrum.detectors.distances import nearest

MANY = distances.FEW + 50


def vectors(count: int = MANY, size: int = 24, *, offset: float = 0.0, seed: int = 0) -> np.ndarray:
    return offset + np.random.default_rng(seed).normal(size=(count, size)) * np.geomspace(
        1, 0.01, size
    )


@pytest.mark.parametrize("count", [5, distances.FEW, MANY])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_they_are_those_of_all_pairs(count: int, offset: float) -> None:
    X, Y = vectors(40, offset=offset, seed=1), vectors(count, offset=offset)
    found, places = nearest(X, Y, 4)
    every = cdist(X, Y)
    np.testing.assert_allclose(found, np.sort(every, axis=1)[:, :4], rtol=1e-12)
    np.testing.assert_array_equal(
        np.take_along_axis(every, places, axis=1).round(9), found.round(9)
    )


def test_vectors_of_one_group_are_no_neighbours() -> None:
    Y = vectors()
    groups = np.arange(MANY) // 7
    found, places = nearest(Y, Y, 3, groups=(groups, groups))
    assert (groups[places] != groups[:, None]).all()
    every = np.where(groups[:, None] == groups, np.inf, cdist(Y, Y))
    np.testing.assert_allclose(found, np.sort(every, axis=1)[:, :3], rtol=1e-12)


def test_without_another_group_there_is_no_neighbour() -> None:
    alike = np.zeros(MANY, int)
    found, _ = nearest(vectors(), vectors(), 2, groups=(alike, alike))
    assert np.isinf(found).all()


def test_more_copies_than_candidates_are_all_at_no_distance() -> None:
    Y = vectors(offset=1e3)
    Y[100:130] = Y[100]
    found, places = nearest(Y[100:101] + 0, Y, 20)
    assert (found == 0).all()
    assert set(places[0]) <= set(range(100, 130))


def test_what_rounding_cannot_tell_apart_is_measured_pair_by_pair() -> None:
    """Two heaps so far apart that a product of matrices says nothing of the order within one."""
    random = np.random.default_rng(2)
    far = 1e7 * np.where(np.arange(MANY) % 2, 1.0, -1.0)[:, None] * random.normal(size=24)
    Y = far + random.normal(size=(MANY, 24))
    X = far[:20] + random.normal(size=(20, 24))
    found, places = nearest(X, Y, 3)
    every = cdist(X, Y)
    np.testing.assert_array_equal(places, np.argsort(every, axis=1)[:, :3])
    np.testing.assert_allclose(found, np.sort(every, axis=1)[:, :3], rtol=1e-12)


@pytest.mark.parametrize("count", [distances.FEW, MANY])
def test_what_is_beside_a_vector_changes_no_digit(count: int) -> None:
    X, Y = vectors(300, seed=1), vectors(count)
    together, _ = nearest(X, Y, 3)
    for row in range(0, 300, 37):
        np.testing.assert_array_equal(nearest(X[row : row + 1], Y, 3)[0][0], together[row])


def test_in_blocks_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = vectors(90, seed=1), vectors()
    groups = np.arange(90) % 4, np.arange(MANY) % 4
    whole = nearest(X, Y, 3, groups=groups)
    monkeypatch.setattr(distances, "NUMBERS_AT_ONCE", 8 * MANY)
    for one, other in zip(whole, nearest(X, Y, 3, groups=groups), strict=True):
        np.testing.assert_array_equal(one, other)
