from __future__ import annotations

import numpy as np
import pytest

from thrum.detectors.local_density import LocalDensity


def test_by_hand() -> None:
    """Normal at 0, 1, 3, 7 with two own neighbours: mean distances 2, 1.5, 2.5, 5."""
    normal = np.array([[0.0], [1.0], [3.0], [7.0]])
    detector = LocalDensity(neighbours=2, own_neighbours=2).fit(normal)
    np.testing.assert_allclose(detector.spreads_, [2, 1.5, 2.5, 5])
    np.testing.assert_allclose(detector.anomaly_score(np.array([[2.0]])), [(1 / 1.5 + 1 / 2.5) / 2])


def test_states_of_different_spread_are_judged_by_their_own() -> None:
    random = np.random.default_rng(0)
    tight, wide = random.normal(size=(50, 4)), 1000 + 30 * random.normal(size=(50, 4))
    detector = LocalDensity().fit(np.concatenate([tight, wide]))
    odd, usual = detector.anomaly_score(np.stack([tight[0] + 15, wide[0] + 15]))
    assert odd > 3 > usual


@pytest.mark.parametrize("count", [3, 4, 12])
def test_left_out_is_a_fit_without_it(count: int) -> None:
    X = np.random.default_rng(1).normal(size=(count, 3))
    left_out = LocalDensity().fit(X).left_out_score(np.arange(count))
    for number in range(count):
        without = np.delete(X, number, axis=0)
        if len(without) < 3:  # where a fit of its own has too few for neighbourhoods
            spread = np.linalg.norm(without[0] - without[1])
            wanted = np.linalg.norm(X[number] - without, axis=1).mean() / spread
        else:
            wanted = LocalDensity().fit(without).anomaly_score(X[[number]])[0]
        assert left_out[number] == pytest.approx(wanted)


def test_groups_leave_together() -> None:
    X = np.random.default_rng(2).normal(size=(12, 3))
    groups = np.repeat(np.arange(4), 3)
    found = LocalDensity().fit(X).left_out_score(groups)
    wanted = LocalDensity().fit(X[3:]).anomaly_score(X[:3])
    np.testing.assert_allclose(found[:3], wanted)


def test_copies_of_one_recording_give_finite_scores() -> None:
    X = np.ones((6, 3))
    detector = LocalDensity().fit(X)
    assert np.isfinite(detector.anomaly_score(np.array([[1.0, 1, 1], [5, 5, 5]]))).all()
    assert (detector.left_out_score(np.arange(6)) == 0).all()


@pytest.mark.parametrize(("count", "neighbours"), [(20, 2), (149, 2), (150, 3), (240, 4), (400, 5)])
def test_many_vectors_are_compared_with_more(count: int, neighbours: int) -> None:
    """Left-out scores too, though they come from one vector fewer: 149 of 150 must not mean two."""
    X = np.random.default_rng(3).normal(size=(count, 3))
    usual, told = LocalDensity().fit(X), LocalDensity(neighbours=neighbours).fit(X)
    new = np.random.default_rng(4).normal(size=(9, 3))
    np.testing.assert_array_equal(usual.anomaly_score(new), told.anomaly_score(new))
    other = LocalDensity(neighbours=neighbours % 2 + 1).fit(X)
    assert (usual.anomaly_score(new) != other.anomaly_score(new)).any()
    everyone = np.arange(count)
    np.testing.assert_array_equal(usual.left_out_score(everyone), told.left_out_score(everyone))


def test_many_vectors_are_scored_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """By candidates from a product of matrices, in blocks."""
    random = np.random.default_rng(4)
    normal, new = random.normal(size=(250, 8)), random.normal(size=(20, 8))
    detector = LocalDensity().fit(normal)
    wanted = detector.anomaly_score(new), detector.left_out_score(np.arange(250))
    monkeypatch.setattr("thrum.detectors.distances.FEW", 0)
    monkeypatch.setattr("thrum.detectors.distances.NUMBERS_AT_ONCE", 3000)
    detector = LocalDensity().fit(normal)
    found = detector.anomaly_score(new), detector.left_out_score(np.arange(250))
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)


def test_a_score_depends_on_no_vector_beside_it() -> None:
    random = np.random.default_rng(5)
    normal, new = random.normal(size=(60, 128)), random.normal(size=(30, 128))
    detector = LocalDensity().fit(normal)
    one_by_one = [detector.anomaly_score(row[None])[0] for row in new]
    np.testing.assert_array_equal(detector.anomaly_score(new), one_by_one)
