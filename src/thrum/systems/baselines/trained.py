"""What the baselines that train a network share: windows of frames in, scores of a clip out.

A baseline says what its network is, what the loss of a batch, and what the scores of a clip. Which clips
share a network, training that goes on where it was killed, thresholds and storage are the same for all.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thrum import config as configs
from thrum import storage
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import ConfigError, DataError, NotFittedError, ThrumError
from thrum.systems.base import System
from thrum.systems.baselines.frames import FrameSource, embedded
from thrum.systems.baselines.windows import Windows
from thrum.training import device_of, train, uncompiled
from thrum.types import Clip, Scores

MachineKey = tuple[str, str]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class TrainedConfig:
    """Settings of every baseline that trains; each gives its own defaults.

    Parameters
    ----------
    score
        What the system acts on, of the scores that it offers. All are computed.
    embedder
        What gives the frames: 128 mel bands in dB, FFT and window 1024, hop 512. Rows of ``.npz`` files are
        taken as they are.
    stack_frames, hop_frames
        Successive frames in one input, and frames from one input to the next.
    network_per
        Which clips share a network: those of one ``machine_id``, of one ``machine_type``, or ``all``.
    epochs, learning_rate, batch_size
        Of Adam.
    decision_quantile
        The share of training clips that raises no alarm.
    """

    score: str
    embedder: str = "logmel"
    stack_frames: int = 5
    hop_frames: int = 1
    network_per: Literal["machine_id", "machine_type", "all"] = "machine_id"
    epochs: int = 100
    learning_rate: float = 1e-3
    batch_size: int = 256
    decision_quantile: float = 0.9

    def __post_init__(self) -> None:
        configs.require_at_least(self, stack_frames=1, hop_frames=1, epochs=1, batch_size=2)
        configs.require_positive(self, "learning_rate")
        if not 0 < self.decision_quantile < 1:
            raise ConfigError(
                f"decision_quantile is {self.decision_quantile}, wanted between 0 and 1"
            )


@dataclass(frozen=True)
class Fitted(Generic[Network]):
    """What was learnt of the machine IDs that share a network.

    Parameters
    ----------
    keys
        The machine IDs, sorted.
    network
        In evaluation mode.
    bands
        F, of the frames.
    statistics
        What the scores need beside, by name.
    thresholds
        By method.
    """

    keys: tuple[MachineKey, ...]
    network: Network
    bands: int
    statistics: dict[str, NDArray[np.float64]]
    thresholds: dict[str, float]


class TrainedBaseline(System, Generic[Network]):
    """A network over windows of frames; a clip's scores are made of those of its windows."""

    methods: ClassVar[tuple[str, ...]]
    fitted_: dict[str, Fitted[Network]]

    @abstractmethod
    def _network(self, bands: int, keys: Sequence[MachineKey]) -> Network:
        """Return a network, just made, for frames of F values of these machine IDs."""

    @abstractmethod
    def _loss(self, network: Network, windows: Tensor, owners: Tensor) -> Tensor:
        """Return the loss of windows (B, T, F); `owners` (B,) numbers the machine ID of each."""

    @abstractmethod
    def _clip_scores(
        self, fitted: Fitted[Network], windows: Tensor, owner: int
    ) -> NDArray[np.float64]:
        """Return the scores of a clip, as `methods` lists them, from its windows (W, T, F)."""

    def _statistics(
        self, network: Network, clips: Iterable[tuple[Clip, Tensor]]
    ) -> dict[str, NDArray[np.float64]]:
        """Return what the scores need of the training clips, each with its windows (W, T, F)."""
        return {}

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train the networks, then score the training clips for the thresholds."""
        groups: dict[str, list[Clip]] = {}
        for clip in clips:
            groups.setdefault(self._group_of(clip), []).append(clip)
        if not groups:
            raise DataError(f"{self.name} wants training clips, got none")
        fitted: dict[str, Fitted[Network]] = {}
        with self._embedded([clip for own in groups.values() for clip in own]) as store:
            for group, own in sorted(groups.items()):
                fitted[group] = self._fit_group(group, own, store, number=len(fitted))
        self.fitted_ = fitted
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        rows = np.zeros((len(clips), len(self.methods)))
        with self._embedded(clips) as store:
            for row, clip in enumerate(clips):
                rows[row] = self._scored(self.fitted_[self._group_of(clip)], clip, store)
                if self.progress is not None:
                    self.progress("score", row + 1, len(clips))
        columns = {method: rows[:, number] for number, method in enumerate(self.methods)}
        return Scores(clips, columns, self.config.score)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        return sorted(key for fitted in self._learnt().values() for key in fitted.keys)

    @property
    def thresholds(self) -> dict[MachineKey, float]:
        """The gamma distribution's percentile of the training clips' scores, one a network."""
        return {
            key: fitted.thresholds[self.config.score]
            for fitted in self._learnt().values()
            for key in fitted.keys
        }

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, groups = {}, []
        for number, (group, fitted) in enumerate(self._learnt().items()):
            for name, value in fitted.network.state_dict().items():
                tensors[f"{number}.network.{name}"] = value
            for name, array in fitted.statistics.items():
                tensors[f"{number}.statistics.{name}"] = torch.from_numpy(array)
            groups.append(
                {
                    "group": group,
                    "keys": [list(key) for key in fitted.keys],
                    "bands": fitted.bands,
                    "thresholds": fitted.thresholds,
                }
            )
        return tensors, {"groups": groups}

    def _restore(self, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
        self.fitted_ = {}
        for number, known in enumerate(described["groups"]):
            keys = tuple((machine, machine_id) for machine, machine_id in known["keys"])
            own = storage.under(tensors, str(number))
            network = self._made(known["bands"], keys)
            network.load_state_dict(storage.under(own, "network"))
            statistics = {
                name: value.numpy() for name, value in storage.under(own, "statistics").items()
            }
            self.fitted_[known["group"]] = Fitted(
                keys, network, known["bands"], statistics, dict(known["thresholds"])
            )

    def _learnt(self) -> dict[str, Fitted[Network]]:
        if not hasattr(self, "fitted_"):
            raise NotFittedError(f"{type(self).__name__} was asked for scores before fit")
        return self.fitted_

    def _group_of(self, clip: Clip) -> str:
        """Return the name of the clips that share a network with this one."""
        if self.config.network_per == "machine_id":
            return "/".join(clip.machine_key)
        return clip.machine if self.config.network_per == "machine_type" else "all machines"

    def _fit_group(
        self, group: str, clips: Sequence[Clip], store: FrameSource, *, number: int
    ) -> Fitted[Network]:
        config = self.config
        keys = tuple(sorted({clip.machine_key for clip in clips}))
        longest = max(clips, key=lambda clip: len(store.frames(clip)))
        if len(store.frames(longest)) < config.stack_frames:
            raise DataError(
                f"{longest.path} has {len(store.frames(longest))} frames, one input takes "
                f"{config.stack_frames}, and no clip of {group} has more: set stack_frames"
            )
        windows = self._windows(clips, store)
        if len(windows) < 2:
            raise DataError(f"{group} has one input of {config.stack_frames} frames, wanted two")
        owners = np.array([keys.index(clip.machine_key) for clip in clips])[windows.owners]
        torch.manual_seed(self.seed)
        network = self._made(windows.bands, keys)

        def batches(epoch: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
            order = random.permutation(len(windows))
            # Never a batch of one: it has no variance to normalise by.
            for start in range(0, len(order) - 1, config.batch_size):
                rows = order[start : start + config.batch_size]
                batch = windows.batch(rows)
                yield batch, torch.from_numpy(owners[rows]).to(batch.device)

        train(
            network,
            batches=batches,
            loss_of=lambda batch: self._loss(network, *batch),
            optimizer=uncompiled(torch.optim.Adam)(
                network.parameters(), lr=config.learning_rate, fused=True
            ),
            epochs=config.epochs,
            seed=self.seed,
            checkpoint=self.folder and self.folder / f"training-{number}.safetensors",
            fingerprint=self._fingerprint(group, clips, store),
            progress=self.progress,
            stage=f"{self.name} of {group}",
        )
        with torch.inference_mode():
            statistics = self._statistics(
                network, ((clip, self._all_windows(clip, store)) for clip in clips)
            )
        fitted = Fitted(keys, network, windows.bands, statistics, {})
        scores = np.stack([self._scored(fitted, clip, store) for clip in clips])  # (N, methods)
        thresholds = {
            method: gamma_threshold(scores[:, column], quantile=config.decision_quantile)
            for column, method in enumerate(self.methods)
        }
        return replace(fitted, thresholds=thresholds)

    @torch.inference_mode()
    def _scored(
        self, fitted: Fitted[Network], clip: Clip, store: FrameSource
    ) -> NDArray[np.float64]:
        owner = fitted.keys.index(clip.machine_key)
        scores = self._clip_scores(fitted, self._all_windows(clip, store), owner)
        if not np.isfinite(scores).all():
            raise ThrumError(
                f"the score of {clip.name} is not finite: train {self.name} again, at a lower "
                f"learning_rate"
            )
        return scores

    def _windows(self, clips: Sequence[Clip], store: FrameSource) -> Windows:
        return Windows(
            [store.frames(clip) for clip in clips],
            names=[str(clip.path) for clip in clips],
            stack=self.config.stack_frames,
            hop=self.config.hop_frames,
            device=device_of(self.device),
        )

    def _all_windows(self, clip: Clip, store: FrameSource) -> Tensor:
        windows = self._windows([clip], store)
        return windows.batch(np.arange(len(windows)))

    def _made(self, bands: int, keys: Sequence[MachineKey]) -> Network:
        return self._network(bands, keys).eval().to(device_of(self.device))

    def _fingerprint(self, group: str, clips: Sequence[Clip], store: FrameSource) -> str:
        """Return what training depends on: settings, seed, and all frames of each clip."""
        # These two play no part in it.
        settings = replace(self.config, score=self.methods[0], decision_quantile=0.9)
        digest = hashlib.sha256(f"{settings} {self.seed} {group}".encode())
        for clip in clips:
            frames = store.frames(clip)
            digest.update(f"{clip.machine_key} {clip.name} {frames.shape}".encode())
            digest.update(storage.content_of(frames))
        return digest.hexdigest()

    def _embedded(self, clips: Sequence[Clip]) -> AbstractContextManager[FrameSource]:
        return embedded(
            clips,
            self.config.embedder,
            folder=self.folder,
            device=device_of(self.device),
            progress=self.progress,
        )
