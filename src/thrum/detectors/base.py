"""The contract of all detectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError, NotFittedError
from thrum.registry import Registry

Vectors = NDArray[np.floating[Any]]
"""(B, D)."""


class Detector(ABC):
    """Learns from vectors of normal sound, then says how anomalous others are; higher is more anomalous.

    The order of rows does not matter, fitting again forgets, scoring changes nothing, and scoring before
    fitting is a `NotFittedError`.
    """

    @abstractmethod
    def fit(self, X: Vectors) -> Self:
        """Learn from normal vectors (N, D)."""

    @abstractmethod
    def anomaly_score(self, X: Vectors) -> NDArray[np.float64]:
        """Return the anomaly score (B,) of vectors (B, D)."""

    @abstractmethod
    def left_out_score(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score the training vectors themselves (N,), each without the vectors of its own group (N,).

        These are what a normal clip's scores will be like, with no clip held back: the scale on which
        scores of different kinds are brought together and thresholds are set.
        """

    def _checked(self, X: Vectors) -> NDArray[np.float64]:
        """Return `X` as float64 (B, D), or raise a `DataError` that says what is wrong with it."""
        vectors: NDArray[np.float64] = np.asarray(X, dtype=np.float64)
        name = type(self).__name__
        if vectors.ndim != 2:
            raise DataError(f"{name} wants vectors (B, D), got an array of shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise DataError(f"{name} got vectors with NaN or infinite values")
        return vectors

    def _require_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(f"{type(self).__name__} was asked for scores before fit")


DETECTORS: Registry[Detector] = Registry(
    "detector",
    {
        "gmm": "thrum.detectors.gmm:GMM",
        "knn": "thrum.detectors.knn:KNN",
        "local_density": "thrum.detectors.local_density:LocalDensity",
        "lof": "thrum.detectors.lof:LOF",
        "mahalanobis": "thrum.detectors.mahalanobis:Mahalanobis",
        "mahalanobis_knn": "thrum.detectors.mahalanobis_knn:MahalanobisKNN",
    },
)


def create_detector(name: str, **settings: Any) -> Detector:
    """Return the detector called `name` (or ``module:Class``) with the given settings."""
    return DETECTORS.load(name)(**settings)
