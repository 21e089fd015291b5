"""What the ID classifier's network says of one machine's clips: the paper's quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector, create_detector
from thrum.detectors.grouped import Grouped, Windows
from thrum.detectors.knn import KNN
from thrum.errors import ProtocolError
from thrum.systems.embedding_sharing.classifier import IDClassifier, Member
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import Frames, MachineKey
from thrum.systems.embedding_sharing.statistics import ScorePair


@dataclass(frozen=True)
class NetworkScores:
    """What the classifier's network says of one machine's clips.

    Parameters
    ----------
    scores
        Distances in the networks' embedding.
    held_out
        Whether the left-out scores come from networks that had not seen the clips. Where one network saw
        everything they are too low, and nothing may be standardised by them.
    train_identified, test_identified
        Whether the classifier names the machine ID of each clip rightly, (N,) and (B,).
    """

    scores: ScorePair
    held_out: bool
    train_identified: NDArray[np.bool_]
    test_identified: NDArray[np.bool_]

    def accuracy(self, normal: Sequence[bool]) -> float | None:
        """Return the share of normal test clips whose ID is named rightly (paper, section V-C).

        `normal` (B,) says which test clips are; None where none is: training clips, which the networks
        know, would say nothing.
        """
        test = self.test_identified[np.asarray(normal, dtype=bool)]
        return float(test.mean()) if len(test) else None

    def message(self) -> dict[str, Any]:
        """Return the scores as plain lists."""
        return {
            "left_out": self.scores.left_out.tolist(),
            "test": self.scores.test.tolist(),
            "held_out": self.held_out,
            "train_identified": self.train_identified.tolist(),
            "test_identified": self.test_identified.tolist(),
        }

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> NetworkScores:
        """Read what `message` wrote."""
        try:
            scores = ScorePair(
                np.asarray(message["left_out"], dtype=float),
                np.asarray(message["test"], dtype=float),
            )
            held_out = message["held_out"] is True
            train, test = (
                np.asarray(message[name], dtype=bool)
                for name in ("train_identified", "test_identified")
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError("the scores of a machine are not understood") from error
        if scores.left_out.shape != train.shape or scores.test.shape != test.shape:
            raise ProtocolError("the scores of a machine are of different lengths")
        if not (np.isfinite(scores.left_out).all() and np.isfinite(scores.test).all()):
            raise ProtocolError("the scores of a machine hold NaN or infinite values")
        return cls(scores, held_out, train, test)


class Network:
    """Scores clips of one machine in the embedding of the ID classifier.

    The detector learns from all training clips in the embedding of each member; scores are averaged over
    the members. A training clip is scored by the member that was trained without it, against the other
    clips: so its score is what a new normal clip's would be. Where one network saw everything, only the
    detector leaves the clip out (`held_out_`).

    Parameters
    ----------
    classifier
        The trained ID classifier.
    key
        The machine and machine ID; one of the classifier's.
    """

    def __init__(self, classifier: IDClassifier, key: MachineKey) -> None:
        self.classifier = classifier
        self.key = key

    def fit(self, train: Sequence[Frames]) -> Self:
        """Learn the normal clips (T, D) of the machine."""
        config, members = self.classifier.config, self.classifier.members
        share = self.classifier.share_of(self.key, clips=len(train))
        self._detectors: list[Grouped] = []
        scores, cosines = [], []
        for member in members:
            views, cosine = self._views(member, train)
            self._detectors.append(Grouped(_detector(config)).fit(views))
            scores.append(self._detectors[-1].left_out_score())
            cosines.append(cosine)
        stacked, told = np.stack(scores), np.stack(cosines)  # (members, N), (members, N, K)
        self.held_out_ = bool(share[0] >= 0)
        if self.held_out_:
            rows = np.arange(len(train))
            self.left_out_ = like_a_mean(stacked[share, rows], stacked, share)
            own = told[share, rows]
        else:
            self.left_out_, own = stacked.mean(axis=0), told.mean(axis=0)
        self.identified_ = own.argmax(axis=1) == self.classifier.keys.index(self.key)
        return self

    def score(self, test: Sequence[Frames]) -> NDArray[np.float64]:
        """Return the scores (B,) of clips (T, D) of the machine."""
        return self.network_scores(test).scores.test

    def network_scores(self, test: Sequence[Frames]) -> NetworkScores:
        """Score clips (T, D) of the machine, and say whether their ID is named rightly."""
        scores = np.zeros(len(test))
        cosines = np.zeros((len(test), len(self.classifier.keys)))
        for member, detector in zip(self.classifier.members, self._detectors, strict=True):
            for row, frames in enumerate(test):  # one by one: no score may depend on those beside
                views, cosine = self._views(member, [frames])
                cosines[row] += cosine[0]
                scores[row] += detector.anomaly_score(views)[0] / len(self._detectors)
        named = cosines.argmax(axis=1) == self.classifier.keys.index(self.key)
        pair = ScorePair(self.left_out_, scores)
        return NetworkScores(pair, self.held_out_, self.identified_, named)

    def _views(
        self, member: Member, clips: Sequence[Frames]
    ) -> tuple[list[Windows], NDArray[np.float64]]:
        """Return what the detector sees of each clip, and its cosines (B, K) to the machine IDs."""
        embedded = self.classifier.embed(member, clips)
        vectors: list[Windows] = list(embedded)
        if self.classifier.config.form == "sequence":  # one vector a clip
            vectors = [windows.mean(axis=0, keepdims=True) for windows in embedded]
        return vectors, self.classifier.cosines(member, embedded)


def like_a_mean(
    left_out: NDArray[np.float64], scores: NDArray[np.float64], share: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return left-out scores (N,) that scatter as a mean over members does.

    A test clip's score is the mean of all M members', a left-out score comes from one: it scatters more, by
    √(M / (1 + (M − 1) ρ)) with ρ the correlation of two members. It is measured on the clips that both have
    seen, in `scores` (M, N).
    """
    members = len(scores)
    found = []
    for one in range(members):
        for other in range(one):
            both = (share != one) & (share != other)
            a, b = scores[one, both], scores[other, both]
            if len(a) > 2 and a.std() > 0 and b.std() > 0:
                found.append(np.corrcoef(a, b)[0, 1])
    correlation = max(float(np.mean(found)), 0.0) if found else 1.0
    narrower = np.sqrt((1 + (members - 1) * correlation) / members)
    mean = left_out.mean()
    return np.asarray(mean + narrower * (left_out - mean))


def _detector(config: Config) -> Detector:
    if config.detector == "knn":
        return KNN(neighbours=config.neighbours)
    return create_detector(config.detector)
