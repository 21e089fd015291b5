"""A site's own covariance and that of the others, joined as far as its own clips bear it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError
from thrum.systems.embedding_sharing.moments import Moments

Vectors = NDArray[np.floating[Any]]

FLOORS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SHARES = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02)
SHARES_ALONE = (1.0, 0.97, *SHARES)
"""Without a pool, own clips may be too few to say anything; with one, they always have a tenth."""
FOLDS = 5
FLOOR_OF_ONE = 0.03
"""With a single own clip nothing can be measured; the middle of `FLOORS`."""


@dataclass(frozen=True, eq=False)
class Stage:
    r"""The map :math:`x \mapsto b x + V (g - b) V^\top x`.

    Parameters
    ----------
    axes
        V^T (R, D), orthonormal rows.
    gains
        g (R,): what is multiplied along each axis.
    rest
        b: what is multiplied elsewhere.
    """

    axes: NDArray[np.float64]
    gains: NDArray[np.float64]
    rest: float

    def __call__(self, X: Vectors) -> NDArray[np.float64]:
        """Map vectors (B, D)."""
        X = np.asarray(X, np.float64)
        return np.asarray(X * self.rest + (X @ self.axes.T * (self.gains - self.rest)) @ self.axes)


@dataclass(frozen=True)
class _Fold:
    """One fold's clips seen and left out, whitened by the target: what the likelihood needs."""

    seen: int
    variances: NDArray[np.float64]  # (R,) of the clips seen, along their own axes
    along: NDArray[np.float64]  # (B, R) squared deviations of the clips left out, along these
    across: NDArray[np.float64]  # (B,) the same, elsewhere
    scale: float  # the mean variance of the clips seen, over all directions


class Blend:
    r"""Whitens clips by :math:`(1 - a)\,C_{own} + a\,s\,(C_{pool} + \lambda I / D)`.

    `s` brings the pool to the own clips' scale, measured where the pool is white, so that each direction
    counts alike. :math:`(a, \lambda)` are those of `SHARES` and `FLOORS` under which own clips that are
    left out, in five folds, are likeliest under a Gaussian whose overall scale is free: no anomaly, no
    label, nothing of others' clips. Few own clips choose a large a, nearly the pool alone; many
    choose their own.
    Where the pool describes this machine's clips worse than :math:`\lambda \to \infty`, which is no pool at
    all and one of the candidates, it is not used. Ours; see docs/statistics.md.

    Parameters
    ----------
    pool
        The covariance of the *other* machines; None is a site alone.
    """

    def __init__(self, pool: Moments | None = None) -> None:
        self.pool = pool

    def fit(self, own: Vectors) -> Self:
        """Choose (a, λ) by own mean embeddings (N, D) and measure the map.

        After it, `share_` is a, `floor_` is λ (infinity where the pool is not used), and `gain_` is how
        much likelier, in nats a clip and dimension, the best blend with the pool makes own clips than the
        best without.
        """
        own = _float64(own)
        if self.pool is not None and self.pool.dimensions != own.shape[1]:
            raise DataError(
                f"own embeddings have {own.shape[1]} dimensions, the pool {self.pool.dimensions}: "
                f"all sites must use one embedder"
            )
        self.gain_ = 0.0
        self.floor_, self.share_, alone = np.inf, *_chosen(own, None, np.inf)
        if self.pool is not None:
            if len(own) == 1:
                self.floor_ = FLOOR_OF_ONE
            else:
                found = [(*_chosen(own, self.pool, floor), floor) for floor in FLOORS]
                share, likelihood, floor = max(found, key=lambda one: one[1])
                self.gain_ = (likelihood - alone) / own.size
                if self.gain_ > 0:
                    self.floor_, self.share_ = floor, share
        return self._measure(own)

    def fixed(self, own: Vectors, *, share: float, floor: float) -> Blend:
        """Return a blend with the same pool and given (a, λ), measured on own clips (N, D)."""
        other = Blend(self.pool)
        other.gain_, other.share_, other.floor_ = 0.0, share, floor
        return other._measure(_float64(own))

    def __call__(self, X: Vectors) -> NDArray[np.float64]:
        """Whiten vectors (B, D)."""
        return self.own_(self.target_(X))

    def _measure(self, own: NDArray[np.float64]) -> Self:
        self.target_ = _target(self.pool, self.floor_, own.shape[1])[0]
        axes, variances = _spectrum(self.target_(own))
        scale = float(variances.sum()) / own.shape[1] or 1.0
        share = self.share_ if len(variances) else 1.0
        rest = 1 / np.sqrt(share * scale)
        self.own_ = Stage(axes, 1 / np.sqrt((1 - share) * variances + share * scale), float(rest))
        return self


