"""From scores to p-values that hold for any detector, and what so many clips can promise.

A conformal p-value is the rank of a clip's score among those of normal clips, none of which was scored as one
that had been learnt (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005): as long as
normal sound stays exchangeable, a normal clip has p ≤ α in no more than a share α of all cases, whatever the
scores are.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrum.errors import DataError

TAIL_SHARE = 0.1
"""Of the normal clips, that the tail model is fitted to."""
FEWEST_IN_TAIL = 5

Values = NDArray[np.float64]


def p_values(left_out: ArrayLike, scores: ArrayLike) -> Values:
    """Return p = (1 + #{left-out ≥ s}) / (n + 1) of scores (B,), beside n left-out scores of normal clips.

    Equal scores count against the clip, so that p is never too small; without normal clips it is 1.
    """
    known = np.sort(_finite(left_out, "left-out scores"))
    scores = _finite(scores, "scores")
    above = len(known) - np.searchsorted(known, scores, side="left")
    return np.asarray((1 + above) / (len(known) + 1), np.float64)


def finest(clips: int) -> float:
    """Return the smallest p-value that so many normal clips can give, 1 / (n + 1)."""
    return 1 / (clips + 1)


def tail_p_values(left_out: ArrayLike, scores: ArrayLike) -> Values:
    """Return p-values that go on where the normal clips end: **an assumption, not a promise**.

    The highest tenth of the left-out scores is taken for the beginning of a generalised Pareto tail, whose
    scale and shape come from probability-weighted moments (Hosking and Wallis, 1987); a shape below 0, which
    would let the tail end, is taken for 0. Up to there p-values are those of `p_values`.

    Raises
    ------
    DataError
        Where the tenth is fewer than five clips.
    """
    known = np.sort(_finite(left_out, "left-out scores"))
    scores = _finite(scores, "scores")
    count = int(len(known) * TAIL_SHARE)
    if count < FEWEST_IN_TAIL:
        raise DataError(
            f"a tail model wants {round(FEWEST_IN_TAIL / TAIL_SHARE)} normal clips at least, got "
            f"{len(known)}: add confirmed normal clips to the baseline, or leave the tail model out"
        )
    begins = known[-count - 1]
    excess = known[-count:] - begins  # ascending
    first = float(excess.mean())
    weights = (count - np.arange(1, count + 1)) / max(count - 1, 1)
    second = float((weights * excess).mean())
    plain = p_values(known, scores)
    if first <= 0 or first <= 2 * second:  # no spread, or a tail without a mean
        return plain
    shape = max(0.0, 2 - first / (first - 2 * second))
    scale = first * (1 - shape) if shape > 0 else first
    beyond = np.maximum(scores - begins, 0)
    decay = (1 + shape * beyond / scale) ** (-1 / shape) if shape > 0 else np.exp(-beyond / scale)
    smooth = (count + 1) / (len(known) + 1) * decay
    return np.where(scores > begins, np.minimum(plain, smooth), plain)


class Ranks:
    """A growing set of normal scores, in which every new one finds its place.

    With a fixed set of n normal clips the p-values of a stream are not independent: a set that happens to be
    tame makes all of them too small, and no bet on them is fair. Where each score joins the set after it was
    ranked, the ranks of exchangeable scores are independent, and uniform (Vovk and others, 2003), however
    small the set began: this is what the promise of an alarm stands on.

    Parameters
    ----------
    scores
        Left-out scores of the normal clips that are known before the stream begins.
    limit
        From so many scores on, none is added: one per cent of them is then known to a fourteenth of itself.
    """

    def __init__(self, scores: Iterable[float], *, limit: int = 20_000) -> None:
        self._scores = sorted(float(score) for score in scores)
        self.limit = limit

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def scores(self) -> list[float]:
        """All scores of the set, ascending."""
        return list(self._scores)

    def p_value(self, score: float) -> float:
        """Return the p-value of a score beside all that are in the set."""
        above = len(self._scores) - bisect.bisect_left(self._scores, score)
        return (1 + above) / (len(self._scores) + 1)

    def add(self, score: float) -> None:
        """Take a score into the set."""
        if len(self._scores) < self.limit:
            bisect.insort(self._scores, score)

    def remove(self, score: float) -> None:
        """Take a score out again, where it is there."""
        place = bisect.bisect_left(self._scores, score)
        if place < len(self._scores) and self._scores[place] == score:
            del self._scores[place]


def _finite(values: ArrayLike, what: str) -> Values:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise DataError(
            f"{what} are of shape {found.shape}, {int((~np.isfinite(found)).sum())} of them not finite; "
            f"wanted finite numbers (N,)"
        )
    return found
