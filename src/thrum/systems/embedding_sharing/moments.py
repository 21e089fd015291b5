"""What clips of one machine vary by: the second moment of their mean embeddings, and pools of it.

A machine's clips differ by load, distance, noise: variation that says little of faults. A few clips cannot
tell it; the clips of other machines can. Shared is one matrix and a count a machine, no clip's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError

Vectors = NDArray[np.floating[Any]]

RANK = 256
"""Directions kept singly; the rest share one variance, so that 6144 dimensions weigh 6 MB and not 151."""


@dataclass(frozen=True, eq=False)
class Moments:
    r"""A covariance about its own mean, of trace one: :math:`C = A^\top A + r\,(I - P_A)`.

    Scaled to trace one, it says how a machine varies and not how much: a recorder that is a thousand times
    too loud counts like any other.

    Parameters
    ----------
    count
        Of how many clips.
    axes
        A (R, D): orthogonal directions, each as long as the deviation along it, longest first.
    rest
        r: the variance in each of the other D − R directions.
    """

    count: int
    axes: NDArray[np.float64]
    rest: float = 0.0

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.axes.shape[1])

    @property
    def variances(self) -> NDArray[np.float64]:
        """The variance (R,) along each axis."""
        return np.asarray(np.square(self.axes).sum(axis=1))

    @property
    def directions(self) -> NDArray[np.float64]:
        """The axes (R, D), each of length one."""
        lengths = np.sqrt(np.maximum(self.variances, np.finfo(float).tiny))
        return np.asarray(self.axes / lengths[:, None])

    @property
    def trace(self) -> float:
        """The sum of all variances."""
        return float(self.variances.sum()) + self.rest * (self.dimensions - len(self.axes))

    def of_trace_one(self) -> Moments:
        """Return the same shape, scaled."""
        total = self.trace
        if not total > 0:
            raise DataError(
                f"the {self.count} clips do not differ at all: nothing can be learnt from how they vary; "
                f"is the microphone on?"
            )
        return Moments(self.count, self.axes / np.sqrt(total), self.rest / total)


def moments_of(vectors: Vectors) -> Moments:
    """Measure the covariance of one machine's mean embeddings (N, D).

    Raises
    ------
    DataError
        Where there are fewer than two, or they are all the same.
    """
    if len(vectors) < 2:
        raise DataError(f"{len(vectors)} clip has no covariance; wanted at least 2 clips")
    rows = np.asarray(vectors, np.float64)
    rows = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
    if np.square(rows).sum() <= 1e-12 * np.square(np.asarray(vectors, np.float64)).mean():
        rows = np.zeros_like(rows)  # equal but for rounding
    return _from_factor(len(vectors), rows).of_trace_one()


def moments_from(count: int, covariance: NDArray[np.float64]) -> Moments:
    """Return a covariance (D, D) of so many clips by its axes."""
    variances, directions = np.linalg.eigh(covariance)
    factor = (directions * np.sqrt(np.maximum(variances, 0.0))).T
    return _from_factor(count, factor).of_trace_one()


def pooled(moments: Sequence[Moments], *, weights: Sequence[float] | None = None) -> Moments:
    """Return the weighted mean of machines' covariances, each of trace one; equal weights by default.

    Raises
    ------
    DataError
        Where there is none, no weight is positive, or dimensions differ.
    """
    if not moments:
        raise DataError("no machine's statistics to pool; wanted those of at least one")
    require_one_space(moments)
    shares = np.ones(len(moments)) if weights is None else np.asarray(weights, float)
    if not (shares >= 0).all() or not shares.sum() > 0:
        raise DataError("the weights of a pool must be 0 or more, and one of them positive")
    shares = shares / shares.sum()
    factor = np.concatenate(
        [np.sqrt(share) * one.axes for share, one in zip(shares, moments, strict=True)]
    )
    # What is left beside a machine's axes is spread over all directions: exact but along those axes, where it
    # is small against what they have.
    rest = float(sum(share * one.rest for share, one in zip(shares, moments, strict=True)))
    whole = _from_factor(sum(one.count for one in moments), factor)
    return Moments(whole.count, whole.axes, whole.rest + rest).of_trace_one()


def require_one_space(moments: Sequence[Moments]) -> None:
    """Raise a `DataError` where statistics are of different dimensions."""
    if len(sizes := {one.dimensions for one in moments}) > 1:
        raise DataError(f"statistics of different dimensions cannot be pooled: {sorted(sizes)}")


def _from_factor(count: int, factor: NDArray[np.float64]) -> Moments:
    """Return F^T F of a factor (N, D) by its leading axes and what is left."""
    n, dimensions = factor.shape
    if dimensions <= n:
        return from_products(count, factor.T @ factor)
    return from_row_products(count, factor, factor @ factor.T)


def from_products(count: int, products: NDArray[np.float64]) -> Moments:
    """Return a covariance (D, D) by its leading axes and what is left."""
    variances, directions = np.linalg.eigh(products)
    there = variances > max(variances.max(), 0.0) * 1e-12
    return _leading(count, variances[there], directions.T[there])


def from_row_products(
    count: int, factor: NDArray[np.float64], products: NDArray[np.float64]
) -> Moments:
    """Return the same of a factor (N, D) and F F^T (N, N)."""
    variances, mixing = np.linalg.eigh(products)
    there = variances > max(variances.max(), 0.0) * 1e-12
    variances, mixing = variances[there], mixing[:, there]
    return _leading(count, variances, (mixing.T @ factor) / np.sqrt(variances)[:, None])


def _leading(count: int, variances: NDArray[np.float64], axes: NDArray[np.float64]) -> Moments:
    """Keep the leading of axes (K, D) of length one, given with their variances (K,), least first."""
    dimensions = axes.shape[1]
    variances = np.maximum(variances[::-1], 0.0)
    kept = min(RANK, len(variances), dimensions)
    axes = axes[::-1][:kept] * np.sqrt(variances[:kept])[:, None]
    left = dimensions - kept
    rest = float(variances[kept:].sum()) / left if left else 0.0
    return Moments(count, np.ascontiguousarray(axes), rest)
