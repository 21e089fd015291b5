"""The second step: Gaussian mixtures and nearest neighbours on the embeddings of normal segments."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import storage
from thrum.detectors.base import Detector
from thrum.detectors.gmm import GMM
from thrum.detectors.mahalanobis_knn import MahalanobisKNN
from thrum.systems.outlier_flow.config import Covariance, InlierData
from thrum.systems.outlier_flow.scoring import Measured

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What inlier models are fitted to.

    Parameters
    ----------
    vectors
        Embeddings (M, E) of segments.
    within
        (sum of S,), which of the training clips' segments these are; none of them if pseudo-target.
    """

    vectors: NDArray[np.float32]
    within: NDArray[np.bool_]


class InlierModels:
    """GMM and k-NN of every size on every choice of data (section 4.2), of one machine ID.

    Parameters
    ----------
    sizes
        Components and neighbours.
    covariance
        Of the GMMs.
    """

    def __init__(self, sizes: Sequence[int], covariance: Covariance = "diagonal") -> None:
        self.sizes = tuple(sizes)
        self.covariance: Covariance = covariance

    def fit(self, normal: Measured, choices: Mapping[str, Choice]) -> Self:
        """Learn from each choice of segments, and score the training clips themselves.

        Parameters
        ----------
        normal
            Of all N training clips.
        choices
            By name.
        """
        self.vectors_ = {kind: choice.vectors for kind, choice in choices.items()}
        self.detectors_: dict[str, Detector] = {}
        self.training_: dict[str, NDArray[np.float64]] = {}
        for kind, choice in choices.items():
            for name, detector in self._made(kind).items():
                self.detectors_[name] = detector
                segments = detector.anomaly_score(normal.embeddings)
                if choice.within.any():  # a clip must not be its own neighbour
                    own = normal.clips[choice.within]
                    segments[choice.within] = detector.left_out_score(own)
                self.training_[name] = normal.clip_means(segments)
        return self

    def scores(self, clips: Measured) -> dict[str, NDArray[np.float64]]:
        """Return the score (B,) of clips by each model."""
        return {
            name: clips.clip_means(_clip_by_clip(detector, clips))
            for name, detector in self.detectors_.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` needs: vectors for the k-NNs, the GMMs' parameters."""
        found = {f"vectors.{kind}": torch.from_numpy(v) for kind, v in self.vectors_.items()}
        for name, detector in self.detectors_.items():
            if isinstance(detector, GMM):
                found[f"{name}.weights"] = torch.from_numpy(detector.weights_)
                found[f"{name}.means"] = torch.from_numpy(detector.means_)
                found[f"{name}.variances"] = torch.from_numpy(detector.variances_)
        return found

    @classmethod
    def from_tensors(
        cls, sizes: Sequence[int], covariance: Covariance, tensors: dict[str, Tensor]
    ) -> Self:
        """Return the models of `tensors`, ready to score."""
        models = cls(sizes, covariance)
        models.vectors_ = {
            name: value.numpy() for name, value in storage.under(tensors, "vectors").items()
        }
        models.detectors_ = {}
        for kind in models.vectors_:
            for size in models.sizes:
                mixture = GMM(components=size, covariance=covariance)
                mixture.weights_, mixture.means_, mixture.variances_ = (
                    tensors[f"gmm-{size}-{kind}.{part}"].numpy()
                    for part in ("weights", "means", "variances")
                )
                models.detectors_[f"gmm-{size}-{kind}"] = mixture
            models.detectors_ |= models._neighbours(kind)
        return models

    def _made(self, kind: str) -> dict[str, Detector]:
        mixtures: dict[str, Detector] = {
            f"gmm-{size}-{kind}": GMM(components=size, covariance=self.covariance).fit(
                self.vectors_[kind]
            )
            for size in self.sizes
        }
        return mixtures | self._neighbours(kind)

    def _neighbours(self, kind: str) -> dict[str, Detector]:
        fitted = MahalanobisKNN().fit(self.vectors_[kind])  # one covariance for all sizes
        found: dict[str, Detector] = {}
        for size in self.sizes:
            own = copy.copy(fitted)
            own.neighbours = size
            found[f"knn-{size}-{kind}"] = own
        return found


def possible_data(
    wanted: Sequence[InlierData], target: NDArray[np.bool_], *, name: str
) -> tuple[InlierData, ...]:
    """Return what of `wanted` there can be for N segments, of which some are of the target domain (N,).

    Without both domains, "source" and "both" are the same, and there is no pseudo-target. One source
    segment, and the one pseudo-target that is made of it, have no covariance.
    """
    if target.all() or not target.any():
        _log.info("%s has clips of one domain only: inlier models are fitted to all of them", name)
        return ("both",)
    if np.count_nonzero(~target) > 1:
        return tuple(wanted)
    _log.info("%s has one source segment only: inlier models are fitted to both domains", name)
    return ("both",)


def _clip_by_clip(detector: Detector, clips: Measured) -> NDArray[np.float64]:
    """Return the scores (sum of S,) of segments; in one product of matrices they would touch each other."""
    ends = np.flatnonzero(np.diff(clips.clips)) + 1  # segments of a clip stand together
    own = np.split(clips.embeddings, ends) if len(clips.clips) else []
    return np.concatenate([np.zeros(0), *(detector.anomaly_score(one) for one in own)])
