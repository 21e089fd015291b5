"""All scores of one machine's clips that a site can have, and the one that it acts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.fusion import Fusion
from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.moments import Moments
from thrum.systems.embedding_sharing.network_scores import Network, NetworkScores
from thrum.systems.embedding_sharing.pool import Frames, MachineKey
from thrum.systems.embedding_sharing.statistics import (
    Local,
    ScorePair,
    Statistics,
    Whitened,
    mean_frames,
)

METHODS = ("local", "local_whitened", "pool", "statistics", "network", "fused")
ALONE = ("local", "local_whitened")
"""What a site can do without anybody else."""


class MachineScorer:
    """Everything that a site knows of one of its machines, fitted once and asked for many clips.

    Parameters
    ----------
    pool
        The covariance of the others' machines; None where nobody shares.
    network
        The classifier's network, for this machine; None where no classifier is at hand.
    """

    def __init__(self, *, pool: Moments | None = None, network: Network | None = None) -> None:
        self.pool = pool
        self.network = network

    def fit(self, train: Sequence[Frames]) -> Self:
        """Learn the released embeddings (T, D) of the machine's training clips."""
        own = mean_frames(train)
        alone = Whitened().fit(own)
        self._parts: dict[str, Local | Whitened | Statistics] = {
            "local": Local().fit(own),
            "local_whitened": alone,
        }
        if self.pool is not None:
            by_pool = Whitened(self.pool, pool_only=True).fit(own)
            self._parts["pool"] = by_pool
            together = Statistics(self.pool).fit(own, alone=alone, by_pool=by_pool)
            self._parts["statistics"] = together
        if self.network is not None:
            self.network.fit(train)
        return self

    @property
    def methods(self) -> list[str]:
        """The scores that there are, in the order of `METHODS`."""
        return [*self._parts, *(("network", "fused") if self.network is not None else ())]

    def left_out(self, method: str) -> NDArray[np.float64]:
        """Return the left-out scores (N,) of the training clips by one of `methods`."""
        return self.score([])[0][method].left_out

    def score(
        self, test: Sequence[Frames], *, received: NetworkScores | None = None
    ) -> tuple[dict[str, ScorePair], NetworkScores | None]:
        """Score clips (T, D) of the machine by every method there is, in the order of `METHODS`.

        `received` are the network's scores of these very clips where the server has computed them
        (Algorithm 2).

        Returns
        -------
        scores, network
            By method; and what the network says besides, where there is one.
        """
        # One by one: in a product of matrices a row depends on those beside it.
        rows = [mean_frames([frames]) for frames in test]
        pairs = {
            name: ScorePair(part.left_out_, np.array([part.score(row)[0] for row in rows]))
            for name, part in self._parts.items()
        }
        network = self.network.network_scores(test) if self.network is not None else received
        return pairs | joined(pairs, network), network


def selected(methods: Sequence[str] | Mapping[str, object]) -> str:
    """Return the method that a site acts on: the statistics where there is a pool, else what it hears alone.

    Not ``fused``: where the network knows a machine's few clips badly it ruins what the statistics know
    (docs/results.md), and nothing that looks at no anomaly tells where.
    """
    return "statistics" if "statistics" in methods else "local_whitened"


def joined(pairs: Mapping[str, ScorePair], network: NetworkScores | None) -> dict[str, ScorePair]:
    """Return ``network`` and ``fused`` beside a site's other scores; nothing where there is no network.

    ``fused`` is the mean of the statistics' score and the network's, each standardised by its left-out
    scores. Where the network has seen the clips that these are of (one member), they are too low, any new
    clip would seem strange, and ``fused`` is the statistics alone.
    """
    if network is None:
        return {}
    statistics = pairs["statistics"] if "statistics" in pairs else pairs["local_whitened"]
    found = {"network": network.scores, "fused": statistics}
    if network.held_out:
        found["fused"] = combined({"statistics": statistics, "network": network.scores})
    return found


def combined(parts: Mapping[str, ScorePair]) -> ScorePair:
    """Return the mean of scores of several kinds, each standardised by its own left-out scores."""
    left_out = {kind: part.left_out for kind, part in parts.items()}
    fusion = Fusion().fit(left_out)
    test: NDArray[np.float64] = fusion.combine({kind: part.test for kind, part in parts.items()})
    return ScorePair(fusion.combine(left_out), test)


def local_scores(train: Sequence[Frames], test: Sequence[Frames]) -> ScorePair:
    """Score by k-NN on mean embeddings: what the paper's site can do alone."""
    return _pair(Local(), train, test)


def local_whitened_scores(train: Sequence[Frames], test: Sequence[Frames]) -> ScorePair:
    """Score after whitening by all own clips: the best that a site can do alone."""
    return _pair(Whitened(), train, test)


def pool_scores(train: Sequence[Frames], test: Sequence[Frames], pool: Moments) -> ScorePair:
    """Score after whitening by the others' covariance alone."""
    return _pair(Whitened(pool, pool_only=True), train, test)


def statistics_scores(train: Sequence[Frames], test: Sequence[Frames], pool: Moments) -> ScorePair:
    """Score by own clips and the others' covariance, as far as own clips bear it out."""
    return _pair(Statistics(pool), train, test)


def network_scores(
    classifier: IDClassifier, key: MachineKey, train: Sequence[Frames], test: Sequence[Frames]
) -> NetworkScores:
    """Score the training and test clips (T, D) of one machine by the ID classifier."""
    return Network(classifier, key).fit(train).network_scores(test)


def _pair(
    scorer: Local | Whitened | Statistics, train: Sequence[Frames], test: Sequence[Frames]
) -> ScorePair:
    scorer.fit(mean_frames(train))
    return ScorePair(
        scorer.left_out_, np.array([scorer.score(mean_frames([frames]))[0] for frames in test])
    )
