"""``thrum collaborate client``: take part in one round as a site, on NVFlare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import (
    Anomaly,
    Budget,
    ClipSeconds,
    Device,
    HopSeconds,
    Json,
    Labels,
    Layout,
    Normal,
    Release,
    Rounds,
    Sharing,
    checked_releases,
    checked_sharing,
    signature,
)

if TYPE_CHECKING:
    from thrum.evaluation.table import Result


def client(
    kit: Annotated[Path, typer.Option(help="The site's start-up kit, from the operator.")],
    data: Annotated[Path, typer.Option(help="The site's recordings; they never leave it.")],
    out: Annotated[Path, typer.Option(help="The site's own folder: ledger, scores, results.")],
    embedder: Annotated[
        str, typer.Option(help="The frozen model that all sites share (thrum weights list).")
    ] = "modulation",
    sharing: Sharing = "statistics",
    release: Release = None,
    budget: Budget = "",
    algorithm: Annotated[
        int, typer.Option(min=1, max=2, help="2 also lets embeddings of test clips leave the site.")
    ] = 1,
    layout: Layout = None,
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    device: Device = "auto",
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Take part in every round of the server, until ended (Ctrl-C)."
        ),
    ] = False,
    rounds: Rounds = None,
    json: Json = False,
) -> None:
    """Embed the recordings, take part in one round, score the site's machines, and stop."""
    from thrum.errors import UsageError
    from thrum.federation.flare.kit import read_kit
    from thrum.federation.flare.rounds import open_site, take_part
    from thrum.federation.flare.serving import take_part_in_rounds
    from thrum.federation.flare.settings import SiteSettings
    from thrum.monitoring.opening import prepare_site

    if rounds is not None and not serve:
        raise UsageError("--rounds says in how many rounds --serve takes part: give --serve, too")
    own_kit = read_kit(kit, role="site")
    settings = SiteSettings(
        own_kit.name,
        data.resolve(),
        out.resolve(),
        embedder,
        layout,
        device,
        algorithm=1 if algorithm == 1 else 2,
        sharing=checked_sharing(sharing, algorithm=algorithm),
        labels=labels.resolve() if labels else None,
        normal=tuple(normal or ()),
        anomaly=tuple(anomaly or ()),
        clip_seconds=clip_seconds,
        hop_seconds=hop_seconds,
        releases=checked_releases(release, budget, sharing=sharing),
    )

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    def ended(results: list[Result], notes: list[str]) -> None:
        if (settings.out / "model.json").exists():
            when, who = signature()
            notes = [*notes, *prepare_site(open_site(settings), when=when, who=who)]
        _show(results, notes, out, json=json)

    with console.progress(quiet=json or serve) as progress:
        if serve:
            take_part_in_rounds(
                own_kit, settings, tell=tell, progress=progress, ended=ended, rounds=rounds
            )
        else:
            results, notes = take_part(own_kit, settings, tell=tell, progress=progress)
    if not serve:
        ended(results, notes)


def _show(results: list[Result], notes: list[str], out: Path, *, json: bool) -> None:
    from dataclasses import asdict

    from thrum.evaluation.table import unjudged

    if json:
        rows = [asdict(row) for row in results]
        console.print_json({"out": str(out), "results": rows, "notes": notes})
        return
    cells = [
        [row.machine, row.machine_id, row.method, _figure(row.auc), _figure(row.pauc)]
        for row in results
    ]
    console.print_table("", ["machine", "machine_id", "method", "auc", "pauc"], cells)
    for reason in unjudged(results):
        typer.echo(reason)
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"scores:  {out / 'scores'}")
    typer.echo(f"results: {out / 'results.csv'}")
    typer.echo(f"what has left this site: thrum collaborate ledger {out}")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
