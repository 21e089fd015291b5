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
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="The network in 8 bits, learnt again from the known normal clips."
        ),
    ] = False,
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
    told = export_monitor(monitor, out, int8=int8)
    size = out.stat().st_size
    if json:
        keys = ("machine", "system", "promises", "operating_states", "sample_rate", "seconds")
        also = {"int8": told["int8"]} if int8 else {}
        shown = {key: told[key] for key in keys}
        console.print_json({"out": str(out), "bytes": size, **shown, **also})
        return
    typer.echo(f"{told['machine']} by {told['system']}: {out} ({size / 1e6:.1f} MB)")
    if int8:
        found = told["int8"]
        before, after = (found[f"bytes_{when}"] / 1e6 for when in ("before", "after"))
        typer.echo(
            f"int8: the network has {after:.1f} MB instead of {before:.1f}; learnt again from "
            f"{found['clips']} normal clips, whose ranks agree to {found['rank_agreement']:.2f} with those "
            f"before. What it costs in hits only labelled clips would tell (docs/edge.md)"
        )
    for state, words in told["promises"].items():
        where = f"{state}: " if len(told["promises"]) > 1 else ""
        typer.echo(f"promised: {where}{words}")
