"""Scores of a site's test clips for which nothing is trained: seconds for all of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.bench.few_clips.draws import MachineKey, Situation
from thrum.bench.few_clips.harms import HARMS, Harm, harmed
from thrum.detectors.mahalanobis import Mahalanobis
from thrum.errors import DataError
from thrum.systems.embedding_sharing import MachineScorer, Moments, moments_of, pooled
from thrum.systems.embedding_sharing.trust import says
from thrum.types import Clip

Frames = NDArray[np.floating[Any]]
FramesOf = Callable[[Clip], Frames]
"""The embedding frames (T, D) of a clip."""

METHODS = ("local", "local_whitened", "pool", "statistics", "mahalanobis")
HARM_CASES: dict[str, tuple[Harm, bool]] = {
    f"{harm or 'none'}{'' if robust else '/plain'}": (harm, robust)
    for harm in ("", *HARMS)
    for robust in (False, True)
}
"""What a neighbour does, and whether the pool asks who is odd, by the name of the score."""


class Means:
    """Mean frames of clips, and pools of what they vary by; measured once, though every case asks again.

    Parameters
    ----------
    frames_of
        Gives the frames.
    """

    def __init__(self, frames_of: FramesOf) -> None:
        self.of = cache(lambda clip: _mean(frames_of(clip)))
        self._pooled = cache(self._measured)

    def pool(
        self, now: Situation, *, harm: Harm = "", robust: bool = True, seed: int = 0
    ) -> Moments | None:
        """Return the covariance of the others' clips, as a server pools it; None where nobody has a say.

        Parameters
        ----------
        harm, seed
            What the first of the others does, and what decides noise.
        robust
            Whether the pool asks who is odd; else all machines count alike.
        """
        others = tuple((key, tuple(clips)) for key, clips in now.others.items())
        return self._pooled(others, harm, robust, seed)

    def _measured(
        self,
        others: tuple[tuple[MachineKey, tuple[Clip, ...]], ...],
        harm: Harm,
        robust: bool,
        seed: int,
    ) -> Moments | None:
        sites = {key: np.concatenate([self.of(clip) for clip in clips]) for key, clips in others}
        moments: dict[MachineKey, Moments] = {}
        for key, vectors in harmed(sites, harm, seed=seed).items():
            # A site with one clip, or with clips that are all the same, is told so and has nothing to share.
            with suppress(DataError):
                moments[key] = moments_of(vectors)
        weights = dict.fromkeys(moments, 1.0)
        if robust:
            weights = {key: say.weight for key, say in says(moments).items()}
        counting = [key for key, weight in weights.items() if weight > 0]
        if not counting:
            return None
        return pooled([moments[key] for key in counting], weights=[weights[k] for k in counting])


def site_scores(now: Situation, means: Means) -> Mapping[str, NDArray[np.float64]]:
    """Return the scores (B,) of the test clips by every method of a site that needs no training.

    Where the others have no pool to give, a site acts on what it has alone.
    """
    own, test = ([means.of(clip) for clip in clips] for clips in (now.own, now.test))
    pairs, _ = MachineScorer(pool=means.pool(now)).fit(own).score(test)
    alone = dict.fromkeys(METHODS, pairs["local_whitened"].test)
    return alone | {name: pair.test for name, pair in pairs.items()}


def scores_of(now: Situation, means: Means) -> Mapping[str, NDArray[np.float64]]:
    """Return `site_scores`, and those (B,) of the Mahalanobis distance beside them."""
    own, test = (
        np.concatenate([means.of(clip) for clip in clips]) for clips in (now.own, now.test)
    )
    mahalanobis = Mahalanobis().fit(own).anomaly_score(test)
    return {**site_scores(now, means), "mahalanobis": mahalanobis}


def harm_scores(now: Situation, means: Means, *, seed: int) -> Mapping[str, NDArray[np.float64]]:
    """Return the scores by `statistics` (B,) of the test clips, whatever the first of the others does."""
    own, test = ([means.of(clip) for clip in clips] for clips in (now.own, now.test))
    found = {}
    for name, (harm, robust) in HARM_CASES.items():
        pool = means.pool(now, harm=harm, robust=robust, seed=seed)
        found[name] = MachineScorer(pool=pool).fit(own).score(test)[0]
    return {
        name: pairs.get("statistics", pairs["local_whitened"]).test for name, pairs in found.items()
    }


def _mean(frames: Frames) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = frames.mean(axis=0, keepdims=True, dtype=np.float64)  # (1, D)
    return mean
