"""``thrum fine-tune``: bring wav2vec 2.0 closer to machine sound before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli import console
from thrum.cli.options import (
    Anomaly,
    ClipSeconds,
    Device,
    HopSeconds,
    Json,
    Labels,
    Normal,
    Resume,
    Seed,
    Settings,
    check_out,
    open_data,
)


def fine_tune(
    data: Annotated[
        Path, typer.Option(help="A dataset of recordings; its training split is used.")
    ],
    out: Annotated[Path, typer.Option(help="The folder that the network is written to.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A folder with config.json and model.safetensors to begin with; else the base model "
            "that 'thrum weights fetch wav2vec2_base' stored."
        ),
    ] = None,
    settings: Settings = None,
    resume: Resume = False,
    layout: Annotated[
        str | None, typer.Option(help="mimii, dcase or folder; else found out.")
    ] = None,
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fine-tune wav2vec 2.0 on normal machine sound, for thrum train --set wav2vec2=FOLDER."""
    from thrum import config as configs
    from thrum.systems.self_supervised.config import FineTuning
    from thrum.systems.self_supervised.fine_tuning import fine_tune as run

    check_out(out, resume=resume)
    chosen = configs.with_overrides(FineTuning(), settings or [])
    dataset = open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds)
    with console.progress(quiet=json) as progress:
        losses = run(
            dataset.where(split="train"),
            out,
            weights=weights,
            config=chosen,
            seed=seed,
            device=device,
            progress=progress,
        )
    if json:
        console.print_json({"out": str(out), "losses": losses})
    else:
        typer.echo(f"loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
        typer.echo(f"network: {out / 'model.safetensors'}")
