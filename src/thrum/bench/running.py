"""All cells of a table: what is there is kept, the rest is trained, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Protocol

from thrum.bench import cells
from thrum.bench.cells import Cell
from thrum.bench.processes import Process
from thrum.bench.tables import Table
from thrum.errors import ThrumError, UsageError
from thrum.types import Dataset

TICK_SECONDS = 1.0


class Watcher(Protocol):
    """Told what becomes of the cells."""

    def started(self, cell: Cell) -> None:
        """Say that a cell is being trained."""

    def told(self, cell: Cell, stage: str, done: int, total: int) -> None:
        """Say how far a cell has come."""

    def ended(self, cell: Cell, error: str | None, state: State) -> None:
        """Say that a cell is complete, or why it failed."""

    def tick(self, state: State) -> None:
        """Say how far the table has come."""


@dataclass
class State:
    """How far the table has come.

    Attributes
    ----------
    total, done
        Cells of the table, and those that need nothing more: complete before, complete now, or failed.
    seconds_left
        An estimate; None where nothing is known yet.
    """

    total: int
    done: int = 0
    seconds_left: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a table's cells.

    Parameters
    ----------
    folders
        Of the complete cells.
    errors
        Of the others, whole sentences.
    """

    folders: dict[Cell, Path] = field(default_factory=dict)
    errors: dict[Cell, str] = field(default_factory=dict)


def plan(
    table: Table,
    *,
    out: Path,
    data: Path | None = None,
    seeds: Sequence[int] | None = None,
    epochs: int | None = None,
    device: str = "auto",
) -> list[Cell]:
    """Return the cells that the table's rows are made of, the shortest first."""
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs is {epochs}, wanted at least 1")
    wanted = {name: None for row in table.rows for name in row.runs}
    planned = [
        Cell(
            run_name=name,
            run=table.runs[name],
            source_name=source,
            source=table.sources[source],
            seed=seed,
            data=data,
            out=out,
            epochs=epochs,
            device=device,
        )
        for name in wanted
        for source in table.sources_of(name)
        for seed in (seeds if seeds is not None else range(table.runs[name].seeds or table.seeds))
    ]
    return sorted(planned, key=lambda cell: cell.run.minutes or 0.0)


def run(planned: Sequence[Cell], *, jobs: int, watcher: Watcher) -> Outcome:
    """Train the cells that are not complete, at most `jobs` at a time; return what became of all."""
    outcome, waiting = _sorted_out(planned)
    todo = [own[0] for own in waiting.values()]
    state = State(len(planned), len(planned) - sum(map(len, waiting.values())))
    pace = _Pace(jobs)
    watcher.tick(state)
    running: list[Process] = []
    try:
        while todo or running:
            while todo and len(running) < jobs:
                running.append(Process(todo.pop(0)))
                watcher.started(running[-1].cell)
            connection.wait([one.receiver for one in running], timeout=TICK_SECONDS)
            for one in list(running):
                for stage, done, total in one.messages():
                    watcher.told(one.cell, stage, done, total)
                if not one.has_ended:
                    continue
                running.remove(one)
                alike = next(own for own in waiting.values() if own[0] is one.cell)
                for cell in alike:
                    if one.folder is not None:
                        outcome.folders[cell] = one.folder
                    else:
                        outcome.errors[cell] = f"{cell.title}: {one.error}"
                if one.folder is not None:
                    pace.add(one.cell, one.seconds)
                state.done += len(alike)
                state.seconds_left = pace.left(todo, running)
                watcher.ended(one.cell, None if one.folder else one.error, state)
            state.seconds_left = pace.left(todo, running)
            watcher.tick(state)
    finally:
        for one in running:
            one.stop()
    return outcome


def look(planned: Sequence[Cell]) -> tuple[Outcome, list[Cell]]:
    """Return what became of the cells so far, and those that `run` would train; train nothing."""
    outcome, waiting = _sorted_out(planned)
    todo = [cell for alike in waiting.values() for cell in alike]
    outcome.errors.update({cell: f"{cell.title}: not trained yet" for cell in todo})
    return outcome, todo


def _sorted_out(planned: Sequence[Cell]) -> tuple[Outcome, dict[Path, list[Cell]]]:
    """Return what is known of the cells already, and by folder those to train.

    Cells that come to the same, for instance because ``--epochs`` makes them, share a folder.
    """
    outcome = Outcome()
    waiting: dict[Path, list[Cell]] = {}
    datasets: dict[tuple[str, tuple[str, ...]], Dataset] = {}
    for cell in planned:
        if missing := cell.source.missing(cell.data):
            outcome.errors[cell] = missing
            continue
        try:
            which = (cell.source_name, cell.run.trained)
            if which not in datasets:
                cell.source.prepare(cell.out)
                datasets[which] = cell.open()
            folder = cell.folder(datasets[which])
        except ThrumError as error:
            outcome.errors[cell] = f"{cell.title}: {error}"
            continue
        if cells.is_complete(folder):
            outcome.folders[cell] = folder
        else:
            waiting.setdefault(folder, []).append(cell)
    return outcome, waiting


class _Pace:
    """How long the cells took against what their runs' `minutes` say."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.seconds: list[float] = []
        self.expected: list[float] = []

    def add(self, cell: Cell, seconds: float) -> None:
        """Note what a cell took."""
        self.seconds.append(seconds)
        self.expected.append(60 * (cell.run.minutes or 0.0) or seconds)

    def left(self, waiting: Sequence[Cell], running: Sequence[Process]) -> float | None:
        """Return an estimate of the seconds that the others take."""
        open_cells = [(cell, 0.0) for cell in waiting] + [(p.cell, p.seconds) for p in running]
        if not self.seconds and any(cell.run.minutes is None for cell, _ in open_cells):
            return None
        ratio = sum(self.seconds) / sum(self.expected) if self.seconds else 1.0
        mean = sum(self.seconds) / len(self.seconds) if self.seconds else 0.0
        total = 0.0
        for cell, spent in open_cells:
            expected = 60 * cell.run.minutes * ratio if cell.run.minutes else mean
            total += max(expected - spent, 0.0)
        return total / min(self.jobs, max(len(open_cells), 1))
