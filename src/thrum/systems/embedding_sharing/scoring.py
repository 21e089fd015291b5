"""Anomaly scores of one machine's clips, from its own embeddings and from the ID classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import create_detector
from thrum.detectors.fusion import Fusion
from thrum.detectors.grouped import Grouped
from thrum.detectors.knn import KNN
from thrum.errors import ProtocolError
from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.pool import Frames, MachineKey

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MachineScores:
    """What the collaboration says of one machine's clips.

    Parameters
    ----------
    left_out
        Anomaly scores (N,) of the training clips, each scored without itself.
    test
        Anomaly scores (B,) of the test clips.
    train_identified, test_identified
        Whether the classifier names the machine ID of each clip rightly, (N,) and (B,).
    """

    left_out: Vector
    test: Vector
    train_identified: NDArray[np.bool_]
    test_identified: NDArray[np.bool_]

    def accuracy(self, normal: Sequence[bool]) -> float:
        """Return the share of normal clips whose ID is named rightly (paper, section V-C).

        `normal` (B,) says which test clips are; where none is, the training clips are asked.
        """
        test = self.test_identified[np.asarray(normal, dtype=bool)]
        return float(test.mean() if len(test) else self.train_identified.mean())

    def message(self) -> dict[str, Any]:
        """Return the scores as plain lists."""
        return {
            "left_out": self.left_out.tolist(),
            "test": self.test.tolist(),
            "train_identified": self.train_identified.tolist(),
            "test_identified": self.test_identified.tolist(),
        }

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> MachineScores:
        """Read what `message` wrote."""
        try:
            scores = [np.asarray(message[name], dtype=float) for name in ("left_out", "test")]
            named = [
                np.asarray(message[name], dtype=bool)
                for name in ("train_identified", "test_identified")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError("the scores of a machine are not understood") from error
        if not all(np.isfinite(column).all() for column in scores):
            raise ProtocolError("the scores of a machine hold NaN or infinite values")
        return cls(scores[0], scores[1], named[0], named[1])
