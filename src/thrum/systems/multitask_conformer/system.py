"""The multitask conformer in one place, as a System."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import DataError, NotFittedError
from thrum.evaluation.report import EmbeddingMaps
from thrum.features.augment import Augmentation
from thrum.systems.base import System
from thrum.systems.confirmed import Confirmed
from thrum.systems.multitask_conformer.config import Config
from thrum.systems.multitask_conformer.fitting import Target, fit_network
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.model import TypeModel
from thrum.systems.multitask_conformer.network import Ensemble, MultitaskNetwork, Sizes
from thrum.systems.multitask_conformer.scoring import COMBINATIONS, ODDS, Readings
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine, rows_by_machine

MachineKey = tuple[str, str]
COMBINED = "combined"

_log = logging.getLogger(__name__)


class MultitaskConformer(System):
    """One network a machine type, which knows its machine IDs from each other and from other types.

    The scores offered are ``out``, ``arc``, ``maha``, their sums, all standardised, ``combined``, the one of
    these seven that was selected for the machine type, and ``odds``.
    """

    name = "multitask-conformer"
    Config: ClassVar[type[Config]] = Config

    confirmed_: dict[MachineKey, Confirmed]

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train a network for each machine type; learn what is usual of each machine ID."""
        groups = group_by_machine(clips)
        if not groups:
            raise DataError("the multitask conformer wants normal training clips, got none")
        for key, own in groups.items():
            if len(own) < 2:
                raise DataError(
                    f"{'/'.join(key)} has one training clip: wanted two at least, for a mean and a "
                    f"covariance; record more, or leave this machine ID out"
                )
            if self.config.shrinkage == 0 and len(own) <= self.config.dimensions:
                raise DataError(
                    f"{'/'.join(key)} has {len(own)} training clips: shrinkage=0 wants more than the "
                    f"{self.config.dimensions} dimensions of the features; set it above 0, or leave "
                    f"it out for Ledoit and Wolf's"
                )
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
            among_all = self.config.id_classes == "all"
            for machine in sorted({machine for machine, _ in groups}):
                numbers = [number for number, key in enumerate(groups) if key[0] == machine]
                names = [key[1] for key in groups if key[0] == machine]
                target = _target(machine, names, ordered, keys, numbers, among_all=among_all)
                models[machine] = self._fitted(target, spectrograms)
        self.models_ = models
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        columns = {method: np.zeros(len(clips)) for method in (*COMBINATIONS, ODDS, COMBINED)}
        if clips:
            with self._spectrograms(clips) as spectrograms:
                for (machine, machine_id), rows in rows_by_machine(clips).items():
                    model = self.models_[machine]
                    readings = model.read(spectrograms, np.array(rows))
                    scores = model.evaluators[machine_id].score(readings)
                    for name, found in scores.items():
                        columns[name][rows] = found
                    columns[COMBINED][rows] = scores[model.combination]
        return Scores(clips, columns, self.config.score)

    def calibrate(self, clips: Iterable[Clip]) -> Self:
        """Keep the scores of clips that `fit` was not given, and what the network makes of them."""
        clips = list(clips)
        super().calibrate(clips)
        self.confirmed_ = {}
        if clips:
            for key, readings in self._readings(clips).items():
                self.confirmed_[key] = Confirmed.held_back(*readings)
        return self

    @property
    def refits(self) -> bool:
        """Mean and covariance of a machine ID's features are estimated anew."""
        return True

    def adapted(
        self, key: MachineKey, *, dropped: Sequence[int] = (), added: Sequence[Clip] = ()
    ) -> Self:
        """Return the same with mean and covariance of other clips of a machine ID; see `System.adapted`.

        The scales by which scores are made alike stay those of training.
        """
        self._require_learnt(added)
        confirmed = self._confirmed().get(key)
        if confirmed is None:
            return super().adapted(key, dropped=dropped, added=added)
        model, (machine, machine_id) = self.models_[key[0]], key
        evaluator = model.evaluators[machine_id]
        new = self._readings(added)[key] if added else ()
        reference, confirmed = confirmed.changed(
            evaluator.distance_.vectors_, dropped=dropped, added=new
        )
        method = model.combination if self.config.score == COMBINED else self.config.score
        own = Readings(*confirmed.parts)

        def score(vectors: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return evaluator.comparing(vectors).score(own.take(rows))[method]

        other = self.with_left_out(key, confirmed.left_out(reference, score))
        evaluators = {**model.evaluators, machine_id: evaluator.comparing(reference)}
        other.models_ = {**self.models_, machine: replace(model, evaluators=evaluators)}
        other.confirmed_ = {**self._confirmed(), key: confirmed}
        return other

    def embedding_maps(self, clips: Iterable[Clip]) -> EmbeddingMaps:
        """Return clips as their mean log-mel spectrum and as their type's network sees them (figure 2)."""
        clips = list(clips)
        self._require_learnt(clips)
        features = np.zeros((len(clips), self.config.dimensions), np.float32)
        with self._spectrograms(clips) as spectrograms:
            for (machine, _), rows in rows_by_machine(clips).items():
                read = self.models_[machine].read(spectrograms, np.array(rows))
                features[rows] = read.features
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

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors: dict[str, torch.Tensor] = {}
        described = []
        for number, key in enumerate(sorted(self._confirmed())):
            parts = self._confirmed()[key].tensors()
            tensors |= {f"confirmed.{number}.{name}": value for name, value in parts.items()}
        for number, machine in enumerate(sorted({machine for machine, _ in self.machine_keys})):
            own, told = self.models_[machine].state()
            tensors |= {f"{number}.{name}": value for name, value in own.items()}
            described.append({"machine": machine, **told})
        confirmed = [list(key) for key in sorted(self._confirmed())]
        return tensors, {"types": described, "confirmed": confirmed}

    def _restore(self, tensors: Mapping[str, torch.Tensor], described: Mapping[str, Any]) -> None:
        self.models_ = {
            told["machine"]: TypeModel.restored(
                storage.under(tensors, str(number)),
                told,
                self.config,
                device=device_of(self.device),
            )
            for number, told in enumerate(described["types"])
        }
        self.confirmed_ = {
            (machine, machine_id): Confirmed.from_tensors(
                storage.under(tensors, f"confirmed.{number}")
            )
            for number, (machine, machine_id) in enumerate(described.get("confirmed", []))
        }

    def _confirmed(self) -> dict[MachineKey, Confirmed]:
        return getattr(self, "confirmed_", {})

    def _readings(self, clips: Sequence[Clip]) -> dict[MachineKey, Readings]:
        """Return what the networks make of clips, by machine ID."""
        with self._spectrograms(clips) as spectrograms:
            return {
                key: self.models_[key[0]].read(spectrograms, np.array(rows))
                for key, rows in rows_by_machine(clips).items()
            }

    def _fitted(self, target: Target, spectrograms: Spectrograms) -> TypeModel:
        """Train the network of a machine type, fit its evaluators, select the combination."""
        torch.manual_seed(self.seed)
        sizes = Sizes(spectrograms.inputs.bands, target.classes, self._targets(target))
        members = [MultitaskNetwork(sizes, self.config) for _ in range(self.config.members)]
        network = Ensemble(members).to(device_of(self.device))
        mean, deviation = spectrograms.usual(target.rows)
        self.losses_[target.machine] = []
        for number, member in enumerate(members):
            member.mean.copy_(mean)
            member.deviation.copy_(deviation.clamp(min=1e-3))
            self.losses_[target.machine] += fit_network(
                member,
                spectrograms,
                target,
                self.config,
                number=number,
                seed=self.seed,
                folder=self.folder,
                progress=self.progress,
            )
        return TypeModel.fitted(
            network,
            spectrograms,
            target,
            self.config,
            seed=self.seed,
        )

    def _targets(self, target: Target) -> int:
        """Return the number of outputs of the type head, and say where a head has nothing to learn."""
        names = target.names
        if len(names) == 1:
            only = f"{target.machine} {names[0]} is the only {target.machine}"
            told = (
                "the ID head tells it from the machine IDs of other types"
                if target.foreign is not None
                else "there is no ID to tell it from, the score arc says nothing"
            )
            _log.warning("%s: %s", only, told)
        if not self.config.type_task:
            return 0
        if len(target.outliers):
            return 1
        if len(names) == 1:
            _log.warning("no other machine type is there either: the score out says nothing")
            return 0
        _log.warning(
            "%s is the only machine type: the type head learns to tell each machine ID from the others",
            target.machine,
        )
        return len(names)

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


def _target(
    machine: str,
    names: Sequence[str],
    clips: Sequence[Clip],
    keys: NDArray[np.int64],
    own: Sequence[int],
    *,
    among_all: bool = False,
) -> Target:
    """Return which of the clips, with these numbers of machine IDs (N,), are of a type, which of others.

    MIMII has one recording under three noises, each a machine type of its own: only types under the same
    noise are others.
    """
    noises = np.array([clip.attributes.get("snr", "") for clip in clips])
    rows = np.flatnonzero(np.isin(keys, own))
    outliers = np.flatnonzero(~np.isin(keys, own) & (noises == noises[rows[0]]))
    ids = keys[rows] - own[0]
    return Target(machine, rows, ids, outliers, keys[outliers], tuple(names), among_all)
