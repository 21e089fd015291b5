"""``thrum privacy``: what sharing gives away, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thrum.cli import console
from thrum.cli.options import (
    Anomaly,
    ClipSeconds,
    HopSeconds,
    Json,
    Labels,
    Layout,
    Normal,
    Seed,
    Settings,
    Sharing,
    open_data,
)
from thrum.errors import UsageError

if TYPE_CHECKING:
    from thrum.privacy.audit import Audit

LIMIT_PASSED = 4
DEFAULTS = {
    "embeddings": ("frames", "clip_mean"),
    "statistics": ("least:5", "least:5 | gaussian:10,1e-5,clip", "least:5 | secure"),
}

app = typer.Typer(
    help="What sharing gives away, measured by attacks, beside what it is worth.",
    no_args_is_help=True,
)


@app.callback()
def _privacy() -> None:
    pass


@app.command("audit")
def audit(
    out: Annotated[Path, typer.Option(help="The folder for audit.json, audit.csv and the page.")],
    data: Annotated[
        Path | None, typer.Option(help="Your recordings; what is attacked are your own machines.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Attack simulated machines, of which all is known.")
    ] = False,
    embedder: Annotated[
        str, typer.Option(help="The frozen model that sites share (thrum weights list).")
    ] = "modulation",
    release: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHAIN",
            help="What leaves, as 'clip_mean | quantise:4'; repeatable. Else frames and clip_mean, or three "
            "forms of statistics.",
        ),
    ] = None,
    sharing: Sharing = "embeddings",
    algorithm: Annotated[int, typer.Option(min=1, max=2, help="Of embedding sharing.")] = 1,
    sites: Annotated[int, typer.Option(min=2, help="How many take part in the round.")] = 10,
    speech: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Spoken words to mix in, <speaker>/<word>.wav (women's folders begin with f); else "
            "espeak-ng makes them, where it is installed.",
        ),
    ] = None,
    attacks: Annotated[
        list[str] | None, typer.Option("--attacks", help="Some of them by name; else all.")
    ] = None,
    max_leak: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ATTACK=]LEAK",
            help="Exit with 4 where more leaks, 0 (chance) to 1 (certainty); repeatable.",
        ),
    ] = None,
    settings: Settings = None,
    seed: Seed = 0,
    layout: Layout = None,
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    json: Json = False,
) -> None:
    """Attack what would be shared, and say what each form gives away and what it is worth."""
    if (data is None) is not simulate:
        raise UsageError(
            "say either --data DIR, your recordings, or --simulate, simulated machines"
        )
    limits = _limits(max_leak or [])
    if sharing not in ("statistics", "embeddings"):
        raise UsageError(f"--sharing is {sharing!r}, wanted statistics or embeddings")

    from dataclasses import replace

    from thrum.embedders import create_embedder
    from thrum.privacy.audit import ATTACKS, AuditSettings
    from thrum.privacy.audit import audit as run
    from thrum.privacy.audit.asides import asides, spoken_beside
    from thrum.privacy.audit.auditing import check_attacks
    from thrum.privacy.audit.page import write_page
    from thrum.privacy.audit.recorded import recorded
    from thrum.privacy.audit.simulated import Simulation, simulated
    from thrum.privacy.audit.voices import voices
    from thrum.privacy.mechanisms import told_release
    from thrum.systems.embedding_sharing import preset_config
    from thrum.systems.embedding_sharing.private import require_opacus

    for name in [*(attacks or []), *(name for name in limits if name)]:
        ATTACKS.require(name)
    shared: Literal["statistics", "embeddings"] = (
        "statistics" if sharing == "statistics" else "embeddings"
    )
    asked_for = AuditSettings(
        embedder,
        "simulated machines" if data is None else data.resolve().name,
        tuple(release or DEFAULTS[sharing]),
        sharing=shared,
        algorithm=1 if algorithm == 1 else 2,
        sites=sites,
        attacks=tuple(attacks or ()),
        settings=tuple(settings or ()),
        seed=seed,
    )
    for text in asked_for.releases:
        told_release(text, shared)  # what is misspelt is said before an hour's work
    require_opacus(preset_config("compact", assignments=asked_for.settings))
    names = check_attacks(asked_for)
    asked = set(names)
    spoken = voices(speech) if "speech" in asked else []
    with console.progress(quiet=json) as progress:
        if data is None:
            model, simulation = create_embedder(embedder), Simulation()
            material = simulated(simulation, model, seed=seed, progress=progress)
            if asked & {"rhythm", "linkage", "speech"}:
                own = asides(simulation.config(seed), model, spoken, progress=progress)
                material = replace(material, aside=own)
        else:
            dataset = open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds)
            chosen = "precomputed" if dataset.holds == "features" else embedder
            model = create_embedder(chosen)
            material = recorded(dataset, model, progress=progress)
            if "speech" in asked:
                beside = spoken_beside(material, model, spoken, seed=seed)
                material = replace(material, aside=beside)
        done = run(material, asked_for, progress=progress)
    done.write(out)
    write_page(out / "audit.html", done)
    passed = done.above(limits)
    if json:
        console.print_json({**done.to_json(), "above": passed})
    else:
        _show(done, out)
        for line in passed:
            typer.echo(f"above the limit: {line}")
    if passed:
        raise typer.Exit(LIMIT_PASSED)


def _show(done: Audit, out: Path) -> None:
    for one in done.releases:
        rows = [
            [
                found.attack,
                found.quantity if found.value is not None else f"{found.quantity}: not measured",
                found.measure or "–",
                console.figure(found.value),
                _interval(found.low, found.high),
                console.figure(found.chance) if found.value is not None else "–",
            ]
            for found in one.findings
        ]
        header = ["attack", "what", "measure", "reached", "95 %", "chance"]
        console.print_table(f"released: {one.chain}", header, rows)
        for found in one.findings:
            if found.reason:
                typer.echo(f"not measured: {found.attack}, {found.quantity}: {found.reason}")
        together = ", ".join(f"{name} {auc:.3f}" for name, auc in one.worth.together.items())
        typer.echo(
            f"worth: AUC alone {console.figure(one.worth.alone)}; together {together or '–'}"
        )
    typer.echo(f"page: {out / 'audit.html'}")


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _limits(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = -1.0
        if not 0 <= limit <= 1:
            raise UsageError(
                f"--max-leak is {text!r}, wanted a number from 0 to 1, or attack=number"
            )
        found[name.strip()] = limit
    return found
