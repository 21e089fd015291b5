"""Outlier exposure with a flow in one place, as a System."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from thrum import config as configs
from thrum import storage
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import DataError, NotFittedError
from thrum.systems.base import System
from thrum.systems.outlier_flow.combining import (
    Members,
    Pair,
    best_by_test_labels,
    columns_of,
    in_families,
    over_conditions,
)
from thrum.systems.outlier_flow.config import Config
from thrum.systems.outlier_flow.fitting import conditions_for
from thrum.systems.outlier_flow.frontend import Spectrograms
from thrum.systems.outlier_flow.learnt import Learnt
from thrum.systems.outlier_flow.roles import MachineKey, require_two_clips, targets_of
from thrum.systems.outlier_flow.variants import ENSEMBLES, VARIANTS, members_of
from thrum.training import device_of
from thrum.types import Clip, Scores, rows_by_machine

BY_LABELS = "by test labels"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """What was trained on: recordings or rows of features, F, and the T of a segment."""

    recorded: bool
    bands: int
    segment_frames: int


class OutlierFlow(System):
    """A classifier of one machine against others, a flow on its maps, inlier models on its embeddings.

    The scores offered are those of each variant trained, of its parts (``OE/gmm``, ``OE-Flow/flow``) and of
    the ensembles whose variants are all there; `Config.variant` selects.
    """

    name = "outlier-flow"
    Config: ClassVar[type[Config]] = Config

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train the networks of every target, then the inlier models of every machine ID."""
        clips = sorted(clips, key=lambda clip: clip.machine_key)
        targets = targets_of(clips, self.config.targets)
        require_two_clips(clips, targets)
        learnt: list[Learnt] = []
        with self._spectrograms(clips) as spectrograms:
            if not spectrograms.recorded:
                _log.warning("these clips are features: they are taken as spectrograms as they are")
            for target in targets:
                own = [clip for clip in clips if clip.machine_key in target.keys]
                for variant in members_of(self.config.variant):
                    for parameter in conditions_for(variant, own, name=target.name):
                        number = len(learnt)
                        learnt.append(
                            Learnt.fit(
                                target,
                                variant,
                                parameter,
                                spectrograms,
                                self.config,
                                seed=self.seed,
                                checkpoint=self.folder
                                and self.folder / f"training-{number}.safetensors",
                                progress=self.progress,
                            )
                        )
            self.heard_ = Heard(
                spectrograms.recorded, spectrograms.bands, spectrograms.segment_frames
            )
        self.learnt_ = learnt
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        rows = rows_by_machine(clips)
        machines = self._members(clips, rows) if clips else {}
        enters, by_labels = self._enters, self.config.choice == "best_by_test_labels"
        columns = {self.config.variant: np.zeros(len(clips))}
        labelled = {clip.label for clip in clips} >= {"normal", "anomaly"}
        if by_labels or (self.config.also_by_test_labels and labelled):
            of = {key: [clips[row] for row in own] for key, own in rows.items()}
            best = best_by_test_labels(machines, of, count=self.config.chosen_members)

            def are_best(variant: str, member: str) -> bool:
                return member in best[variant]

            if by_labels:
                enters = are_best
            else:
                for key, variants in machines.items():
                    for name, pair in columns_of(variants, are_best).items():
                        if name in (*VARIANTS, *ENSEMBLES):
                            column = columns.setdefault(f"{name}/{BY_LABELS}", np.zeros(len(clips)))
                            column[rows[key]] = pair.new
        for key, variants in machines.items():
            for name, pair in columns_of(variants, enters).items():
                columns.setdefault(name, np.zeros(len(clips)))[rows[key]] = pair.new
        return Scores(clips, columns, self.config.variant)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        if not hasattr(self, "learnt_"):
            raise NotFittedError("OutlierFlow was asked for scores before fit")
        return sorted({key for learnt in self.learnt_ for key in learnt.training})

    @property
    def thresholds(self) -> dict[MachineKey, float]:
        """The gamma distribution's 90th percentile of training clips' scores.

        There are none where test labels choose the score: before scoring it is not known.
        """
        if self.config.choice == "best_by_test_labels":
            return {}
        found: dict[MachineKey, float] = {}
        for key in self.machine_keys:
            networks: dict[str, list[Members]] = {}
            for learnt in self.learnt_:
                if key in learnt.training:
                    own = {m: Pair(s, np.zeros(0)) for m, s in learnt.training[key].items()}
                    networks.setdefault(learnt.variant, []).append(own)
            variants = {variant: over_conditions(own) for variant, own in networks.items()}
            selected = columns_of(variants, self._enters)[self.config.variant]
            found[key] = gamma_threshold(selected.training)
        return found

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        keys = self.machine_keys
        tensors: dict[str, Tensor] = {}
        networks = []
        for number, learnt in enumerate(self.learnt_):
            own, network = learnt.state(keys)
            tensors |= {f"{number}.{name}": value for name, value in own.items()}
            networks.append(network)
        described = {
            "heard": asdict(self.heard_),
            "keys": [list(key) for key in keys],
            "networks": networks,
        }
        return tensors, described

    def _restore(self, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
        self.heard_ = configs.from_mapping(Heard, described["heard"], where="heard")
        keys = [(machine, machine_id) for machine, machine_id in described["keys"]]
        self.learnt_ = [
            Learnt.restored(
                storage.under(tensors, str(number)),
                known,
                self.config,
                keys=keys,
                device=device_of(self.device),
            )
            for number, known in enumerate(described["networks"])
        ]

    def _enters(self, variant: str, member: str) -> bool:
        """Whether a member of a variant enters its score, where no test label decides it."""
        if self.config.choice == "machine":
            return member == "machine"
        return in_families(variant, member)

    def _members(
        self, clips: Sequence[Clip], rows: Mapping[MachineKey, Sequence[int]]
    ) -> dict[MachineKey, dict[str, Members]]:
        """Return, by machine ID and variant, the scores of training clips and of `clips` by member."""
        machines: dict[MachineKey, dict[str, Members]] = {}
        with self._spectrograms(clips) as spectrograms:
            self._require_alike(spectrograms)
            for key, own in rows.items():
                networks: dict[str, list[Members]] = {}
                for learnt in self.learnt_:
                    if key in learnt.training:
                        frames = self.heard_.segment_frames
                        members = learnt.members(
                            key, spectrograms, own, self.config, segment_frames=frames
                        )
                        networks.setdefault(learnt.variant, []).append(members)
                machines[key] = {v: over_conditions(found) for v, found in networks.items()}
                if self.progress is not None:
                    self.progress("score", len(machines), len(rows))
        return machines

    def _require_alike(self, spectrograms: Spectrograms) -> None:
        heard = self.heard_
        if (spectrograms.recorded, spectrograms.bands) != (heard.recorded, heard.bands):
            kinds = {True: "recordings", False: "features"}
            raise DataError(
                f"{spectrograms.clips[0].path}: got {kinds[spectrograms.recorded]} of "
                f"{spectrograms.bands} bands, trained was with {kinds[heard.recorded]} of "
                f"{heard.bands}: score what is like the training clips"
            )

    @contextmanager
    def _spectrograms(self, clips: Sequence[Clip]) -> Iterator[Spectrograms]:
        """Yield the spectrograms of clips, kept in the run's folder where there is one."""
        with TemporaryDirectory(prefix="thrum-") as temporary:
            yield Spectrograms(
                clips,
                self.config,
                folder=self.folder or Path(temporary),
                device=device_of(self.device),
                progress=self.progress,
            )
