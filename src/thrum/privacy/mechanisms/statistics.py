"""What may be done to statistics before they leave: ``least:8 | gaussian:2,1e-5,clip | secure``."""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ConfigError
from thrum.privacy.mechanisms.chain import parse_chain
from thrum.privacy.mechanisms.gate import LEAST_CLIPS
from thrum.privacy.mechanisms.noise import mu_of, normals
from thrum.privacy.mechanisms.steps import Gaussian, budget_of, whole

MOST_SECURE_DIMENSIONS = 2048
"""Of a matrix that is masked value by value; 2048 weigh 17 MB."""


@dataclass(frozen=True)
class StatisticsChain:
    """How statistics leave.

    Parameters
    ----------
    text
        As a person wrote it.
    least
        Clips that a machine must have; `LEAST_CLIPS` or more.
    noise
        Its ε and δ, for each clip; None adds none.
    secure
        The server learns the sum over all sites alone.
    """

    text: str
    least: int = LEAST_CLIPS
    noise: Gaussian | None = None
    secure: bool = False

    @property
    def told(self) -> str:
        """The chain as all may know it, equal at all sites."""
        steps = [f"least:{self.least}", *([self.noise.told] if self.noise else [])]
        return " | ".join([*steps, *(["secure"] if self.secure else [])])

    @property
    def mu(self) -> float:
        """What releasing a machine's statistics once costs each of its clips; 0 without noise."""
        return self.noise.mu if self.noise is not None else 0.0


@lru_cache(maxsize=64)
def parse_statistics_chain(text: str) -> StatisticsChain:
    """Return the chain that is written so.

    Raises
    ------
    ConfigError
        Where it names what there is not, or the same twice.
    """
    least, noise, secure = LEAST_CLIPS, None, False
    seen: set[str] = set()
    for part in (part.strip() for part in text.split("|")):
        name, _, rest = part.partition(":")
        if name in seen:
            raise ConfigError(f"{text!r} says {name!r} twice")
        seen.add(name)
        if name == "least":
            least = whole(part, rest, LEAST_CLIPS, 100_000)
        elif name == "gaussian":
            noise = Gaussian(*budget_of(part, rest, ("clip",)))  # type: ignore[arg-type]
        elif part == "secure":
            secure = True
        else:
            raise ConfigError(
                f"no mechanism for statistics is called {name!r}; there are: least:N, "
                f"gaussian:EPSILON,DELTA,clip, secure"
            )
    return StatisticsChain(text, least, noise, secure)


def told_release(text: str, sharing: Literal["statistics", "embeddings"]) -> str:
    """Return a chain as all may know it, of what is shared."""
    return parse_chain(text).told if sharing == "embeddings" else parse_statistics_chain(text).told


def noisy_second_moment(
    vectors: NDArray[Any], noise: Gaussian, *, key: bytes
) -> NDArray[np.float64]:
    r"""Return how clips' mean embeddings (N, D) vary, (D, D) of trace one, each clip (ε, δ)-private.

    Clips are paired by the key, and the difference of each pair is brought to length one: nothing is left of
    where a machine's clips lie or how much they vary, and a clip is in one pair. The mean of the
    :math:`M = \lfloor N/2 \rfloor` products then changes by :math:`\sqrt{2} / M` at most (Frobenius) when one
    clip is another; noise is symmetric, its density that of the Frobenius norm (after Dwork, Talwar,
    Thakurta and Zhang, 2014, who have rows where we have differences). What noise makes negative is cut off,
    which costs nothing.

    Raises
    ------
    ConfigError
        Where there are fewer than four clips.
    """
    count, dimensions = vectors.shape
    if count < 4:
        raise ConfigError(f"noise on statistics of {count} clips would be all there is; wanted 4")
    content = hashlib.sha256(np.ascontiguousarray(vectors, np.float64).tobytes()).digest()
    own = hmac.digest(key, b"statistics" + noise.told.encode() + content, "sha256")
    order = np.argsort(normals(key + f"pairs {count}".encode(), count), kind="stable")
    pairs = count // 2
    rows = np.asarray(vectors, np.float64)
    apart = rows[order[:pairs]] - rows[order[pairs : 2 * pairs]]
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    # Two clips that are the same differ in no direction; any of length one keeps the promise.
    apart = np.where(lengths > 0, apart, np.eye(1, dimensions)) / np.where(lengths > 0, lengths, 1)
    drawn = normals(own, dimensions * dimensions).reshape(dimensions, dimensions)
    symmetric = (drawn + drawn.T) / 2  # deviation 1 on the diagonal, 1/√2 beside it
    deviation = math.sqrt(2) / pairs / mu_of(noise.epsilon, noise.delta)
    noisy = apart.T @ apart / pairs + deviation * symmetric
    variances, axes = np.linalg.eigh(noisy)
    variances = np.maximum(variances, 0.0)
    return np.asarray((axes * (variances / variances.sum())) @ axes.T)
