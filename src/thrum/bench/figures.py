"""Published numbers and ours: what of the cells' scores stands in each place of a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thrum.bench import cells
from thrum.bench.cells import Cell
from thrum.bench.running import Outcome
from thrum.bench.tables import Column, Row, Table
from thrum.evaluation import metrics
from thrum.evaluation.dcase.rules import rules_of
from thrum.evaluation.dcase.score import measures_of
from thrum.evaluation.dcase.submission import Section
from thrum.evaluation.table import ClipScores, read_scores

MachineKey = tuple[str, str]
Measures = Mapping[str, float | None]

OFFICIAL = ("auc_source", "auc_target", "pauc")


@dataclass(frozen=True)
class Figure:
    """One place of a table; all numbers in percent.

    Parameters
    ----------
    row, column
        Which place.
    source, measure
        What the column is about.
    published
        The paper's number; None where it has none.
    ours, deviation
        Mean over the seeds, and population standard deviation where there are several.
    seeds
        Those that are in it.
    shortened
        In what it is less than the published experiment; empty where it is not.
    errors
        Why seeds are missing.
    """

    row: str
    column: str
    source: str
    measure: str
    published: float | None = None
    ours: float | None = None
    deviation: float | None = None
    seeds: tuple[int, ...] = ()
    shortened: str = ""
    errors: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Ours less the published number."""
        if self.ours is None or self.published is None:
            return None
        return self.ours - self.published


@dataclass(frozen=True)
class Filled:
    """A table with figures in it.

    Parameters
    ----------
    table
        As it is defined.
    figures
        Row by row, column by column.
    seconds
        What training and scoring took, by run.
    epochs
        The limit of ``--epochs``.
    command
        What was typed.
    """

    table: Table
    figures: tuple[Figure, ...]
    seconds: Mapping[str, float]
    epochs: int | None = None
    command: str = ""

    def of(self, row: Row, columns: Iterable[Column] | None = None) -> list[Figure]:
        """Return the figures of one row, of all columns or of some."""
        keys = {column.key for column in (self.table.columns if columns is None else columns)}
        return [one for one in self.figures if one.row == row.name and one.column in keys]

    def rows(self, columns: Iterable[Column]) -> list[Row]:
        """Return the rows that have something to show in `columns`."""
        columns = list(columns)
        return [
            row
            for row in self.table.rows
            if any(
                one.ours is not None or one.published is not None or one.errors
                for one in self.of(row, columns)
            )
        ]

    def values(self, columns: Iterable[Column]) -> list[float]:
        """Return every number in `columns`, published and ours."""
        return [
            value
            for row in self.table.rows
            for one in self.of(row, columns)
            for value in (one.published, one.ours)
            if value is not None
        ]

    def seeds_of(self, row: Row, run: str) -> tuple[int, ...]:
        """Return the seeds of `run` that are in the figures of `row`."""
        return max((one.seeds for one in self._made_by(row, run)), key=len, default=())

    def shortened_of(self, row: Row, run: str) -> str:
        """Return in what `run` is less than the published experiment."""
        return next((one.shortened for one in self._made_by(row, run)), "")

    def _made_by(self, row: Row, run: str) -> list[Figure]:
        sources = self.table.sources_of(run)
        return [one for one in self.of(row) if not one.source or one.source in sources]

    @property
    def minutes(self) -> float:
        """What training and scoring took, all cells together."""
        return sum(self.seconds.values()) / 60

    @property
    def errors(self) -> list[str]:
        """What is missing and why, each reason once."""
        return list(dict.fromkeys(error for one in self.figures for error in one.errors))


