"""k-NN on a clip's mean frame: what frozen embeddings, or log-mel alone, can do without training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import config as configs
from thrum.detectors.knn import KNN
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import DataError, NotFittedError
from thrum.systems.base import System
from thrum.systems.baselines.frames import FrameSource, embedded
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine, rows_by_machine

MachineKey = tuple[str, str]


@dataclass(frozen=True)
class Config:
    """Settings of the k-NN baseline.

    Parameters
    ----------
    embedder
        Any embedder; the default is the spectrogram of the official baselines. Rows of ``.npz`` files
        are taken as they are.
    score
        What the system acts on: distances of the frames' ``mean``, or of their ``mean_deviation``, that is
        mean and standard deviation one after the other. Both are computed.
    neighbours, metric
        Of the k-NN: the embedding-sharing paper's two (section V-B), Euclidean.
    """

    embedder: str = "logmel"
    score: Literal["mean", "mean_deviation"] = "mean"
    neighbours: int = 2
    metric: Literal["euclidean", "cosine"] = "euclidean"

    def __post_init__(self) -> None:
        configs.require_at_least(self, neighbours=1)


class NearestNeighbours(System):
    """Each machine ID's test clips against its own training clips; nothing is learnt, nothing random."""

    name = "knn"
    Config: ClassVar[type[Config]] = Config

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Keep mean and deviation of each training clip."""
        groups = group_by_machine(clips)
        ordered = [clip for own in groups.values() for clip in own]
        if not ordered:
            raise DataError("k-NN wants at least one training clip, got none")
        vectors: dict[MachineKey, NDArray[np.float32]] = {}
        files: dict[MachineKey, NDArray[np.int64]] = {}
        with self._embedded(ordered) as store:
            for key, own in group_by_machine(clips).items():
                vectors[key], files[key] = _statistics(store, own), files_of(own)
                if self.progress is not None:
                    self.progress("k-NN", len(vectors), len(groups))
        self.vectors_, self.files_ = vectors, files
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        columns = {method: np.zeros(len(clips)) for method in ("mean", "mean_deviation")}
        with self._embedded(clips) as store:
            for key, rows in rows_by_machine(clips).items():
                train = self.vectors_[key]
                test = _statistics(store, [clips[row] for row in rows])
                self._require_alike(key, train, test)
                for method, column in columns.items():
                    detector = self._detector(train, method)
                    # One by one: a distance's last digits would depend on the clips beside.
                    column[rows] = [
                        detector.anomaly_score(_part(one[None], method))[0] for one in test
                    ]
        return Scores(clips, columns, self.config.score)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        if not hasattr(self, "vectors_"):
            raise NotFittedError("NearestNeighbours was asked for scores before fit")
        return sorted(self.vectors_)

    @property
    def thresholds(self) -> dict[MachineKey, float]:
        """The gamma distribution's 90th percentile of the training clips' left-out scores."""
        return {
            key: gamma_threshold(scores)
            for key, scores in self.left_out_scores().items()
            if len(scores) > 0
        }

    @property
    def wants_held_out(self) -> bool:
        """No: a clip is left out by taking its vector away."""
        return False

    @property
    def refits(self) -> bool:
        """Yes: clips are compared with others."""
        return True

    def left_out_scores(self) -> dict[MachineKey, NDArray[np.float64]]:
        """Return, by machine ID, the distances (N,) of the training clips to the nearest *others*.

        None of a machine ID with one training clip, which has no other.
        """
        found = {}
        for key in self.machine_keys:
            train = self.vectors_[key]
            left_out = self._detector(train, self.config.score).left_out_score(
                np.arange(len(train))
            )
            found[key] = left_out if len(train) > 1 else np.zeros(0)
        return found

    def adapted(
        self, key: MachineKey, *, dropped: Sequence[int] = (), added: Sequence[Clip] = ()
    ) -> Self:
        """Return k-NN among other training clips of a machine ID; see `System.adapted`."""
        self._require_learnt(added)
        vectors = np.delete(self.vectors_[key], list(dropped), axis=0)
        files = np.delete(self.files_[key], list(dropped))
        if added:
            with self._embedded(added) as store:
                new = _statistics(store, added)
            self._require_alike(key, vectors, new)
            vectors = np.concatenate([vectors, new])
            files = np.concatenate([files, 1 + self.files_[key].max() + files_of(added)])
        if len(vectors) == 0:
            raise DataError(f"{'/'.join(key)} would have no normal clip left: add some first")
        other = copy.copy(self)
        other.vectors_ = {**self.vectors_, key: vectors}
        other.files_ = {**self.files_, key: files}
        return other

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        keys = self.machine_keys
        tensors = {
            str(number): torch.from_numpy(self.vectors_[key]) for number, key in enumerate(keys)
        }
        for number, key in enumerate(keys):
            tensors[f"{number}.files"] = torch.from_numpy(self.files_[key])
        return tensors, {"keys": [list(key) for key in keys]}

    def _restore(self, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
        self.vectors_ = {
            (machine, machine_id): tensors[str(number)].numpy()
            for number, (machine, machine_id) in enumerate(described["keys"])
        }
        self.files_ = {
            key: tensors[f"{number}.files"].numpy()
            if f"{number}.files" in tensors
            else np.arange(len(vectors))
            for number, (key, vectors) in enumerate(self.vectors_.items())
        }

    @staticmethod
    def _require_alike(
        key: MachineKey, train: NDArray[np.float32], test: NDArray[np.float32]
    ) -> None:
        if test.shape[1] != train.shape[1]:
            raise DataError(
                f"frames of {'/'.join(key)} have {test.shape[1] // 2} dimensions, those learnt "
                f"have {train.shape[1] // 2}: score what was embedded likewise"
            )

    def _detector(self, train: NDArray[np.float32], method: str) -> KNN:
        detector = KNN(neighbours=self.config.neighbours, metric=self.config.metric)
        return detector.fit(_part(train, method))

    def _embedded(self, clips: Sequence[Clip]) -> AbstractContextManager[FrameSource]:
        return embedded(
            clips,
            self.config.embedder,
            folder=self.folder,
            device=device_of(self.device),
            progress=self.progress,
        )


def files_of(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Return the number (N,) of the recording that each clip is cut from; of features, of each row."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault((c.path, c.row), len(numbers)) for c in clips], np.int64)


def _statistics(store: FrameSource, clips: Sequence[Clip]) -> NDArray[np.float32]:
    """Return mean and standard deviation (B, 2 D) of the frames of each clip."""
    rows = []
    for clip in clips:
        frames = np.asarray(store.frames(clip), np.float64)  # (T, D)
        rows.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))
    return np.stack(rows).astype(np.float32)


def _part(vectors: NDArray[np.float32], method: str) -> NDArray[np.float32]:
    """Return what `method` compares of vectors (B, 2 D): the mean, or all."""
    return vectors[:, : vectors.shape[1] // 2] if method == "mean" else vectors
