"""Scores of clips from scores of their windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.base import Detector

Windows = NDArray[np.floating[Any]]
"""(W, D): the windows of one clip."""


class Grouped:
    """A detector on windows; a clip's score is the mean over its windows.

    Parameters
    ----------
    detector
        Any detector of vectors.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def fit(self, clips: Sequence[Windows]) -> Self:
        """Learn from the windows (W, D) of normal clips, W ≥ 1 free for each."""
        self.detector.fit(np.concatenate(list(clips)))
        self.groups_ = _groups(clips)
        return self

    def anomaly_score(self, clips: Sequence[Windows]) -> NDArray[np.float64]:
        """Return the score (B,) of each clip."""
        # Clip by clip: in a product of matrices the last digits of a row depend on those beside.
        return np.array([self.detector.anomaly_score(windows).mean() for windows in clips])

    def left_out_score(self) -> NDArray[np.float64]:
        """Return the score (N,) of each training clip, its own windows left out."""
        return _means(self.detector.left_out_score(self.groups_), self.groups_)


def _groups(clips: Sequence[Windows]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(clips)), [len(windows) for windows in clips])


def _means(scores: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.bincount(groups, weights=scores) / np.bincount(groups)