def _target(pool: Moments | None, floor: float, dimensions: int) -> tuple[Stage, float]:
    """Return what whitens the pool, and the log-determinant of its covariance; no pool is the identity."""
    if pool is None or np.isinf(floor):
        return Stage(np.zeros((0, dimensions)), np.zeros(0), 1.0), 0.0
    added = floor / dimensions
    along, elsewhere = pool.variances + added, pool.rest + added
    log_determinant = np.log(along).sum() + (dimensions - len(along)) * np.log(elsewhere)
    stage = Stage(pool.directions, 1 / np.sqrt(along), float(1 / np.sqrt(elsewhere)))
    return stage, float(log_determinant)


def _spectrum(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the axes (R, D) along which vectors (N, D) vary about their mean, and the variances (R,)."""
    if len(X) < 2:
        return np.zeros((0, X.shape[1])), np.zeros(0)
    centred = (X - X.mean(axis=0)) / np.sqrt(len(X) - 1)
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    there = deviations > max(deviations.max(), 0.0) * 1e-6
    return axes[there], np.square(deviations[there])


def _chosen(own: NDArray[np.float64], pool: Moments | None, floor: float) -> tuple[float, float]:
    """Return the likeliest share a for one floor λ, and the log-likelihood that it reaches."""
    if len(own) < 2:
        return 1.0, 0.0
    stage, log_determinant = _target(pool, floor, own.shape[1])
    folds = _folds(stage(own))
    shares = SHARES_ALONE if pool is None else SHARES
    found = [(share, _log_likelihood(folds, share, log_determinant, own.shape)) for share in shares]
    return max(found, key=lambda one: one[1])


def _folds(X: NDArray[np.float64]) -> list[_Fold]:
    number = np.arange(len(X)) % min(FOLDS, len(X))
    folds = []
    for fold in range(int(number.max()) + 1):
        seen, left_out = X[number != fold], X[number == fold]
        axes, variances = _spectrum(seen)
        deviations = left_out - seen.mean(axis=0)
        along = np.square(deviations @ axes.T)
        across = np.maximum(np.square(deviations).sum(axis=1) - along.sum(axis=1), 0.0)
        scale = float(variances.sum()) / X.shape[1] or float(across.mean()) / X.shape[1]
        folds.append(_Fold(len(seen), variances, along, across, max(scale, 1e-300)))
    return folds


def _log_likelihood(
    folds: list[_Fold], share: float, log_determinant: float, shape: tuple[int, ...]
) -> float:
    """Return the log-likelihood of the clips left out, under the overall scale that suits them best."""
    count, dimensions = shape
    distance = volume = 0.0
    for fold in folds:
        a = share if len(fold.variances) else 1.0
        along, elsewhere = (1 - a) * fold.variances + a * fold.scale, a * fold.scale
        wider = 1 + 1 / fold.seen  # the mean, too, is measured
        distance += (
            float(((fold.along / along).sum(axis=1) + fold.across / elsewhere).sum()) / wider
        )
        logs = np.log(along).sum() + (dimensions - len(along)) * np.log(elsewhere)
        volume += len(fold.across) * float(logs + log_determinant + dimensions * np.log(wider))
    total = count * dimensions
    return -0.5 * (total * float(np.log(max(distance, 1e-300) / total)) + volume)


def _float64(X: Vectors) -> NDArray[np.float64]:
    vectors: NDArray[np.float64] = np.asarray(X, np.float64)
    return vectors
