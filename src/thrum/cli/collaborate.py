"""``thrum collaborate``: sites learn together by sharing statistics or embeddings, never recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.collaborate_client import client
from thrum.cli.collaborate_ledger import ledger, withdraw
from thrum.cli.collaborate_renew import renew
from thrum.cli.collaborate_scores import score, serve_scores
from thrum.cli.collaborate_server import server
from thrum.cli.collaborate_status import status
from thrum.cli.options import (
    Anomaly,
    Backend,
    Budget,
    ClipSeconds,
    Device,
    HopSeconds,
    Json,
    Labels,
    Layout,
    Normal,
    PerMachineType,
    Release,
    Seed,
    Settings,
    Sharing,
    WhiteningFrom,
    checked_releases,
    checked_sharing,
    open_data,
    signature,
)

if TYPE_CHECKING:
    from thrum.evaluation.curves import LearningCurves
    from thrum.federation.inprocess import Simulation
    from thrum.types import Dataset, Progress

app = typer.Typer(
    help="Sites learn together by sharing statistics or embeddings, never recordings.",
    no_args_is_help=True,
)
app.command("ledger")(ledger)
app.command("withdraw")(withdraw)
app.command("server")(server)
app.command("client")(client)
app.command("status")(status)
app.command("renew")(renew)
app.command("serve-scores")(serve_scores)
app.command("score")(score)


@app.command("simulate")
def simulate(
    data: Annotated[Path, typer.Option(help="A dataset; every machine ID of it becomes a site.")],
    out: Annotated[Path, typer.Option(help="The folder of this run; a killed run goes on there.")],
    embedder: Annotated[
        str | None,
        typer.Option(
            help="The frozen model that all sites share (thrum weights list); the preset's: "
            "modulation (compact), openl3_6144 (paper)."
        ),
    ] = None,
    sharing: Sharing = "statistics",
    release: Release = None,
    budget: Budget = "",
    algorithm: Annotated[
        int, typer.Option(min=1, max=2, help="1: the classifier goes to the sites. 2: it stays.")
    ] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    backend: Backend = None,
    layout: Layout = None,
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    per_machine_type: PerMachineType = None,
    preset: Annotated[str, typer.Option(help="compact (default) or paper.")] = "compact",
    config: Annotated[Path | None, typer.Option(help="TOML: what differs from the preset.")] = None,
    settings: Settings = None,
    whitening_from: WhiteningFrom = 5,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    json: Json = False,
) -> None:
    """Run server and all sites in one process: every machine ID is a site with its own folder."""
    run_simulation(
        open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds),
        out=out,
        embedder=embedder,
        sharing=sharing,
        release=release,
        budget=budget,
        algorithm=algorithm,
        seed=seed,
        device=device,
        per_machine_type=per_machine_type,
        preset=preset,
        config=config,
        settings=settings,
        whitening_from=whitening_from,
        report=report,
        json=json,
    )


def run_simulation(
    dataset: Dataset,
    *,
    out: Path,
    embedder: str | None = None,
    sharing: str = "statistics",
    release: str | None = None,
    budget: str = "",
    algorithm: int = 1,
    seed: int = 0,
    device: str = "auto",
    per_machine_type: bool | None = None,
    preset: str = "compact",
    config: Path | None = None,
    settings: list[str] | None = None,
    whitening_from: int = 5,
    report: bool = True,
    curves: bool = False,
    json: bool = False,
) -> None:
    """Simulate, then show the table and write the report; what ``simulate`` and ``demo`` share."""
    from dataclasses import replace

    from thrum.datasets import learnable
    from thrum.embedders import create_embedder
    from thrum.federation.inprocess import simulate as run
    from thrum.federation.summary import write_summary
    from thrum.monitoring.opening import prepare_site
    from thrum.systems.embedding_sharing import PER_MACHINE_TYPE, preset_config
    from thrum.systems.embedding_sharing.private import require_opacus

    shared = checked_sharing(
        sharing, algorithm=algorithm, preset=preset, config=config, settings=settings
    )
    dataset = learnable(dataset)
    chosen = preset_config(preset, file=config, assignments=settings or [])
    require_opacus(chosen)
    if embedder is not None:
        chosen = replace(chosen, embedder=embedder)
    embedder = chosen.embedder
    if dataset.holds == "features":
        embedder = "precomputed"
    if per_machine_type is None:
        per_machine_type = PER_MACHINE_TYPE[preset]
    with console.progress(quiet=json) as progress:
        simulation = run(
            dataset,
            embedder=create_embedder(embedder),
            config=chosen,
            folder=out,
            seed=seed,
            algorithm=1 if algorithm == 1 else 2,
            sharing=shared,
            whitening_from=whitening_from,
            releases=checked_releases(release, budget, sharing=shared, form=chosen.form),
            device=device,
            per_machine_type=per_machine_type,
            progress=progress,
        )
        when, who = signature()
        carried = [
            note for site in simulation.sites for note in prepare_site(site, when=when, who=who)
        ]
        simulation = replace(simulation, notes=[*simulation.notes, *carried])
        drawn = _curves(simulation, dataset, progress) if curves else None
        page = write_summary(simulation, out, curves=drawn) if report else None
    _show(simulation, out, curves=drawn, page=page, json=json)


def _curves(simulation: Simulation, dataset: Dataset, progress: Progress) -> LearningCurves | None:
    from thrum.bench.few_clips.curve import learning_curves

    owner = {key: site for site in simulation.sites for key in site.machines}
    return learning_curves(
        dataset, lambda clip: owner[clip.machine_key].frames([clip])[0], progress=progress
    )


def _show_curves(curves: LearningCurves) -> None:
    """Print what more clips are worth as a table, and in one sentence."""
    header = ["normal clips of the site", *curves.clips]
    rows = [
        [name, *(f"{own[clips][0]:.1f} ± {own[clips][1]:.1f}" for clips in curves.clips)]
        for name, own in curves.lines.items()
    ]
    console.print_table(f"{curves.title} ({curves.measure}, %)", header, rows)
    typer.echo(curves.told)


def _show(
    simulation: Simulation,
    out: Path,
    *,
    curves: LearningCurves | None,
    page: Path | None,
    json: bool,
) -> None:
    from thrum.evaluation.table import comparison, summary, unjudged

    means = {row.method: row for row in summary(simulation.results) if row.machine is None}
    if json:
        console.print_json(
            {
                "out": str(out),
                "report": str(page) if page else None,
                "id_accuracy": simulation.id_accuracy,
                "notes": list(simulation.notes),
                "mean": {name: {"auc": row.auc, "pauc": row.pauc} for name, row in means.items()},
            }
        )
        return
    for title, (header, rows) in {
        "AUC": comparison(simulation.results),
        "partial AUC (p = 0.1)": comparison(simulation.results, measure="pauc"),
    }.items():
        console.print_table(title, header, [[console.figure(cell) for cell in row] for row in rows])
    if curves is not None:
        _show_curves(curves)
    for reason in unjudged(simulation.results):
        typer.echo(reason)
    for note in simulation.notes:
        typer.echo(f"note: {note}")
    if simulation.id_accuracy is not None:
        told = f"{simulation.id_accuracy:.1%} of {_asked(simulation)}"
        typer.echo(f"machine IDs named rightly: {told}")
    typer.echo(f"results: {out / 'results.csv'}")
    if page:
        typer.echo(f"report:  {page}")


def _asked(simulation: Simulation) -> str:
    """Return which clips the ID accuracy is of: training clips where a machine has no normal test clips."""
    judged = [own for own in simulation.scores if own.id_accuracy is not None]
    without = sum(not any(clip.label == "normal" for clip in own.clips) for own in judged)
    if without == 0:
        return "normal test clips"
    if without == len(judged):
        return "training clips (there are no normal test clips)"
    return f"normal test clips ({without} of {len(judged)} machine IDs have none: of their training clips)"
