"""Who sits in a batch: equally many clips of every machine ID (section 3.2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def balanced_rows(
    labels: NDArray[np.int64], size: int, random: np.random.Generator
) -> Iterator[Rows]:
    """Yield the rows (size,) of batches without end, equally many of every label.

    Where `size` is not a multiple of the number of labels, batches take turns in which has one more. Every
    row of a label comes before any comes again.
    """
    kinds = random.permutation(np.unique(labels))
    decks = {kind: _deck(np.flatnonzero(labels == kind), random) for kind in kinds}
    turns = itertools.cycle(kinds)
    while True:
        yield np.array([next(decks[next(turns)]) for _ in range(size)])


def steps_of_an_epoch(labels: NDArray[np.int64], size: int) -> int:
    """Return after how many batches of `balanced_rows` every row has been in one."""
    _, counts = np.unique(labels, return_counts=True)
    return math.ceil(int(counts.max()) * len(counts) / size)


def _deck(rows: Rows, random: np.random.Generator) -> Iterator[int]:
    while True:
        yield from random.permutation(rows).tolist()
