from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from thrum.errors import DataError
from thrum.systems.embedding_sharing.moments import moments_of, pooled
from thrum.systems.embedding_sharing.trust import FLOOR, gain, off_scale, pools_without, says

DIMENSIONS = 20
SPREAD = np.geomspace(10, 0.2, DIMENSIONS)
KEYS = [("fan", f"id_{number:02d}") for number in range(5)]
Clips = NDArray[np.float64]


def site(number: int, count: int = 40) -> Clips:
    random = np.random.default_rng(number)
    spread = SPREAD * random.uniform(0.5, 2, DIMENSIONS)  # no two machines are the same
    return 5 + random.normal(size=(count, DIMENSIONS)) * spread


def round_with(odd: Clips) -> dict[tuple[str, str], Any]:
    return {key: moments_of(odd if n == 0 else site(n)) for n, key in enumerate(KEYS)}


def test_the_gain_is_the_difference_of_two_gaussian_likelihoods() -> None:
    own, pool = moments_of(site(1)), pooled([moments_of(site(2)), moments_of(site(3))])
    covariance = own.axes.T @ own.axes
    target = pool.axes.T @ pool.axes + FLOOR / DIMENSIONS * np.eye(DIMENSIONS)

    def expected(c: NDArray[np.float64]) -> float:
        """The mean log-density of N(0, own) under N(0, s c), s the best scale."""
        s = np.trace(np.linalg.solve(c, covariance)) / DIMENSIONS
        entropy = stats.multivariate_normal(cov=s * c).logpdf(np.zeros(DIMENSIONS))
        return float(entropy - DIMENSIONS / 2)

    wanted = (expected(target) - expected(np.eye(DIMENSIONS))) / DIMENSIONS
    assert gain(own, pool) == pytest.approx(wanted, rel=1e-9)


def test_machines_of_one_kind_count_in_full() -> None:
    assert {say.weight for say in says(round_with(site(0))).values()} == {1.0}


@pytest.mark.parametrize("kind", ["noise", "huge noise", "almost constant"])
def test_what_varies_like_noise_is_left_out_and_the_others_stay(kind: str) -> None:
    random = np.random.default_rng(9)
    odd = {
        "noise": random.normal(size=(40, DIMENSIONS)),
        "huge noise": random.uniform(-6e4, 6e4, size=(40, DIMENSIONS)),
        "almost constant": 5 + 1e-3 * random.normal(size=(40, DIMENSIONS)),
    }[kind]
    found = says(round_with(odd))
    assert found[KEYS[0]].weight == 0
    assert "like noise" in found[KEYS[0]].reason
    assert all(found[key].weight == 1 and not found[key].reason for key in KEYS[1:])


def test_a_copy_counts_once_with_its_original_and_both_are_named() -> None:
    found = says(round_with(site(3)))
    assert found[KEYS[0]].weight == found[KEYS[3]].weight == 0.5
    assert "those of fan/id_03" in found[KEYS[0]].reason
    assert found[KEYS[1]].weight == 1


def test_a_recorder_that_is_a_thousand_times_too_loud_changes_nothing() -> None:
    quiet, loud = round_with(site(0)), round_with(1000 * site(0))
    for key in KEYS:
        weights = dict.fromkeys(KEYS, 1.0)
        one, other = (pools_without(each, weights)[key] for each in (quiet, loud))
        np.testing.assert_allclose(one.axes, other.axes, atol=1e-9)


def test_a_constant_vector_has_no_statistics() -> None:
    with pytest.raises(DataError, match="do not differ"):
        round_with(np.full((40, DIMENSIONS), 3.25))


def test_of_two_none_is_odd() -> None:
    noise = moments_of(np.random.default_rng(0).normal(size=(40, DIMENSIONS)))
    found = says({KEYS[0]: noise, KEYS[1]: moments_of(site(1))})
    assert [say.weight for say in found.values()] == [1.0, 1.0]


def test_a_pool_never_holds_the_machine_that_it_is_for() -> None:
    moments = round_with(site(0))
    weights = dict.fromkeys(KEYS, 1.0)
    before = pools_without(moments, weights)
    changed = pools_without({**moments, KEYS[2]: moments_of(site(77))}, weights)
    for key in KEYS:
        assert np.array_equal(before[key].axes, changed[key].axes) == (key == KEYS[2])


def test_embeddings_of_another_scale_are_found() -> None:
    means = {key: site(number) for number, key in enumerate(KEYS)}
    assert off_scale(means) == {}
    found = off_scale({**means, KEYS[1]: 1000 * site(1)})
    assert list(found) == [KEYS[1]]
    assert found[KEYS[1]] == pytest.approx(1000, rel=0.5)
