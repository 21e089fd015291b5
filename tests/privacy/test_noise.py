"""The noise against dp-accounting, and the numbers it is made of."""

import hashlib

import dp_accounting
import numpy as np
import pytest
from scipy import stats

from thrum.errors import ConfigError
from thrum.privacy.mechanisms.noise import delta_of, epsilon_of, mu_of, normals


@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 100.0])
def test_the_deviation_is_that_of_dp_accounting(epsilon: float, delta: float) -> None:
    wanted = dp_accounting.get_sigma_gaussian(epsilon, delta)

    assert 1 / mu_of(epsilon, delta) == pytest.approx(wanted, rel=1e-3)
    assert epsilon_of(mu_of(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6)
    assert delta_of(mu_of(epsilon, delta), epsilon) == pytest.approx(delta, rel=1e-6)


def test_two_releases_cost_what_dp_accounting_says_they_cost() -> None:
    """Gaussians compose: deviations 1 and 2 together are one of 2 / sqrt(5)."""
    together = np.hypot(1.0, 0.5)

    wanted = dp_accounting.get_epsilon_gaussian(1 / together, 1e-5)
    assert epsilon_of(together, 1e-5) == pytest.approx(wanted, rel=1e-3)


def test_so_little_noise_that_it_hides_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="hides nothing"):
        mu_of(1e9, 1e-5)
    assert mu_of(1e6, 1e-300) > 0


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-5), (-1.0, 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_what_promises_nothing_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(ConfigError, match="wanted more than 0"):
        mu_of(epsilon, delta)


def test_numbers_are_normal_and_decided_by_the_key() -> None:
    drawn = normals(b"key", 20_000)

    assert stats.kstest(drawn, "norm").pvalue > 0.01
    np.testing.assert_array_equal(drawn[:100], normals(b"key", 100))
    assert abs(np.corrcoef(drawn, normals(b"yek", 20_000))[0, 1]) < 0.03
    first = int.from_bytes(hashlib.shake_256(b"key").digest(8), "little") >> 11
    assert drawn[0] == pytest.approx(stats.norm.ppf((first + 0.5) / 2**53), rel=1e-12)
