"""Published numbers and ours: what of the cells' scores stands in each place of a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thrum.bench.cells import Cell
from thrum.bench.running import Outcome
from thrum.bench.scores import CellScores, fits, mean_of
from thrum.bench.tables import Column, Row, Table


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
    steps
        The optimisers' steps of a training, the fewest and the most of the seeds; 0 of none.
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
    steps: tuple[int, int] = (0, 0)
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

    @property
    def places(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Our mean and its deviation, by row and column."""
        return {
            (one.row, one.column): (one.ours, one.deviation or 0.0)
            for one in self.figures
            if one.ours is not None
        }

    def seeds_of(self, row: Row, run: str) -> tuple[int, ...]:
        """Return the seeds of `run` that are in the figures of `row`."""
        return max((one.seeds for one in self._made_by(row, run)), key=len, default=())

    def shortened_of(self, row: Row, run: str) -> str:
        """Return in what `run` is less than the published experiment."""
        return next((one.shortened for one in self._made_by(row, run)), "")

    def steps_of(self, row: Row, run: str) -> str:
        """Return the optimisers' steps of a training of `run`; empty where nothing is trained."""
        return told_steps(one.steps for one in self._made_by(row, run))

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


def told_steps(found: Iterable[tuple[int, int]]) -> str:
    """Return the fewest and the most optimisers' steps, as text; empty where nothing is trained."""
    pairs = [pair for pair in found if pair[1]]
    if not pairs:
        return ""
    fewest, most = min(low for low, _ in pairs), max(high for _, high in pairs)
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


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
    unknown: list[str] = []
    steps: list[int] = []
    for cell, own in read.items():
        if (cell.run_name, cell.source_name) in wanted:
            steps.append(own.steps)
            value = mean_of(column, own.values(column, row.method))
            unknown += _unknown(cell, own, row, column) if value is None else []
            by_seed.setdefault(cell.seed, []).extend([] if value is None else [value])
    broken = (
        error for cell, error in failed.items() if (cell.run_name, cell.source_name) in wanted
    )
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
        steps=(min(steps, default=0), max(steps, default=0)),
        errors=(*dict.fromkeys(unknown), *broken),
    )


def _unknown(cell: Cell, own: CellScores, row: Row, column: Column) -> list[str]:
    """Return what is wrong with a place that is empty because a name in the table is of nothing.

    A machine ID without anomalies, or one that only trains, leaves a place empty too, and rightly.
    """
    scored = column.measure != "id_accuracy" and own.methods
    if scored and row.method and not own.offers(row.method):
        return [
            f"row {row.name!r}: {cell.run_name} on {cell.source_name} has no scores called "
            f"{row.method!r}; there are: {', '.join(own.methods)}"
        ]
    if own.has_machine_of(column):
        return []
    keys = cell.source.open(cell.data, cell.out).machine_keys
    if any(fits(column, key) for key in keys):
        return []
    named = "/".join(name for name in (column.machine, column.machine_id) if name)
    ids = ["/".join(key) for key in keys if column.machine in ("", key[0])]
    return [
        f"column {column.key!r}: {cell.source_name} has no machine {named}; there are: "
        f"{', '.join(ids or dict.fromkeys(machine for machine, _ in keys))}"
    ]


def _shortened(by_settings: Iterable[str], epochs: int | None) -> str:
    by_command = f"at most {epochs} epochs" if epochs is not None else ""
    return "; ".join(part for part in (*dict.fromkeys(by_settings), by_command) if part)
