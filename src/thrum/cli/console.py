"""What the verbs share in speaking to a person: progress, tables, JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from thrum.types import Progress

NARROWEST_WORDS = 12  # characters of a name before it is wrapped; figures give way first
LINE_SECONDS = 5.0  # between two plain lines of one stage


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Yield a `Progress` that draws bars on a terminal and writes plain lines elsewhere, on stderr."""
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _lines() -> Progress:
    told: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - told.get(stage, 0.0) > LINE_SECONDS:
            told[stage] = now
            typer.echo(f"{stage}: {done}/{total}", err=True)

    return report


def print_json(content: Any) -> None:
    """Print JSON for programs on stdout."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def figure(cell: str | int | float | None) -> str:
    """Return the cell of a table as text: figures to three places, nothing as a dash."""
    if cell is None:
        return "–"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of plain text; the first two columns are words, the others figures."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for index, name in enumerate(header):
        least = (
            min(NARROWEST_WORDS, max(len(row[index]) for row in rows))
            if rows and index < 2
            else None
        )
        table.add_column(
            name, justify="left" if index < 2 else "right", no_wrap=index >= 2, min_width=least
        )
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 110
    Console(width=width, markup=False, emoji=False).print(table)  # names may hold [brackets]
