"""Normal clips that came after training: compared with from then on, and scored as if they were not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Scorer = Callable[[Array, NDArray[np.int64]], NDArray[np.float64]]
"""Of the vectors (N, E) compared with, and some rows of `Confirmed.parts`, the scores of these."""


@dataclass(frozen=True)
class Confirmed:
    """What a network makes of the M clips of a machine ID that left-out scores are of.

    Parameters
    ----------
    parts
        Arrays (M, ·) of what the network says of each; the first one are the vectors that clips are compared
        by.
    places
        (M,) where each stands among the vectors compared with; −1 for clips that were held back and are not.
    """

    parts: tuple[Array, ...]
    places: NDArray[np.int64]

    @classmethod
    def held_back(cls, *parts: Array) -> Self:
        """Return clips that nothing is compared with."""
        return cls(parts, np.full(len(parts[0]), -1))

    def changed(
        self, reference: Array, *, dropped: Sequence[int] = (), added: Sequence[Array] = ()
    ) -> tuple[Array, Self]:
        """Return the vectors (N, E) to compare with from now on, and the clips, after some went or came.

        Parameters
        ----------
        reference
            The vectors compared with until now.
        dropped
            Rows of the clips that go.
        added
            Parts of those that come.
        """
        gone = self.places[list(dropped)]
        gone = np.sort(gone[gone >= 0])
        kept = np.delete(self.places, list(dropped))
        kept = np.where(kept >= 0, kept - np.searchsorted(gone, kept), kept)
        parts = tuple(np.delete(part, list(dropped), axis=0) for part in self.parts)
        reference = np.delete(reference, gone, axis=0)
        if added:
            kept = np.concatenate([kept, len(reference) + np.arange(len(added[0]))])
            parts = tuple(np.concatenate(pair) for pair in zip(parts, added, strict=True))
            reference = np.concatenate([reference, added[0]])
        return reference, type(self)(parts, kept)

    def left_out(self, reference: Array, score: Scorer) -> NDArray[np.float64]:
        """Return the scores (M,) of the clips, none compared with itself."""
        found = np.zeros(len(self.places))
        back = np.flatnonzero(self.places < 0)
        if len(back):
            found[back] = score(reference, back)
        for row in np.flatnonzero(self.places >= 0):
            others = np.delete(reference, self.places[row], axis=0)
            found[row] = score(others, np.array([row]))[0]
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` needs."""
        named = {str(number): torch.from_numpy(part) for number, part in enumerate(self.parts)}
        return {**named, "places": torch.from_numpy(self.places)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return what `tensors` gave."""
        parts = tuple(tensors[str(number)].numpy() for number in range(len(tensors) - 1))
        return cls(parts, tensors["places"].numpy())
