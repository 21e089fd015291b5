"""``thrum bench``: a paper's table, its numbers beside ours."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.bench_progress import watching

if TYPE_CHECKING:
    from thrum.bench.cells import Cell
    from thrum.bench.figures import Filled


def bench(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Which table; --list shows them.")
    ] = "",
    data: Annotated[Path | None, typer.Option(help="The folder of the table's data.")] = None,
    out: Annotated[
        Path, typer.Option(help="What is trained is kept here; a killed run goes on.")
    ] = Path("runs/bench"),
    only: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Rows whose name, run or system fits.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N|0,1,5", help="How many seeds, or which (7, is 7 alone)."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="At most so many; marked as shortened everywhere.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, one thread each; else one a core, one on a GPU."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: show what is there, and what is not.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    listing: Annotated[bool, typer.Option("--list", help="Show the tables.")] = False,
    needs: Annotated[
        bool, typer.Option("--needs", help="Show what data, disk and hours the tables want.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Train what a table lacks, keep what is there, show published numbers beside ours."""
    from thrum.bench import figures, pages, running
    from thrum.bench.tables import load_table, table_names
    from thrum.errors import UsageError

    if listing:
        _list(json=json)
        return
    if needs:
        _needs([table] if table else [name for name in table_names() if "/" in name], json=json)
        return
    if not table:
        raise UsageError(f"say which table: {', '.join(table_names())}")
    chosen = load_table(table)
    if only is not None:
        chosen = chosen.only(only)
    planned = running.plan(
        chosen, out=out, data=data, seeds=_seeds(seeds), epochs=epochs, device=device
    )
    if dry_run:
        outcome, todo = running.look(planned)
        _show_plan(todo)
    else:
        with watching(quiet=json) as watcher:
            outcome = running.run(planned, jobs=jobs or _jobs(device), watcher=watcher)
    filled = figures.fill(chosen, outcome, command=_command())
    paths = pages.write(out, filled)
    if json:
        console.print_json(pages.records_of(filled))
    else:
        _print(filled)
        for kind, path in paths.items():
            typer.echo(f"{kind}: {path}")
    if (outcome.errors or filled.errors) and not dry_run:
        raise typer.Exit(1)


def _command() -> str:
    """Return what makes the table; showing it only, or in JSON, makes no difference."""
    return shlex.join(["thrum", *(w for w in sys.argv[1:] if w not in ("--dry-run", "--json"))])


def _show_plan(todo: list[Cell]) -> None:
    minutes = sum(cell.run.minutes or 0.0 for cell in todo)
    about = f", about {minutes:.0f} min of one core" if minutes else ""
    typer.echo(f"cells to train: {len(todo)}{about}", err=True)


def _jobs(device: str) -> int:
    """Return one process a core; on a GPU, which they would share, one."""
    from thrum.training import device_of

    return (os.cpu_count() or 1) if device_of(device).type == "cpu" else 1


def _seeds(text: str | None) -> list[int] | None:
    from thrum.errors import UsageError

    if text is None:
        return None
    try:
        numbers = [int(word) for word in text.removesuffix(",").split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds is {text!r}, wanted a number or a list like 0,1,5") from error
    chosen = numbers if "," in text else list(range(numbers[0]))
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise UsageError(f"--seeds is {text!r}, wanted at least one seed, each once, from 0 on")
    return chosen


def _list(*, json: bool) -> None:
    from thrum.bench.tables import load_table, table_names

    rows = [[name, load_table(name).title] for name in table_names()]
    if json:
        console.print_json([{"table": name, "title": title} for name, title in rows])
    else:
        console.print_table("", ["table", "what"], rows)


def _needs(names: list[str], *, json: bool) -> None:
    from dataclasses import asdict

    from thrum.bench.needs import DEVICES, costs, need_of, processors, reckoned, told
    from thrum.bench.tables import load_table

    found = [need_of(load_table(name), costs()) for name in names]
    if json:
        console.print_json([asdict(need) for need in found])
        return
    for need in found:
        typer.echo(
            f"{need.table}: {need.disk_bytes / 1e9:.0f} GB of recordings, {need.cells} cells"
        )
        for device, hours in need.hours.items():
            typer.echo(f"    {DEVICES[device]}: {told(hours)}")
        for command in need.data:
            typer.echo(f"    {command}")
    typer.echo("Hours over all seeds, from the step times that benchmarks/table_costs.py measured.")
    for device, where in processors(costs()).items():
        typer.echo(f"{DEVICES[device]}: {', '.join(where) or 'nothing was measured yet'}")
    for run, how in reckoned(costs()).items():
        typer.echo(f"{run}: reckoned {how}")


def _print(filled: Filled) -> None:
    from thrum.bench import pages

    for part in pages.parts_of(filled):
        title = f"{filled.table.name}: {part.title or filled.table.title}"
        lines = [[name, label, *cells] for name, label, cells in part.lines]
        console.print_table(title, ["", "", *part.header], lines)
    for note in pages.notes_of(filled):
        typer.echo(note)
