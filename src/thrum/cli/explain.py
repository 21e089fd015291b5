"""``thrum explain``: what makes a recording strange, as a page and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Device, Json


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or the folder of a site.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One recording.")],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
    ] = None,
    at: Annotated[
        float | None, typer.Option(help="The second of a long recording; else its strangest clip.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; else <file>.explanation.html in this folder.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Say where in time and frequency a recording is strange, beside which normal one, and in words."""
    from thrum.monitoring import open_monitor
    from thrum.monitoring.page import write_page

    monitor = open_monitor(run, machine, device=device)
    explanation = monitor.explain(file, at_seconds=at)
    path = out or Path(f"{file.stem}.explanation.html")
    write_page(path, explanation)
    told = explanation.to_json()
    if json:
        console.print_json({**told, "page": str(path)})
        return
    judgement = explanation.judgement
    typer.echo(f"{judgement.clip.name}: score {judgement.score:.4f}, p-value {judgement.p:.4f}")
    for note in judgement.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"most of the score comes from {explanation.place}")
    for each in explanation.different:
        typer.echo(f"- {each.words}")
    if not explanation.different:
        typer.echo("- level, bands, tones and knocking are within what normal clips have")
    typer.echo(f"the normal clip most like it: {explanation.nearest.name}")
    typer.echo(f"page: {path}")
