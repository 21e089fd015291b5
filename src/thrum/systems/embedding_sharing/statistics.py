"""Scores of one machine's clips from their mean embeddings: alone, by the pool of the others, and by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.knn import KNN
from thrum.detectors.local_density import FEWEST, LocalDensity
from thrum.errors import DataError
from thrum.systems.embedding_sharing.blend import FOLDS, Blend
from thrum.systems.embedding_sharing.moments import Moments
from thrum.systems.embedding_sharing.pool import Frames

Vectors = NDArray[np.floating[Any]]

ENOUGH_CLIPS = 100
GAIN_NEEDED = 0.1, 0.3
HALF = 0.5
"""What the site's own score counts for where clips are plenty, and what the pool's of the rest."""
POOL_FLOOR = 0.1


def mean_frames(clips: Sequence[Frames]) -> NDArray[np.float64]:
    """Return the mean embedding (B, D) of clips (T, D)."""
    return np.stack([frames.mean(axis=0, dtype=np.float64) for frames in clips])


@dataclass(frozen=True)
class ScorePair:
    """Scores of one kind.

    Parameters
    ----------
    left_out
        Of the training clips (N,), each scored as if it had not been trained on.
    test
        Of the test clips (B,).
    """

    left_out: NDArray[np.float64]
    test: NDArray[np.float64]


class Local:
    """k-NN on the mean embedding, two neighbours: what the paper's site does alone (section V-B)."""

    def fit(self, own: Vectors) -> Self:
        """Keep own mean embeddings (N, D)."""
        self._detector = KNN().fit(own)
        self.left_out_ = self._detector.left_out_score(np.arange(len(own)))
        return self

    def score(self, X: Vectors) -> NDArray[np.float64]:
        """Score mean embeddings (B, D)."""
        return self._detector.anomaly_score(X)


class Whitened:
    """`LocalDensity` after a `Blend`.

    Test clips are scored after a map measured on *all* own clips; a training clip's left-out score comes
    from one that was measured without its fold, (a, λ) being the same.

    Parameters
    ----------
    pool
        The covariance of the *other* machines; None is a site alone.
    pool_only
        Own clips say nothing of how clips vary: a = 1, λ = `POOL_FLOOR`.
    """

    def __init__(self, pool: Moments | None = None, *, pool_only: bool = False) -> None:
        if pool_only and pool is None:
            raise DataError("a pool is wanted to whiten by it alone")
        self.pool = pool
        self.pool_only = pool_only

    def fit(self, own: Vectors) -> Self:
        """Learn own mean embeddings (N, D)."""
        own = np.asarray(own, np.float64)
        if self.pool_only:
            self.blend_ = Blend(self.pool).fixed(own, share=1.0, floor=POOL_FLOOR)
        else:
            self.blend_ = Blend(self.pool).fit(own)
        self._detector = LocalDensity().fit(self.blend_(own))
        everyone = np.arange(len(own))
        self.left_out_ = self._detector.left_out_score(everyone)
        fold = everyone % FOLDS
        for number in (
            np.unique(fold) if len(own) >= FEWEST else ()
        ):  # fewer leave no map to measure
            unseen = fold == number
            seen = self.blend_.fixed(
                own[~unseen], share=self.blend_.share_, floor=self.blend_.floor_
            )
            self.left_out_[unseen] = LocalDensity().fit(seen(own)).left_out_score(everyone)[unseen]
        return self

    def score(self, X: Vectors) -> NDArray[np.float64]:
        """Score mean embeddings (B, D)."""
        return self._detector.anomaly_score(self.blend_(X))


class Statistics:
    """The scores by the blend, by the pool alone and by the site alone, weighted.

    Each is over its mean left-out score. With p = min(1, N / 100), the three count for w (1 − p / 2),
    w p / 2 and 1 − w, where w = (1 − p / 2) · trust: a site with few clips is judged by the blend, one with
    a hundred or more half by what it knows itself and a quarter each by blend and pool. The three make
    different mistakes. Where the pool makes own clips hardly likelier than no pool does, the others are
    machines of another kind, and trust falls to nothing between 0.3 and 0.1 nats a clip and dimension (less
    with many clips: then what is alone is likely, too). No anomaly and no test clip has a say. Ours:
    docs/statistics.md has what was tried.

    Parameters
    ----------
    pool
        The covariance of the *other* machines.
    """

    def __init__(self, pool: Moments) -> None:
        self.pool = pool

    def fit(
        self, own: Vectors, *, alone: Whitened | None = None, by_pool: Whitened | None = None
    ) -> Self:
        """Learn own mean embeddings (N, D); `alone` and `by_pool` are given where they are fitted already."""
        blended = Whitened(self.pool).fit(own)
        by_pool = by_pool or Whitened(self.pool, pool_only=True).fit(own)
        self.parts_ = [blended, by_pool, alone or Whitened().fit(own)]
        self.weights_ = _weights(blended.blend_.gain_, len(own))
        self.scales_ = [_mean(part.left_out_) for part in self.parts_]
        self.left_out_ = self._join([part.left_out_ for part in self.parts_])
        return self

    def score(self, X: Vectors) -> NDArray[np.float64]:
        """Score mean embeddings (B, D)."""
        return self._join([part.score(X) for part in self.parts_])

    def _join(self, scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        factors = [
            weight / scale for weight, scale in zip(self.weights_, self.scales_, strict=True)
        ]
        joined: NDArray[np.float64] = np.asarray(factors) @ np.stack(scores)
        return joined


def _weights(gain: float, count: int) -> tuple[float, float, float]:
    """Return what the blend, the pool and the site alone count for; they sum to one."""
    if count == 1:  # nothing to judge the pool by, and nothing of its own
        return 1.0, 0.0, 0.0
    plenty = count / ENOUGH_CLIPS
    low, high = GAIN_NEEDED
    trust = float(np.clip((gain * (1 + plenty) - low) / (high - low), 0.0, 1.0))
    plenty = min(1.0, plenty)
    together = trust * (1 - HALF * plenty)
    return together * (1 - HALF * plenty), together * HALF * plenty, 1 - together


def _mean(scores: NDArray[np.float64]) -> float:
    return float(scores.mean()) or 1.0
