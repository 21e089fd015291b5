"""``thrum score``: anomaly scores of recordings, from a trained system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Device, Json


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What thrum train wrote.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="wav or flac files, or folders.")
    ],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A CSV file; else the scores are printed.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score recordings; higher is more anomalous."""
    from thrum import audio, storage
    from thrum.datasets import listing
    from thrum.errors import DataError, UsageError
    from thrum.evaluation.table import to_csv
    from thrum.systems.base import load_system
    from thrum.types import Clip

    files = [
        file
        for path in paths
        for file in (
            sorted(f for f in path.rglob("*") if f.suffix.lower() in audio.SUFFIXES)
            if path.is_dir()
            else [path]
        )
    ]
    for file in files:
        listing.require_utf8(file)
    if not files:
        raise DataError(f"no wav or flac files under {', '.join(map(str, paths))}")
    system = load_system(run, device=device)
    known = ["/".join(key) for key in system.machine_keys]
    if machine is None and len(known) == 1:
        machine = known[0]
    if machine not in known:
        raise UsageError(
            f"{run} knows {', '.join(known)}: say which one these recordings are of with --machine"
        )
    name, _, machine_id = machine.partition("/")
    scores = system.score([Clip(file, name, machine_id, "test") for file in files])
    values = scores.columns[scores.selected]
    rows = [(str(file), float(value)) for file, value in zip(files, values, strict=True)]
    if out is not None:
        storage.write_text(out, to_csv(("file", "anomaly_score"), rows))
    if json:
        console.print_json([{"file": file, "anomaly_score": value} for file, value in rows])
    elif out is None:
        console.print_table("", ["file", "anomaly_score"], [[f, f"{v:.4f}"] for f, v in rows])
