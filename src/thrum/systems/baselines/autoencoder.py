"""The official autoencoder baseline of DCASE task 2, 2020 to 2025, as a System.

What it cannot put together again from eight numbers it has not heard before. One network a machine type;
the scores are the mean squared error, and the selective Mahalanobis distance of the first-shot baseline
(Harada et al., EUSIPCO 2023, arXiv 2303.00455).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import config as configs
from thrum import storage
from thrum.detectors.threshold import gamma_threshold
from thrum.embedders.store import EmbeddingStore
from thrum.errors import ConfigError, DataError, NotFittedError, StorageError
from thrum.networks.autoencoder import DenseAutoencoder
from thrum.systems.base import System
from thrum.systems.baselines.frames import embedded
from thrum.systems.baselines.residuals import METHODS, Covariances, clip_scores, precision_of
from thrum.systems.baselines.windows import Windows
from thrum.training import device_of, train
from thrum.types import Clip, Scores

MachineKey = tuple[str, str]


@dataclass(frozen=True)
class Config:
    """Settings of the autoencoder; the defaults are those of the baselines of 2023 and later.

    Parameters
    ----------
    embedder
        What gives the frames: 128 mel bands in dB, FFT and window 1024, hop 512. Rows of ``.npz`` files are
        taken as they are.
    stack_frames
        Successive frames in one input.
    width, bottleneck
        Of the network.
    score
        What the system acts on: ``mse``; ``mahalanobis``, of a clip's mean residual frame, as the
        organisers' code has it; or ``mahalanobis_per_frame``, the mean over frames, as they print it. All are
        computed.
    epochs, learning_rate
        Of Adam.
    batch_size
        256 since 2023; the baselines until 2022 used 512.
    decision_quantile
        The share of training clips that raises no alarm.
    """

    embedder: str = "logmel"
    stack_frames: int = 5
    width: int = 128
    bottleneck: int = 8
    score: Literal["mse", "mahalanobis", "mahalanobis_per_frame"] = "mse"
    epochs: int = 100
    learning_rate: float = 1e-3
    batch_size: int = 256
    decision_quantile: float = 0.9

    def __post_init__(self) -> None:
        fewest = {"stack_frames": 1, "width": 1, "bottleneck": 1, "epochs": 1, "batch_size": 2}
        for name, least in fewest.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, wanted at least {least}")
        if not 0 < self.decision_quantile < 1:
            raise ConfigError(
                f"decision_quantile is {self.decision_quantile}, wanted between 0 and 1"
            )


@dataclass(frozen=True)
class Fitted:
    """What was learnt of one machine type.

    Parameters
    ----------
    machine_ids
        Sorted.
    network
        In evaluation mode.
    precisions
        The inverse covariance (F, F) of residual frames: of the source domain and of the target domain, or
        one where domains are not known; (1 or 2, F, F).
    thresholds
        By method.
    """

    machine_ids: tuple[str, ...]
    network: DenseAutoencoder
    precisions: NDArray[np.float64]
    thresholds: dict[str, float]


class AutoencoderBaseline(System):
    """One autoencoder a machine type, which all its machine IDs share, as the organisers train it.

    The scores offered are ``mse``, ``mahalanobis`` and ``mahalanobis_per_frame``; `Config.score` selects.
    """

    Config: ClassVar[type[Config]] = Config

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train a network on each machine type, then measure what it leaves over."""
        types = _by_type(clips)
        if not types:
            raise DataError("the autoencoder wants training clips, got none")
        fitted: dict[str, Fitted] = {}
        with self._embedded([clip for own in types.values() for clip in own]) as store:
            for machine, own in types.items():
                fitted[machine] = self._fit_type(machine, own, store, number=len(fitted))
        self.fitted_ = fitted
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        known = self.machine_keys
        for clip in clips:
            if clip.machine_key not in known:
                names = ", ".join("/".join(key) for key in known)
                raise DataError(f"{'/'.join(clip.machine_key)} was not learnt; there are: {names}")
        rows = np.zeros((len(clips), len(METHODS)))
        with self._embedded(clips) as store:
            for row, clip in enumerate(clips):
                fitted = self.fitted_[clip.machine]
                residuals = self._residuals(fitted.network, store, clip)
                rows[row] = clip_scores(residuals, fitted.precisions)
                if self.progress is not None:
                    self.progress("score", row + 1, len(clips))
        columns = {method: rows[:, number] for number, method in enumerate(METHODS)}
        return Scores(clips, columns, self.config.score)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        return [
            (machine, machine_id)
            for machine, fitted in self._learnt()
            for machine_id in fitted.machine_ids
        ]

    @property
    def thresholds(self) -> dict[MachineKey, float]:
        """The gamma distribution's percentile of the training clips' scores, one a machine type."""
        return {
            (machine, machine_id): fitted.thresholds[self.config.score]
            for machine, fitted in self._learnt()
            for machine_id in fitted.machine_ids
        }

    def save(self, folder: Path) -> None:
        """Write the networks, what they leave over of each machine type, and the thresholds."""
        tensors, machines = {}, []
        for number, (machine, fitted) in enumerate(self._learnt()):
            for name, value in fitted.network.state_dict().items():
                tensors[f"{number}.network.{name}"] = value
            tensors[f"{number}.precisions"] = torch.from_numpy(fitted.precisions)
            machines.append(
                {
                    "machine": machine,
                    "machine_ids": list(fitted.machine_ids),
                    "thresholds": fitted.thresholds,
                }
            )
        description = {
            "system": "autoencoder",
            "seed": self.seed,
            "config": configs.to_mapping(self.config),
            "machines": machines,
        }
        storage.save_state(folder, tensors, description)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote."""
        tensors, description = storage.load_state(folder)
        try:
            config = configs.from_mapping(Config, description["config"], where=str(folder))
            system = cls(config, seed=description["seed"], device=device)
            system.fitted_ = {}
            for number, known in enumerate(description["machines"]):
                precisions = tensors[f"{number}.precisions"].numpy()
                network = system._network(precisions.shape[-1])
                prefix = f"{number}.network."
                network.load_state_dict(
                    {
                        name.removeprefix(prefix): value
                        for name, value in tensors.items()
                        if name.startswith(prefix)
                    }
                )
                system.fitted_[known["machine"]] = Fitted(
                    tuple(known["machine_ids"]), network, precisions, dict(known["thresholds"])
                )
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise StorageError(f"{folder} does not hold an autoencoder: {error}") from error
        return system

    def _learnt(self) -> list[tuple[str, Fitted]]:
        """Return what was learnt of each machine type, sorted."""
        if not hasattr(self, "fitted_"):
            raise NotFittedError("AutoencoderBaseline was asked for scores before fit")
        return sorted(self.fitted_.items())

    def _fit_type(
        self, machine: str, clips: Sequence[Clip], store: EmbeddingStore, *, number: int
    ) -> Fitted:
        config = self.config
        windows = Windows(
            [store.frames(clip) for clip in clips],
            names=[str(clip.path) for clip in clips],
            stack=config.stack_frames,
            device=device_of(self.device),
        )
        if len(windows) < 2:
            raise DataError(f"{machine} has one input of {config.stack_frames} frames, wanted two")
        torch.manual_seed(self.seed)
        network = self._network(windows.bands)

        def batches(epoch: int, random: np.random.Generator) -> Iterator[Tensor]:
            order = random.permutation(len(windows))
            for start in range(
                0, len(order) - 1, config.batch_size
            ):  # never one alone: no variance
                yield windows.batch(order[start : start + config.batch_size])

        def loss_of(batch: Tensor) -> Tensor:
            return torch.nn.functional.mse_loss(network(batch), batch)

        train(
            network,
            batches=batches,
            loss_of=loss_of,
            optimizer=torch.optim.Adam(network.parameters(), lr=config.learning_rate),
            epochs=config.epochs,
            seed=self.seed,
            checkpoint=self.folder and self.folder / f"training-{number}.safetensors",
            fingerprint=self._fingerprint(machine, clips, store),
            progress=self.progress,
            stage=f"autoencoder of {machine}",
        )
        return self._measured(network, clips, store)

    def _measured(
        self, network: DenseAutoencoder, clips: Sequence[Clip], store: EmbeddingStore
    ) -> Fitted:
        """Return the network with the covariances and the thresholds of its training clips."""
        covariances = Covariances()
        for clip in clips:
            covariances.add(
                self._residuals(network, store, clip), is_target=clip.domain == "target"
            )
        precisions = np.stack([precision_of(each) for each in covariances.found()])
        scores = np.stack(
            [clip_scores(self._residuals(network, store, clip), precisions) for clip in clips]
        )  # (N, methods)
        thresholds = {
            method: gamma_threshold(scores[:, column], quantile=self.config.decision_quantile)
            for column, method in enumerate(METHODS)
        }
        machine_ids = tuple(sorted({clip.machine_id for clip in clips}))
        return Fitted(machine_ids, network, precisions, thresholds)

    @torch.inference_mode()
    def _residuals(
        self, network: DenseAutoencoder, store: EmbeddingStore, clip: Clip
    ) -> NDArray[np.float64]:
        """Return what the network leaves over of a clip, frame by frame: (W · stack, F)."""
        windows = Windows(
            [store.frames(clip)],
            names=[str(clip.path)],
            stack=self.config.stack_frames,
            device=device_of(self.device),
        )
        inputs = windows.batch(np.arange(len(windows)))  # (W, stack · F)
        residuals = (network(inputs) - inputs).reshape(-1, windows.bands)
        return np.asarray(residuals.cpu().numpy(), np.float64)

    def _network(self, bands: int) -> DenseAutoencoder:
        config = self.config
        network = DenseAutoencoder(
            config.stack_frames * bands, width=config.width, bottleneck=config.bottleneck
        )
        return network.eval().to(device_of(self.device))

    def _fingerprint(self, machine: str, clips: Sequence[Clip], store: EmbeddingStore) -> str:
        """Return what training depends on: settings, seed, and shape and end frames of each clip."""
        settings = replace(self.config, score="mse", decision_quantile=0.9)  # play no part in it
        digest = hashlib.sha256(f"{settings} {self.seed} {machine}".encode())
        for clip in clips:
            frames = store.frames(clip)
            digest.update(f"{clip.name} {frames.shape}".encode())
            digest.update(np.ascontiguousarray(frames[[0, -1]]).tobytes())
        return digest.hexdigest()

    def _embedded(self, clips: Sequence[Clip]) -> AbstractContextManager[EmbeddingStore]:
        return embedded(
            clips,
            self.config.embedder,
            folder=self.folder,
            device=device_of(self.device),
            progress=self.progress,
        )


def _by_type(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    types: dict[str, list[Clip]] = {}
    for clip in clips:
        types.setdefault(clip.machine, []).append(clip)
    return dict(sorted(types.items()))
