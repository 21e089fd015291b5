"""``thrum train``: fit a system on a dataset and score its test split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import (
    Anomaly,
    Backend,
    ClipSeconds,
    Device,
    HopSeconds,
    Json,
    Labels,
    Layout,
    Normal,
    Resume,
    Seed,
    Settings,
    check_out,
    open_data,
    signature,
)

if TYPE_CHECKING:
    from thrum.systems.base import System
    from thrum.types import Clip


def train(
    system: Annotated[str, typer.Option(help="The method, for instance embedding-sharing.")],
    data: Annotated[Path, typer.Option(help="A dataset.")],
    out: Annotated[Path, typer.Option(help="The folder of this run.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML: what differs from the defaults.")
    ] = None,
    settings: Settings = None,
    resume: Resume = False,
    layout: Layout = None,
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    hold_out: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Share of the normal recordings that a network does not learn, to measure it on for alarms; "
            "0: learn all, as the papers do. k-NN needs none.",
        ),
    ] = 0.2,
    states_by: Annotated[
        str | None,
        typer.Option(help="The attribute that tells the operating state; else found in the sound."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    backend: Backend = None,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    json: Json = False,
) -> None:
    """Fit a system on the training split; score the test split where there is one."""
    from thrum import config as configs
    from thrum import storage
    from thrum.datasets.taking import takings_of, write_takings
    from thrum.evaluation.dcase.submission import write_submission
    from thrum.evaluation.table import comparison, results_of, unjudged, write_results, write_scores
    from thrum.monitoring.holding import held_out
    from thrum.monitoring.opening import prepare_monitors
    from thrum.systems.base import SYSTEMS
    from thrum.systems.summary import write_summary

    check_out(out, resume=resume)
    kind = SYSTEMS.load(system)
    chosen = configs.load(kind.Config, config) if config else kind.Config()
    chosen = configs.with_overrides(chosen, settings or [])
    dataset = open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds)
    takings = takings_of(dataset.where(split="train"))
    with console.progress(quiet=json) as progress:
        made = kind(chosen, seed=seed, device=device, folder=out / "work", progress=progress)
        learnt = list(dataset.where(split="train"))
        back: list[Clip] = []
        if made.wants_held_out:
            learnt, back = held_out(learnt, hold_out)
        fitted = made.fit(learnt)
        if back:
            back = [clip for clip in back if clip.machine_key in fitted.machine_keys]
            fitted.calibrate(back)
        fitted.save(out)
        write_takings(out, takings)
        if back or not made.wants_held_out:
            when, who = signature()
            prepare_monitors(
                out,
                fitted,
                back or learnt,
                when=when,
                who=who,
                states_by=states_by,
                progress=progress,
            )
        storage.write_text(out / "config.toml", configs.to_toml(chosen))
        test = fitted.learnt_among(dataset.where(split="test"))
        scores = fitted.score(test) if test else None
    if scores is not None:
        results = results_of(scores, seed=seed)
        results += results_of(scores, seed=seed, method_names={scores.selected: "selected"})
        write_scores(out / "scores", scores)
        write_results(out / "results.csv", results)
        submission = write_submission(out / "submission", scores, thresholds=_thresholds(fitted))
        if report:
            write_summary(out / "report.html", fitted, scores, name=system, data=dataset.name)
        header, rows = comparison(results)
        if json:
            console.print_json({"out": str(out), "header": header, "rows": rows})
        else:
            cells = [[console.figure(cell) for cell in row] for row in rows]
            console.print_table("AUC", header, cells)
            for reason in unjudged(results):
                typer.echo(reason)
    elif json:
        console.print_json({"out": str(out), "header": [], "rows": []})
    if not json:
        typer.echo(f"model: {out / 'model.safetensors'}")
        if scores is not None and report:
            typer.echo(f"report: {out / 'report.html'}")
        if scores is not None and submission:
            typer.echo(f"for thrum evaluate: {out / 'submission'}")


def _thresholds(fitted: System) -> dict[tuple[str, str], float]:
    """Return where a clip of each machine ID is in alarm: the system's own word, or its normal clips'."""
    from thrum.detectors.threshold import gamma_threshold

    found = dict(fitted.thresholds)
    for key, left_out in fitted.left_out_scores().items():
        if key not in found and len(left_out) > 1:
            found[key] = gamma_threshold(left_out)
    return found
