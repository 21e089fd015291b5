"""For each of many machines, the pool of all others, at a cost that grows with their number alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrum.systems.embedding_sharing.moments import (
    Moments,
    from_products,
    from_row_products,
    require_one_space,
)


def pooled_without_each(
    moments: Sequence[Moments], weights: Sequence[float]
) -> list[Moments | None]:
    """Return, for each machine, the pool of the others of positive weight; None where there is no other.

    Each as `pooled` makes it, but for rounding. Sums are shared among machines without their own in them, not
    taken of all and subtracted from, so that no trace of a machine is in its pool. Of n machines that is
    n log n sums and n decompositions, where each pool by itself would take n^2 sums.
    """
    require_one_space(moments)
    there = [number for number, weight in enumerate(weights) if weight > 0]
    factors = {n: np.sqrt(weights[n]) * moments[n].axes for n in there}
    own = {n: _Sum(moments[n].count, weights[n] * moments[n].rest) for n in there}
    without: dict[int | None, Moments] = {}
    if there:
        dimensions = moments[0].dimensions
        if sum(len(factor) for factor in factors.values()) < dimensions:
            without = dict(_of_rows(factors, own))
        else:
            nothing = _Sum(0, 0.0), np.zeros((dimensions, dimensions))
            without = dict(_of_halves([*there, None], nothing, factors, own))
    return [without.get(n if n in own else None) for n in range(len(moments))]


@dataclass(frozen=True)
class _Sum:
    """What is simply added up over machines: clips, and the variance beside the axes."""

    count: int
    rest: float

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(self.count + other.count, self.rest + other.rest)

    def beside(self, whole: Moments) -> Moments:
        return Moments(self.count, whole.axes, whole.rest + self.rest).of_trace_one()


def _of_rows(
    factors: Mapping[int, NDArray[np.float64]], own: Mapping[int, _Sum]
) -> Iterator[tuple[int | None, Moments]]:
    """Yield the pool without each, and without nobody, of fewer rows than dimensions: from their products."""
    rows = np.concatenate(list(factors.values()))
    owner = np.repeat(list(factors), [len(factor) for factor in factors.values()])
    products = rows @ rows.T
    for number in [*factors, None]:
        others = [one for other, one in own.items() if other != number]
        if others:
            kept = np.flatnonzero(owner != (-1 if number is None else number))
            whole = from_row_products(0, rows[kept], products[np.ix_(kept, kept)])
            yield number, sum(others, _Sum(0, 0.0)).beside(whole)


def _of_halves(
    numbers: Sequence[int | None],
    outside: tuple[_Sum, NDArray[np.float64]],
    factors: Mapping[int, NDArray[np.float64]],
    own: Mapping[int, _Sum],
) -> Iterator[tuple[int | None, Moments]]:
    """Yield the pool without each of `numbers`, None: without nobody; each half is outside of the other."""
    told, products = outside
    if len(numbers) == 1:
        if told.count:
            yield numbers[0], told.beside(from_products(0, products))
        return
    middle = len(numbers) // 2
    for half, other in (
        (numbers[:middle], numbers[middle:]),
        (numbers[middle:], numbers[:middle]),
    ):
        wider, summed = told, products.copy()
        for number in other:
            if number is not None:
                wider = wider + own[number]
                summed += factors[number].T @ factors[number]
        yield from _of_halves(half, (wider, summed), factors, own)
