"""``thrum score``: anomaly scores of recordings, from a trained system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import ClipSeconds, Device, HopSeconds, Json

if TYPE_CHECKING:
    from thrum.types import Clip


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What thrum train wrote.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, or folders of them.")
    ],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A CSV file; else the scores are printed.")
    ] = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score recordings; higher is more anomalous. They are read as those were that the run learnt."""
    from thrum import storage
    from thrum.datasets import Cutting, files, listing
    from thrum.datasets.taking import read_takings
    from thrum.errors import UsageError
    from thrum.evaluation.table import to_csv
    from thrum.systems.base import load_system

    for path in paths:
        listing.require_utf8(path)
    system = load_system(run, device=device)
    known = ["/".join(key) for key in system.machine_keys]
    if machine is None and len(known) == 1:
        machine = known[0]
    if machine not in known:
        raise UsageError(
            f"{run} knows {', '.join(known)}: say which one these recordings are of with --machine"
        )
    name, _, machine_id = machine.partition("/")
    asked = clip_seconds is not None or hop_seconds is not None
    found = files.find(
        paths,
        (name, machine_id),
        takings=read_takings(run),
        cutting=Cutting(clip_seconds, hop_seconds) if asked else None,
    )
    rows: list[tuple[str, float | None, float | None, float]] = []
    if found.clips:
        scores = system.score(found.clips)
        values = scores.columns[scores.selected]
        rows = [_row(clip, float(value)) for clip, value in zip(found.clips, values, strict=True)]
    header = ["file", "start_seconds", "end_seconds", "anomaly_score"]
    timed = any(clip.stretch for clip in found.clips)
    shown = [row if timed else (row[0], row[3]) for row in rows]
    if not timed:
        header = ["file", "anomaly_score"]
    if out is not None:
        storage.write_text(out, to_csv(header, shown))
    if json:
        console.print_json([dict(zip(header, row, strict=True)) for row in shown])
    elif out is None and rows:
        cells = [[row[0], *map(_cell, row[1:-1]), f"{row[-1]:.4f}"] for row in shown]
        console.print_table("", header, cells)
    for path, reason in found.left_out:
        typer.echo(f"left out: {path}: {reason}", err=True)
    for _, reason in found.refused:
        typer.echo(f"not scored: {reason}", err=True)
    if found.refused:
        raise typer.Exit(1)


def _row(clip: Clip, value: float) -> tuple[str, float | None, float | None, float]:
    if clip.stretch is None:
        return str(clip.path), None, None, value
    start, seconds = clip.stretch
    return str(clip.path), start, start + seconds, value


def _cell(value: object) -> str:
    return "" if value is None else f"{value:g}"
