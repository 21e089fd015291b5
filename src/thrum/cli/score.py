"""``thrum score``: are these recordings well? Scores, p-values and alarms, from any run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import (
    Backend,
    ClipSeconds,
    Device,
    Every,
    FalseAlarms,
    HopSeconds,
    Json,
    Rule,
)

if TYPE_CHECKING:
    from thrum.monitoring import Judgement, Judgements, Monitor

Row = tuple[str, float | None, float | None, float | None, float | None, str]

ALARM = 3
"""The exit code where something is in alarm."""


def score(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run of thrum train or collaborate, or a site.")
    ],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, or folders of them.")
    ],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A CSV file; else a table is printed.")] = None,
    false_alarms: FalseAlarms = "1 in 1000 clips",
    every: Every = None,
    rule: Rule = "stream",
    tail: Annotated[
        bool,
        typer.Option(
            "--tail", help="With --rule clip: assume a Pareto tail beyond the normal clips."
        ),
    ] = False,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    device: Device = "auto",
    backend: Backend = None,
    json: Json = False,
) -> None:
    """Judge recordings, in the order given, as one stream: file, time, score, p-value, state.

    They are read as those were that the run learnt. The p-value is the share of normal clips that are as
    strange. Exit code 3 says that something is in alarm, 1 that something could not be judged, silence too.
    """
    from thrum import storage
    from thrum.cli.options import alarm_settings
    from thrum.datasets import Cutting, listing
    from thrum.evaluation.table import to_csv
    from thrum.federation.brought import RECEIVED
    from thrum.monitoring import open_monitor
    from thrum.monitoring.opening import run_of

    for path in paths:
        listing.require_utf8(path)
    settings = alarm_settings(false_alarms, every, rule, tail=tail)
    monitor = open_monitor(run, machine, alarms=settings, device=device)
    asked = clip_seconds is not None or hop_seconds is not None
    cutting = Cutting(clip_seconds, hop_seconds) if asked else None
    judgements = monitor.judge(list(paths), cutting=cutting)
    header, rows = header_and_rows(judgements)
    if out is not None:
        storage.write_text(out, to_csv(header, rows))
    if json:
        told = [
            {**dict(zip(header, row, strict=True)), **_more(judgement)}
            for row, judgement in zip(rows, judgements, strict=True)
        ]
        console.print_json(told)
    elif out is None and rows:
        timed = any(row[1] is not None for row in rows)
        shown = [0, *([1, 2] if timed else []), 3, 4, 5]
        cells = [[_cell(row[column], column) for column in shown] for row in rows]
        console.print_table("", [header[column] for column in shown], cells)
    tell(monitor, judgements, quiet=json)
    if (run_of(run, machine) / RECEIVED).is_dir() and not json:
        typer.echo(
            "this site's ID classifier is at its server (Algorithm 2): these scores are what the site knows "
            "by itself; thrum collaborate score --kit KIT asks for the network's too",
            err=True,
        )
    end_with(judgements)


def header_and_rows(judgements: Judgements) -> tuple[list[str], list[Row]]:
    """Return what is said of each clip, and the names of these columns."""
    header = ["file", "start_seconds", "end_seconds", "anomaly_score", "p_value", "state"]
    return header, [_row(judgement) for judgement in judgements]


def end_with(judgements: Judgements) -> None:
    """End with the exit code that judgements ask for."""
    if judgements.alarm:
        raise typer.Exit(ALARM)
    if judgements.refused or any(judgement.score is None for judgement in judgements):
        raise typer.Exit(1)


def _row(judgement: Judgement) -> Row:
    stretch = judgement.clip.stretch
    start, end = (stretch[0], stretch[0] + stretch[1]) if stretch else (None, None)
    return judgement.file, start, end, judgement.score, judgement.p, judgement.state


def _more(judgement: Judgement) -> dict[str, object]:
    return {
        "operating_state": judgement.operating,
        "alarm_since_clips": judgement.since,
        "drift": judgement.drift,
        "notes": list(judgement.notes),
    }


def _cell(value: object, column: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}" if column < 3 else f"{value:.4f}"
    return str(value)


def tell(monitor: Monitor, judgements: Judgements, *, quiet: bool) -> None:
    """Say on stderr what the table cannot: notes, drift, and what the alarm promises."""
    for path, reason in judgements.left_out:
        typer.echo(f"left out: {path}: {reason}", err=True)
    for _, reason in judgements.refused:
        typer.echo(f"not scored: {reason}", err=True)
    if quiet:
        return
    noted: dict[str, list[str]] = {}
    for judgement in judgements:
        for note in judgement.notes:
            noted.setdefault(note, []).append(judgement.clip.name)
    for note, clips in noted.items():
        more = f" and {len(clips) - 1} more" if len(clips) > 1 else ""
        typer.echo(f"note: {clips[0]}{more}: {note}", err=True)
    place = next((n for n, judgement in enumerate(judgements) if judgement.state == "alarm"), None)
    if place is not None:
        since = judgements[max(0, place + 1 - judgements[place].since)].clip.name
        typer.echo(
            f"alarm, by {judgements[place].clip.name}: the evidence stands since {since}; thrum explain says "
            f"where in the sound",
            err=True,
        )
    if any(judgement.drift for judgement in judgements):
        first = next(judgement for judgement in judgements if judgement.drift)
        typer.echo(
            f"drift, by {first.clip.name}: for some time all clips have been a little stranger than "
            f"normal. Is the machine well? Then confirm clips: thrum baseline add",
            err=True,
        )
    for state in {judgement.operating for judgement in judgements} & set(monitor.promises):
        where = "" if len(monitor.promises) == 1 else f"{state}: "
        typer.echo(f"promised: {where}{monitor.promises[state]}", err=True)
