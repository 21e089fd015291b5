r"""How much Gaussian noise makes a release differentially private, and what several releases cost together.

With :math:`\mu` the sensitivity over the deviation of the noise, a release is
:math:`(\varepsilon, \delta)`-private exactly where

.. math:: \Phi(\mu/2 - \varepsilon/\mu) - e^{\varepsilon} \Phi(-\mu/2 - \varepsilon/\mu) \le \delta

(Balle and Wang, 2018, theorem 8). Releases with :math:`\mu_1, \mu_2, \ldots` are together as private as one
with :math:`\sqrt{\mu_1^2 + \mu_2^2 + \ldots}` (Dong, Roth and Su, 2022, corollary 2): nothing is lost.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from thrum.errors import ConfigError

SMALLEST_MU, LARGEST_MU = 1e-9, 1e4
LARGEST_EPSILON = 1e6
_UNIFORM_BITS = 53


def delta_of(mu: float, epsilon: float) -> float:
    """Return the least δ that a release of `mu` has at `epsilon`."""
    far = math.exp(min(epsilon + float(log_ndtr(-mu / 2 - epsilon / mu)), 0.0))
    return max(float(ndtr(mu / 2 - epsilon / mu)) - far, 0.0)


def mu_of(epsilon: float, delta: float) -> float:
    """Return the largest μ, hence the least noise, that is private at (ε, δ).

    Raises
    ------
    ConfigError
        Where ε is not positive, or δ not between 0 and 1.
    """
    from scipy.optimize import brentq

    check_budget(epsilon, delta)
    found: float = brentq(
        lambda log_mu: delta_of(math.exp(log_mu), epsilon) - delta,
        math.log(SMALLEST_MU),
        math.log(LARGEST_MU),
        xtol=1e-12,
    )
    return math.exp(found)


def epsilon_of(mu: float, delta: float) -> float:
    """Return the least ε at which releases of `mu` together are private with `delta`."""
    from scipy.optimize import brentq

    if mu <= 0:
        return 0.0
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    highest = 1.0
    while delta_of(mu, highest) > delta:
        highest *= 2
    found: float = brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, highest, xtol=1e-10)
    return found


def check_budget(epsilon: float, delta: float) -> None:
    """Raise a `ConfigError` where (ε, δ) promises nothing, or cannot be kept."""
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ConfigError(
            f"epsilon is {epsilon:g}, wanted more than 0: at 0 nothing may leave at all; 1 to 10 is usual"
        )
    if epsilon > LARGEST_EPSILON:
        raise ConfigError(
            f"epsilon is {epsilon:g}, wanted {LARGEST_EPSILON:g} at most: so little noise hides nothing; "
            f"leave it out"
        )
    if not 0 < delta < 1:
        raise ConfigError(
            f"delta is {delta:g}, wanted more than 0 and less than 1; below one over the number of clips, "
            f"1e-5 for instance"
        )


def normals(key: bytes, count: int) -> NDArray[np.float64]:
    """Return standard normal numbers (count,) that nobody can guess without `key`.

    The same key gives the same numbers with every version of every library: what one site rotates by, the
    others do, and a clip that is sent twice has the same noise twice, so that it cannot be averaged away.
    """
    stream = hashlib.shake_256(key).digest(8 * count)
    bits = np.frombuffer(stream, "<u8") >> np.uint64(64 - _UNIFORM_BITS)
    return np.asarray(ndtri((bits.astype(np.float64) + 0.5) / 2.0**_UNIFORM_BITS))
