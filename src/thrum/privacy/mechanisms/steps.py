"""What can be done to a clip's embeddings before they leave: maps from frames (T, D) to frames (T', D)."""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ConfigError
from thrum.privacy.mechanisms.noise import check_budget, mu_of, normals
from thrum.privacy.mechanisms.secret import fingerprint, is_fingerprint, read_secret, rotation

Vectors = NDArray[np.float64]
Unit = Literal["clip", "frame"]
MOST_BITS = 10


class Step(Protocol):
    """One link of a chain."""

    @property
    def told(self) -> str:
        """What the server, the ledger and other sites are told; no secret."""

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Map frames (T, D); `key` is the site's own, for noise that nobody else can compute."""


@dataclass(frozen=True)
class Frames:
    """All frames, as they are."""

    told: str = "frames"

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return the frames."""
        return frames


@dataclass(frozen=True)
class ClipMean:
    """One vector a clip: how the sound goes on in time does not leave."""

    told: str = "clip_mean"

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return the mean over time (1, D)."""
        return np.asarray(frames.mean(axis=0, keepdims=True))


@dataclass(frozen=True)
class Every:
    """Every n-th frame."""

    n: int

    @property
    def told(self) -> str:
        """As it is written."""
        return f"every:{self.n}"

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return the frames 0, n, 2n and so on."""
        return frames[:: self.n]


@dataclass(frozen=True)
class Rotate:
    """A rotation that the sites know and the server does not: the paper's hidden f_c (section IV-C)."""

    path: Path
    secret: bytes = field(repr=False)

    @property
    def told(self) -> str:
        """The secret's fingerprint."""
        return f"rotate:{fingerprint(self.secret) if self.secret else self.path}"

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return the rotated frames."""
        if not self.secret:
            raise ConfigError(
                f"{self.told} is a secret's fingerprint, and the secret is missing: say rotate:FILE"
            )
        return np.asarray(frames @ rotation(self.secret, frames.shape[1]))


@dataclass(frozen=True)
class Quantise:
    """So many bits a value, between the least and the largest value of each vector."""

    bits: int

    @property
    def told(self) -> str:
        """As it is written."""
        return f"quantise:{self.bits}"

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return each vector's values on 2^bits levels."""
        low, high = frames.min(axis=1, keepdims=True), frames.max(axis=1, keepdims=True)
        step = np.maximum(high - low, np.finfo(float).tiny) / (2**self.bits - 1)
        return np.asarray(low + np.round((frames - low) / step) * step)


@dataclass(frozen=True)
class Gaussian:
    r"""Noise that makes each clip, or each frame, (ε, δ)-private among all clips there could be.

    Vectors are first brought to length :math:`\sqrt{D}`. Two vectors are then at most :math:`2\sqrt{D}`
    apart, two clips of T vectors :math:`2\sqrt{T D}`. The noise is decided by the site's key and the clip: a
    clip that is sent again has the same noise, and costs nothing again.
    """

    epsilon: float
    delta: float
    unit: Unit

    @property
    def told(self) -> str:
        """As it is written."""
        return f"gaussian:{self.epsilon:g},{self.delta:g},{self.unit}"

    @property
    def mu(self) -> float:
        """The sensitivity over the noise."""
        return mu_of(self.epsilon, self.delta)

    def __call__(self, frames: Vectors, key: bytes) -> Vectors:
        """Return the frames with noise."""
        if not key:
            raise ConfigError(
                "noise needs the site's own key: a chain with 'gaussian' is used at a site"
            )
        count, dimensions = frames.shape
        lengths = np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), np.finfo(float).tiny)
        scaled = frames * (math.sqrt(dimensions) / lengths)
        apart = 2 * math.sqrt(dimensions * (count if self.unit == "clip" else 1))
        content = hashlib.sha256(np.ascontiguousarray(frames).tobytes()).digest()
        drawn = normals(hmac.digest(key, self.told.encode() + content, "sha256"), frames.size)
        return np.asarray(scaled + apart / self.mu * drawn.reshape(frames.shape))


def step_of(text: str) -> Step:
    """Return the step that is written so.

    Raises
    ------
    ConfigError
        Where no step is, or what follows it makes no sense.
    """
    name, _, rest = text.strip().partition(":")
    if name in ("frames", "clip_mean"):
        if rest:
            raise ConfigError(f"{name!r} takes nothing after it, got {text!r}")
        return Frames() if name == "frames" else ClipMean()
    if name == "every":
        return Every(whole(text, rest, 1, 10_000))
    if name == "quantise":
        return Quantise(whole(text, rest, 1, MOST_BITS))
    if name == "rotate":
        if not rest:
            raise ConfigError("'rotate' wants the file of the secret: rotate:FILE")
        known = is_fingerprint(rest) and not Path(rest).exists()
        return Rotate(Path(rest), b"" if known else read_secret(Path(rest)))
    if name == "gaussian":
        return Gaussian(*budget_of(text, rest, ("clip", "frame")))  # type: ignore[arg-type]
    raise ConfigError(
        f"no mechanism is called {name!r}; there are: frames, clip_mean, every:N, rotate:FILE, "
        f"quantise:BITS, gaussian:EPSILON,DELTA,clip|frame"
    )


def budget_of(text: str, rest: str, units: tuple[str, ...]) -> tuple[float, float, str]:
    """Return ε, δ and the unit of ``gaussian:ε,δ,unit``."""
    try:
        epsilon, delta, unit = rest.split(",")
        found = float(epsilon), float(delta), unit.strip()
    except ValueError:
        raise ConfigError(
            f"{text!r} is not understood, wanted gaussian:EPSILON,DELTA,UNIT, for instance "
            f"gaussian:10,1e-5,{units[0]}"
        ) from None
    check_budget(found[0], found[1])
    if found[2] not in units:
        raise ConfigError(f"{text!r}: the unit is {found[2]!r}, wanted {' or '.join(units)}")
    return found


def whole(text: str, rest: str, low: int, high: int) -> int:
    """Return the whole number after a name, or raise a `ConfigError` that says which are wanted."""
    if not rest.isascii() or not rest.isdigit() or not low <= int(rest) <= high:
        name = text.partition(":")[0].strip()
        raise ConfigError(f"{text!r}: wanted {name}:N with a whole number from {low} to {high}")
    return int(rest)