def fill(table: Table, outcome: Outcome, *, command: str = "") -> Filled:
    """Return the table with what the complete cells came to."""
    read = {cell: CellScores(folder) for cell, folder in outcome.folders.items()}
    limits = {cell.epochs for cell in (*outcome.folders, *outcome.errors)}
    epochs = limits.pop() if len(limits) == 1 else None
    figures = tuple(
        _figure(table, row, column, read, outcome.errors, epochs)
        for row in table.rows
        for column in table.columns
    )
    seconds: dict[str, float] = {}
    for cell, own in read.items():
        seconds[cell.run_name] = seconds.get(cell.run_name, 0.0) + own.seconds
    return Filled(table, figures, seconds, epochs, command)


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
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were scored."""
        return [(machine, machine_id) for machine, machine_id in self.described["machines"]]

    def values(self, column: Column, method: str) -> dict[MachineKey, list[float]]:
        """Return what `column` asks about each machine ID; nothing of those that have no anomalies."""
        keys = [
            key
            for key in self.machine_keys
            if column.machine in ("", key[0]) and column.machine_id in ("", key[1])
        ]
        if column.measure == "id_accuracy":
            known = {(machine, own): share for machine, own, share in self._id_accuracy}
            return {key: [known[key]] for key in keys if key in known}
        names = OFFICIAL if column.measure == "official" else (column.measure,)
        found = {
            key: [value for name in names if (value := self._of(key, method).get(name)) is not None]
            for key in keys
        }
        return {key: values for key, values in found.items() if values}

    @property
    def _id_accuracy(self) -> list[tuple[str, str, float]]:
        return [(machine, own, share) for machine, own, share in self.described["id_accuracy"]]

    def _of(self, key: MachineKey, method: str) -> Measures:
        if key not in self._clips:
            self._clips[key] = read_scores(self.folder / "scores" / f"{'_'.join(key)}.csv")
        clips = self._clips[key]
        chosen = method or self.described["selected"]
        if chosen not in clips.columns:
            return {}
        if (key, chosen) not in self._measures:
            self._measures[key, chosen] = measures(clips, chosen)
        return self._measures[key, chosen]


def measures(clips: ClipScores, method: str) -> Measures:
    """Return AUC and partial AUC; by the rules of 2022 on where there are clips of both domains."""
    is_anomaly = np.array([label == "anomaly" for label in clips.labels])
    is_target = np.array([domain == "target" for domain in clips.domains])
    if not is_anomaly.any() or is_anomaly.all():
        return {}
    normals = is_target[~is_anomaly]
    both = normals.any() and not normals.all()
    section = Section(is_anomaly, is_target, clips.columns[method], None)
    return measures_of(section, rules_of(2022 if both else 2020))


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


def _figure(
    table: Table,
    row: Row,
    column: Column,
    read: Mapping[Cell, CellScores],
    failed: Mapping[Cell, str],
    epochs: int | None,
) -> Figure:
    told: dict[str, Any] = {
        "row": row.name,
        "column": column.key,
        "source": column.source,
        "measure": column.measure,
        "published": row.published.get(column.key),
    }
    sources = (column.source,) if column.source else tuple(table.sources)
    wanted = {(table.run_of(row, source), source) for source in sources}
    if any(name is None for name, _ in wanted):
        return Figure(**told)
    by_seed: dict[int, list[float]] = {}
    for cell, own in read.items():
        if (cell.run_name, cell.source_name) in wanted:
            value = mean_of(column, own.values(column, row.method))
            by_seed.setdefault(cell.seed, []).extend([] if value is None else [value])
    ours = {
        seed: 100 * statistics.fmean(values)
        for seed, values in sorted(by_seed.items())
        if len(values) == len(sources)
    }
    return Figure(
        **told,
        ours=statistics.fmean(ours.values()) if ours else None,
        deviation=statistics.pstdev(ours.values()) if len(ours) > 1 else None,
        seeds=tuple(ours),
        shortened=_shortened([table.runs[name].shortened for name, _ in wanted if name], epochs),
        errors=tuple(
            error for cell, error in failed.items() if (cell.run_name, cell.source_name) in wanted
        ),
    )


def _shortened(by_settings: Iterable[str], epochs: int | None) -> str:
    by_command = f"at most {epochs} epochs" if epochs is not None else ""
    return "; ".join(part for part in (*dict.fromkeys(by_settings), by_command) if part)
