"""``thrum demo``: the main job on simulated sites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli.options import Device, Seed


def demo(
    out: Annotated[Path, typer.Option(help="Where to put everything.")] = Path("runs/demo"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Simulate machines at several sites, let the sites learn together, show what each gained."""
    from dataclasses import replace

    from thrum.cli import console
    from thrum.cli.collaborate import run_simulation
    from thrum.datasets import open_dataset
    from thrum.datasets.synthetic import DEMO, write_dataset

    with console.progress() as progress:
        write_dataset(replace(DEMO, seed=seed), out / "data", progress=progress)
    run_simulation(
        open_dataset(out / "data", layout="dcase"),
        out=out / "run",
        seed=seed,
        device=device,
        curves=True,
    )
