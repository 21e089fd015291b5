"""Anomaly scores of one machine's clips, from its own embeddings and from the ID classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.detectors.base import Detector, create_detector
from thrum.detectors.fusion import Combination, Fusion
from thrum.detectors.grouped import Grouped, Windows
from thrum.detectors.knn import KNN
from thrum.errors import ProtocolError
from thrum.systems.embedding_sharing.classifier import IDClassifier, share_of
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import Frames, MachineKey
from thrum.systems.embedding_sharing.whitening import Whitening

LOCAL_FOLDS = 4


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


@dataclass(frozen=True)
class MachineScores:
    """What the collaboration says of one machine's clips.

    Parameters
    ----------
    parts
        The kinds of score, by name: ``network``, and ``linear`` where the settings ask for it.
    train_identified, test_identified
        Whether the classifier names the machine ID of each clip rightly, (N,) and (B,).
    """

    parts: Mapping[str, ScorePair]
    train_identified: NDArray[np.bool_]
    test_identified: NDArray[np.bool_]

    @property
    def collaborative(self) -> ScorePair:
        """The parts made one."""
        return combined(self.parts)

    def accuracy(self, normal: Sequence[bool]) -> float:
        """Return the share of normal clips whose ID is named rightly (paper, section V-C).

        `normal` (B,) says which test clips are; where none is, the training clips are asked.
        """
        test = self.test_identified[np.asarray(normal, dtype=bool)]
        return float(test.mean() if len(test) else self.train_identified.mean())

    def message(self) -> dict[str, Any]:
        """Return the scores as plain lists."""
        return {
            "parts": {
                name: {"left_out": part.left_out.tolist(), "test": part.test.tolist()}
                for name, part in self.parts.items()
            },
            "train_identified": self.train_identified.tolist(),
            "test_identified": self.test_identified.tolist(),
        }

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> MachineScores:
        """Read what `message` wrote."""
        try:
            parts = {
                str(name): ScorePair(
                    np.asarray(part["left_out"], dtype=float), np.asarray(part["test"], dtype=float)
                )
                for name, part in message["parts"].items()
            }
            train, test = (
                np.asarray(message[name], dtype=bool)
                for name in ("train_identified", "test_identified")
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError("the scores of a machine are not understood") from error
        for part in parts.values():
            if part.left_out.shape != train.shape or part.test.shape != test.shape:
                raise ProtocolError("the scores of a machine are of different lengths")
            if not (np.isfinite(part.left_out).all() and np.isfinite(part.test).all()):
                raise ProtocolError("the scores of a machine hold NaN or infinite values")
        return cls(parts, train, test)


class SharedScorer:
    """Scores clips of one machine by the ID classifier.

    The detector learns from all training clips in the embedding of each member; scores are averaged over
    the members. A training clip is scored by the member that was trained without it, against the other
    clips: so its score is what a new normal clip's would be, and tells how far the network can be trusted
    on this machine. Where one network saw everything, only the detector leaves the clip out.

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

    def fit(self, train: Sequence[Frames]) -> SharedScorer:
        """Learn the normal clips (T, D) of the machine."""
        config, members = self.classifier.config, self.classifier.members
        share = share_of(self.classifier.keys, self.key, clips=len(train), members=len(members))
        rows = np.arange(len(train))
        self.detectors_: list[dict[str, Grouped]] = []
        left_out: dict[str, list[NDArray[np.float64]]] = {}
        cosines = []
        for member in members:
            views, cosine = self._views(member, train)
            fitted = {kind: Grouped(_detector(config)).fit(view) for kind, view in views.items()}
            for kind, detector in fitted.items():
                left_out.setdefault(kind, []).append(detector.left_out_score())
            self.detectors_.append(fitted)
            cosines.append(cosine)

        def unseen(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
            stacked = np.stack(values)  # (members, N, …)
            return stacked.mean(axis=0) if share[0] < 0 else stacked[share, rows]

        self.left_out_ = {kind: unseen(values) for kind, values in left_out.items()}
        self.identified_ = unseen(cosines).argmax(axis=1) == self.classifier.keys.index(self.key)
        return self

    def score(self, test: Sequence[Frames]) -> MachineScores:
        """Score clips (T, D) of the machine."""
        scores = {kind: np.zeros(len(test)) for kind in self.left_out_}
        cosines = np.zeros((len(test), len(self.classifier.keys)))
        for member, fitted in zip(self.classifier.members, self.detectors_, strict=True):
            for row, frames in enumerate(
                test
            ):  # one by one: a score must not depend on those beside
                views, cosine = self._views(member, [frames])
                cosines[row] += cosine[0]
                for kind, view in views.items():
                    scores[kind][row] += fitted[kind].anomaly_score(view)[0] / len(self.detectors_)
        parts = {kind: ScorePair(self.left_out_[kind], scores[kind]) for kind in scores}
        named = cosines.argmax(axis=1) == self.classifier.keys.index(self.key)
        return MachineScores(parts, self.identified_, named)

    def _views(
        self, member: Any, clips: Sequence[Frames]
    ) -> tuple[dict[str, list[Windows]], NDArray[np.float64]]:
        """Return what the detectors see of each clip, and its cosines (B, K) to the machine IDs."""
        embedded = self.classifier.embed(member, clips)
        vectors: list[Windows] = list(embedded)
        if self.classifier.config.form == "sequence":  # one vector a clip
            vectors = [windows.mean(axis=0, keepdims=True) for windows in embedded]
        views = {"network": vectors}
        if self.classifier.config.linear:
            views["linear"] = list(self.classifier.mean_frames(member, clips)[:, None, :])
        return views, self.classifier.cosines(member, embedded)


def score_machine(
    classifier: IDClassifier, key: MachineKey, train: Sequence[Frames], test: Sequence[Frames]
) -> MachineScores:
    """Score the training and test clips (T, D) of one machine by the ID classifier."""
    return SharedScorer(classifier, key).fit(train).score(test)


def local_scores(train: Sequence[Frames], test: Sequence[Frames]) -> ScorePair:
    """Score the test clips of one machine by k-NN on mean embedding frames: what a site can do alone."""
    detector = Grouped(KNN()).fit(_means(train))
    return ScorePair(detector.left_out_score(), detector.anomaly_score(_means(test)))


def local_whitened_scores(train: Sequence[Frames], test: Sequence[Frames]) -> ScorePair:
    """Score as `local_scores`, the mean frames whitened by the site's own few clips (Ledoit and Wolf).

    A training clip's left-out score comes from a whitening that was measured without it.
    """
    own = np.concatenate(_means(train))
    others = np.concatenate([*_means(test), own[:0]])
    fold = np.arange(len(own)) % min(LOCAL_FOLDS, len(own))
    left_out, scores = np.zeros(len(own)), np.zeros(len(others))
    for number in np.unique(fold):
        seen = own[fold != number] if len(own) > 1 else own
        whitening = Whitening(own.shape[1]).fit_ledoit_wolf(seen)
        detector = Grouped(KNN()).fit(_whitened(whitening, own))
        left_out[fold == number] = detector.left_out_score()[fold == number]
        scores += detector.anomaly_score(_whitened(whitening, others)) / (fold.max() + 1)
    return ScorePair(left_out, scores)


def combined(parts: Mapping[str, ScorePair], *, combination: Combination = "maximum") -> ScorePair:
    """Make scores of several kinds one, each standardised by its own left-out scores.

    Of the standardised scores the highest counts, unless told otherwise. A part that does not know this
    machine's normal clips has large and scattered left-out scores, and thereby little say.
    """
    left_out = {kind: part.left_out for kind, part in parts.items()}
    fusion = Fusion(combination=combination).fit(left_out)
    test = fusion.combine({kind: part.test for kind, part in parts.items()})
    return ScorePair(fusion.combine(left_out), test)


def fused(shared: MachineScores, local: ScorePair, local_whitened: ScorePair) -> ScorePair:
    """Join what the network of all sites says with what the site hears alone, so that it loses nothing.

    The highest of three counts: the network, the site's whitened score, and the mean of its whitened and
    its plain score. The ``linear`` part stays out: it asks the site's own question (how far from the usual,
    in units of the usual spread?) with the pool's covariance; where the site can measure its own, that
    answers it better. The rule is ours; docs/results.md has the others that were tried.
    """
    both = combined({"plain": local, "whitened": local_whitened}, combination="sum")
    network = shared.parts["network"]
    return combined({"network": network, "whitened": local_whitened, "both": both})


def _detector(config: Config) -> Detector:
    if config.detector == "knn":
        return KNN(neighbours=config.neighbours)
    return create_detector(config.detector)


def _means(clips: Sequence[Frames]) -> list[NDArray[np.float64]]:
    return [frames.mean(axis=0, keepdims=True, dtype=np.float64) for frames in clips]


def _whitened(whitening: Whitening, vectors: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    with (
        torch.inference_mode()
    ):  # one by one: in a product of matrices a row depends on those beside
        return [
            whitening(torch.from_numpy(row[None].astype(np.float32))).numpy() for row in vectors
        ]
