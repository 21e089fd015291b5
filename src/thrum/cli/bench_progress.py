"""How far ``thrum bench`` has come: bars on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from thrum.bench.cells import Cell
    from thrum.bench.running import State, Watcher

LINE_SECONDS = 30.0  # between two plain lines on how far the table has come


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """Yield what tells a person of the cells."""
    if quiet:
        yield _Quiet()
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            yield _Bars(bars)


class _Quiet:
    def started(self, cell: Cell) -> None:
        pass

    def told(self, cell: Cell, stage: str, done: int, total: int) -> None:
        pass

    def ended(self, cell: Cell, error: str | None, state: State) -> None:
        pass

    def tick(self, state: State) -> None:
        pass


class _Lines(_Quiet):
    def __init__(self) -> None:
        self.said = time.monotonic()
        self.stages: dict[Cell, str] = {}

    def started(self, cell: Cell) -> None:
        self.stages[cell] = "begun"

    def told(self, cell: Cell, stage: str, done: int, total: int) -> None:
        self.stages[cell] = f"{stage} {done}/{total}"

    def ended(self, cell: Cell, error: str | None, state: State) -> None:
        self.stages.pop(cell, None)
        self._say(f"{_came(state)} {cell.title}: {_ended(error)}{_left(state)}")

    def tick(self, state: State) -> None:
        if time.monotonic() - self.said > LINE_SECONDS:
            now = "; ".join(f"{cell.title}: {stage}" for cell, stage in self.stages.items())
            self._say(f"{_came(state)} {now}{_left(state)}")

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        typer.echo(text, err=True)


class _Bars(_Quiet):
    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.table = bars.add_task("cells", total=None, left="")
        self.tasks: dict[Cell, Any] = {}

    def started(self, cell: Cell) -> None:
        self.tasks[cell] = self.bars.add_task(cell.title, total=None, left="")

    def told(self, cell: Cell, stage: str, done: int, total: int) -> None:
        self.bars.update(self.tasks[cell], completed=done, total=total, left=stage)

    def ended(self, cell: Cell, error: str | None, state: State) -> None:
        self.bars.remove_task(self.tasks.pop(cell))
        self.bars.console.print(f"{cell.title}: {_ended(error)}", markup=False, highlight=False)
        self.tick(state)

    def tick(self, state: State) -> None:
        self.bars.update(
            self.table, completed=state.done, total=state.total, left=_left(state).strip("; ")
        )


def _came(state: State) -> str:
    return f"[{state.done}/{state.total}]"


def _ended(error: str | None) -> str:
    return "done" if error is None else f"failed: {error}"


def _left(state: State) -> str:
    if state.seconds_left is None or state.done == state.total:
        return ""
    minutes = state.seconds_left / 60
    if minutes < 1:
        return "; about a minute left"
    return (
        f"; about {minutes:.0f} min left" if minutes < 90 else f"; about {minutes / 60:.1f} h left"
    )
