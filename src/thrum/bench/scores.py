"""What the scores of a complete cell are worth: the measures that stand in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from thrum.bench import cells
from thrum.bench.tables import Column
from thrum.evaluation import metrics
from thrum.evaluation.dcase.rules import rules_of
from thrum.evaluation.dcase.score import measures_of
from thrum.evaluation.dcase.submission import Section
from thrum.evaluation.table import ClipScores, read_scores

MachineKey = tuple[str, str]
Measures = Mapping[str, float | None]

TOGETHER = {
    "official": ("auc_source", "auc_target", "pauc"),
    "official_within": ("auc_within_source", "auc_within_target", "pauc"),
}
"""Measures that are several numbers of a machine ID."""


class CellScores:
    """The scores of a complete cell, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.described = cells.read(folder)
        self._clips: dict[MachineKey, ClipScores] = {}
        self._measures: dict[tuple[MachineKey, str], Measures] = {}

    @property
    def seconds(self) -> float:
        """What training and scoring took."""
        return float(self.described["seconds"])

    @property
    def steps(self) -> int:
        """The optimisers' steps of its training; 0 of none, and where an earlier version did not count."""
        return int(self.described.get("steps", 0))

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were scored."""
        return [(machine, machine_id) for machine, machine_id in self.described["machines"]]

    @cached_property
    def methods(self) -> list[str]:
        """What the scores are called; a machine ID that nobody learnt with may lack some."""
        files = (self._read(key) for key in self.machine_keys)
        return list(dict.fromkeys(name for clips in files for name in clips.columns))

    def offers(self, method: str) -> bool:
        """Whether there are scores of `method`, be it of one number of clips alone."""
        return any(name.partition("@")[0] == method for name in self.methods)

    def has_machine_of(self, column: Column) -> bool:
        """Whether a machine ID that `column` is about was scored, or named."""
        return any(fits(column, key) for key in (*self.machine_keys, *dict(self._id_accuracy)))

    def values(self, column: Column, method: str) -> dict[MachineKey, list[float]]:
        """Return what `column` asks about each machine ID; nothing of those that have no anomalies."""
        if column.measure == "id_accuracy":
            return {key: [share] for key, share in self._id_accuracy if fits(column, key)}
        keys = [key for key in self.machine_keys if fits(column, key)]
        chosen = column.scores_called(method or self.described["selected"])
        names = TOGETHER.get(column.measure, (column.measure,))
        found = {
            key: [value for name in names if (value := self._of(key, chosen).get(name)) is not None]
            for key in keys
        }
        return {key: values for key, values in found.items() if values}

    @property
    def _id_accuracy(self) -> list[tuple[MachineKey, float]]:
        return [((machine, own), share) for machine, own, share in self.described["id_accuracy"]]

    def _of(self, key: MachineKey, chosen: str) -> Measures:
        clips = self._read(key)
        if chosen not in clips.columns:
            return {}
        if (key, chosen) not in self._measures:
            self._measures[key, chosen] = measures(clips, chosen)
        return self._measures[key, chosen]

    def _read(self, key: MachineKey) -> ClipScores:
        if key not in self._clips:
            self._clips[key] = read_scores(self.folder / "scores" / f"{'_'.join(key)}.csv")
        return self._clips[key]


def fits(column: Column, key: MachineKey) -> bool:
    """Whether `column` is about a machine ID."""
    return column.machine in ("", key[0]) and column.machine_id in ("", key[1])


def measures(clips: ClipScores, method: str) -> Measures:
    """Return AUC and partial AUC; by the rules of 2022 on where there are clips of both domains."""
    is_anomaly = np.array([label == "anomaly" for label in clips.labels])
    is_target = np.array([domain == "target" for domain in clips.domains])
    if not is_anomaly.any() or is_anomaly.all():
        return {}
    normals = is_target[~is_anomaly]
    both = normals.any() and not normals.all()
    scores = clips.columns[method]
    section = Section(is_anomaly, is_target, scores, None)
    found = dict(measures_of(section, rules_of(2022 if both else 2020)))
    for domain, own in (("source", ~is_target), ("target", is_target)):
        if both and is_anomaly[own].any():
            found[f"auc_within_{domain}"] = metrics.auc(is_anomaly[own], scores[own])
    return found


def mean_of(column: Column, values: Mapping[MachineKey, Sequence[float]]) -> float | None:
    """Return the mean that `column` asks for, over machine IDs."""
    flat = [value for own in values.values() for value in own]
    if not flat:
        return None
    if column.mean == "harmonic":
        return metrics.harmonic_mean(flat)
    if column.mean == "machine_ids":
        return metrics.arithmetic_mean(flat)
    machines: dict[str, list[float]] = {}
    for (machine, _), own in values.items():
        machines.setdefault(machine, []).extend(own)
    return metrics.arithmetic_mean(metrics.arithmetic_mean(own) for own in machines.values())
