"""The multitask conformer in one place, as a System."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import config as configs
from thrum import storage
from thrum.errors import ConfigError, DataError, NotFittedError, StorageError
from thrum.evaluation.report import EmbeddingMaps
from thrum.features.augment import Augmentation
from thrum.systems.base import System
from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.fitting import Target, fit_network
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import MultitaskNetwork, Sizes
from thrum.systems.multitask_conformer.scoring import COMBINATIONS, Evaluator, Readings
from thrum.systems.multitask_conformer.selection import proxy_aucs, selected
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine

MachineKey = tuple[str, str]
COMBINED = "combined"

_log = logging.getLogger(__name__)


@dataclass
class TypeModel:
    """What was learnt of one machine type.

    Parameters
    ----------
    network
        Encoder and heads.
    evaluators
        Of each machine ID, by its name, in the order of their numbers.
    combination
        Which scores to act on.
    """

    network: MultitaskNetwork
    evaluators: dict[str, Evaluator]
    combination: str


class MultitaskConformer(System):
    """One network a machine type, which knows its machine IDs from each other and from other types.

    The scores offered are ``out``, ``arc``, ``maha``, their sums, all standardised, and ``combined``, the
    one of these seven that was selected for the machine type.
    """

    Config: ClassVar[type[Config]] = Config

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train a network for each machine type; learn what is usual of each machine ID."""
        groups = group_by_machine(clips)
        if not groups:
            raise DataError("the multitask conformer wants normal training clips, got none")
        ordered = [clip for own in groups.values() for clip in own]
        keys = np.repeat(np.arange(len(groups)), [len(own) for own in groups.values()])
        models: dict[str, TypeModel] = {}
        self.losses_: dict[str, list[float]] = {}
        with self._spectrograms(ordered) as spectrograms:
            if not spectrograms.recorded:
                _log.warning(
                    "these clips are features, not recordings: changes of pitch, tempo, time, loudness "
                    "and noise are made on the spectrogram"
                )
            for machine in sorted({machine for machine, _ in groups}):
                own = [number for number, key in enumerate(groups) if key[0] == machine]
                target = _target(machine, keys, own)
                models[machine] = self._fitted(target, list(groups), own, spectrograms)
        self.models_ = models
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_known(clips)
        columns = {method: np.zeros(len(clips)) for method in (*COMBINATIONS, COMBINED)}
        if clips:
            with self._spectrograms(clips) as spectrograms:
                for (machine, machine_id), rows in _rows(clips).items():
                    model = self.models_[machine]
                    readings = _read(model.network, spectrograms, rows)
                    scores = model.evaluators[machine_id].score(readings)
                    for name in COMBINATIONS:
                        columns[name][rows] = scores[name]
                    columns[COMBINED][rows] = scores[model.combination]
        return Scores(clips, columns, self.config.score)

    def embedding_maps(self, clips: Iterable[Clip]) -> EmbeddingMaps:
        """Return clips as their mean log-mel spectrum and as their type's network sees them (figure 2)."""
        clips = list(clips)
        self._require_known(clips)
        features = np.zeros((len(clips), self.config.embedding_size), np.float32)
        with self._spectrograms(clips) as spectrograms:
            for (machine, _), rows in _rows(clips).items():
                features[rows] = _read(self.models_[machine].network, spectrograms, rows).features
            stages = {
                "mean log-mel spectrum": spectrograms.inputs.mean_levels(),
                "feature of the machine type's conformer": features,
            }
        return EmbeddingMaps(clips, stages)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        if not hasattr(self, "models_"):
            raise NotFittedError("MultitaskConformer was asked for scores before fit")
        return sorted(
            (machine, machine_id)
            for machine, model in self.models_.items()
            for machine_id in model.evaluators
        )

    def save(self, folder: Path) -> None:
        """Write the networks, and features and scales of each machine ID."""
        tensors = {}
        described = []
        for number, machine in enumerate(sorted({machine for machine, _ in self.machine_keys})):
            model = self.models_[machine]
            for name, value in model.network.state_dict().items():
                tensors[f"{number}.network.{name}"] = value
            for evaluator in model.evaluators.values():
                prefix = f"{number}.{evaluator.number}"
                features = evaluator.distance_.vectors_.astype(np.float32)
                tensors[f"{prefix}.features"] = torch.from_numpy(features)
                tensors[f"{prefix}.scales"] = torch.from_numpy(evaluator.scales_)
            described.append(
                {
                    "machine": machine,
                    "ids": list(model.evaluators),
                    "sizes": asdict(model.network.sizes),
                    "combination": model.combination,
                }
            )
        description = {
            "system": "multitask-conformer",
            "seed": self.seed,
            "config": configs.to_mapping(self.config),
            "types": described,
        }
        storage.save_state(folder, tensors, description)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote."""
        tensors, description = storage.load_state(folder)
        try:
            config = configs.from_mapping(Config, description["config"], where=str(folder))
            system = cls(config, seed=description["seed"], device=device)
            system.models_ = {}
            for number, found in enumerate(description["types"]):
                sizes = configs.from_mapping(Sizes, found["sizes"], where=str(folder))
                network = MultitaskNetwork(sizes, config)
                prefix = f"{number}.network."
                network.load_state_dict(
                    {
                        name.removeprefix(prefix): value
                        for name, value in tensors.items()
                        if name.startswith(prefix)
                    }
                )
                evaluators = {
                    machine_id: Evaluator(place, shrinkage=config.shrinkage).restore(
                        tensors[f"{number}.{place}.features"].numpy(),
                        tensors[f"{number}.{place}.scales"].numpy(),
                    )
                    for place, machine_id in enumerate(found["ids"])
                }
                system.models_[found["machine"]] = TypeModel(
                    network.eval().to(device_of(device)), evaluators, found["combination"]
                )
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise StorageError(f"{folder} does not hold a multitask conformer: {error}") from error
        return system

    def _fitted(
        self,
        target: Target,
        keys: Sequence[MachineKey],
        own: Sequence[int],
        spectrograms: Spectrograms,
    ) -> TypeModel:
        """Train the network of a machine type, fit its evaluators, select the combination."""
        torch.manual_seed(self.seed)
        sizes = Sizes(spectrograms.inputs.bands, len(own), self._targets(target, len(own)))
        network = MultitaskNetwork(sizes, self.config)
        mean, deviation = spectrograms.usual(target.rows)
        network.mean.copy_(mean)
        network.deviation.copy_(deviation.clamp(min=1e-3))
        network.to(device_of(self.device))
        self.losses_[target.machine] = fit_network(
            network,
            spectrograms,
            target,
            self.config,
            seed=self.seed,
            folder=self.folder,
            progress=self.progress,
        )
        readings = _read(network, spectrograms, target.rows)
        left_out = self.config.standardise_by == "left_out"
        evaluators = {}
        for number, key in enumerate(own):
            evaluator = Evaluator(number, shrinkage=self.config.shrinkage)
            mine = readings.take(np.flatnonzero(target.ids == number))
            evaluators[keys[key][1]] = evaluator.fit(mine, left_out=left_out)
        areas = proxy_aucs(
            network,
            spectrograms,
            target,
            readings,
            {evaluator.number: evaluator for evaluator in evaluators.values()},
            seed=self.seed,
        )
        told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
        _log.info("%s: AUC on stand-ins for anomalies: %s", target.machine, told)
        return TypeModel(network, evaluators, selected(areas))

    def _targets(self, target: Target, ids: int) -> int:
        """Return the number of outputs of the type head."""
        if not self.config.type_task:
            return 0
        if len(target.outliers):
            return 1
        if ids == 1:
            _log.warning(
                "%s id is the only machine: nothing is there to be told from it, so the scores out and "
                "arc say nothing; train with other machines' normal clips beside",
                target.machine,
            )
            return 0
        _log.warning(
            "%s is the only machine type: the type head learns to tell each machine ID from the others",
            target.machine,
        )
        return ids

    def _require_known(self, clips: Sequence[Clip]) -> None:
        known = self.machine_keys
        for clip in clips:
            if clip.machine_key not in known:
                names = ", ".join("/".join(key) for key in known)
                raise DataError(f"{'/'.join(clip.machine_key)} was not learnt; there are: {names}")

    @contextmanager
    def _spectrograms(self, clips: Sequence[Clip]) -> Iterator[Spectrograms]:
        """Yield the spectrograms of clips, kept in the run's folder where there is one."""
        with TemporaryDirectory(prefix="thrum-") as temporary:
            yield Spectrograms(
                clips,
                folder=self.folder or Path(temporary),
                augmentation=Augmentation(self.config.augmentation),
                device=device_of(self.device),
                progress=self.progress,
            )


def _target(machine: str, keys: NDArray[np.int64], own: Sequence[int]) -> Target:
    """Return which of the clips with these numbers of machine IDs (N,) are of a type, which of others."""
    is_own = np.isin(keys, own)
    rows, outliers = np.flatnonzero(is_own), np.flatnonzero(~is_own)
    return Target(machine, rows, keys[rows] - own[0], outliers, keys[outliers])


def _rows(clips: Sequence[Clip]) -> dict[MachineKey, NDArray[np.int64]]:
    positions = {id(clip): position for position, clip in enumerate(clips)}
    return {
        key: np.array([positions[id(clip)] for clip in own])
        for key, own in group_by_machine(clips).items()
    }


def _read(
    network: MultitaskNetwork, spectrograms: Spectrograms, rows: NDArray[np.int64]
) -> Readings:
    """Return what the network makes of some whole clips, in their order."""
    found = [(some, network.read(levels)) for some, levels in spectrograms.whole(rows)]
    order = np.argsort(np.concatenate([some for some, _ in found]))
    places = np.argsort(np.argsort(rows))
    stacked = Readings(*(np.concatenate(part) for part in zip(*(r for _, r in found), strict=True)))
    return stacked.take(order[places])
