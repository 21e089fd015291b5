"""``thrum export``: a monitor as one ONNX file, for a small computer beside the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Every, FalseAlarms, Json, Rule


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or the folder of a site.")],
    out: Annotated[Path, typer.Option(help="The file, for instance monitor.onnx.")],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the run knows several.")
    ] = None,
    false_alarms: FalseAlarms = "1 in 1000 clips",
    every: Every = None,
    rule: Rule = "stream",
    json: Json = False,
) -> None:
    """Write the monitor of a machine as one ONNX file: 16 kHz samples in, score, p-value and state out.

    `thrum-edge` runs it without PyTorch (docs/edge.md). What cannot be exported is named.
    """
    from thrum.cli.options import alarm_settings
    from thrum.export import export_monitor
    from thrum.monitoring import open_monitor

    settings = alarm_settings(false_alarms, every, rule)
    monitor = open_monitor(run, machine, alarms=settings, device="cpu")
    told = export_monitor(monitor, out)
    size = out.stat().st_size
    if json:
        keys = ("machine", "system", "promises", "operating_states", "sample_rate", "seconds")
        console.print_json({"out": str(out), "bytes": size, **{key: told[key] for key in keys}})
        return
    typer.echo(f"{told['machine']} by {told['system']}: {out} ({size / 1e6:.1f} MB)")
    for state, words in told["promises"].items():
        where = f"{state}: " if len(told["promises"]) > 1 else ""
        typer.echo(f"promised: {where}{words}")
