"""``thrum collaborate server``: run one round over the sites, on NVFlare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thrum.cli import console
from thrum.cli.options import (
    Device,
    Json,
    PerMachineType,
    Release,
    Rounds,
    Seed,
    Settings,
    Sharing,
    WhiteningFrom,
    checked_sharing,
)


def server(
    kit: Annotated[
        Path, typer.Option(help="The folder that holds the kits of the server and of the operator.")
    ],
    sites: Annotated[
        Path, typer.Option(help="TOML: the sites, and the machines that each may speak for.")
    ],
    out: Annotated[Path, typer.Option(help="The server's store; a stopped round goes on there.")],
    sharing: Sharing = "statistics",
    release: Release = None,
    algorithm: Annotated[
        int, typer.Option(min=1, max=2, help="1: the classifier goes to the sites. 2: it stays.")
    ] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    per_machine_type: PerMachineType = None,
    preset: Annotated[str, typer.Option(help="compact (default) or paper.")] = "compact",
    config: Annotated[Path | None, typer.Option(help="TOML: what differs from the preset.")] = None,
    settings: Settings = None,
    whitening_from: WhiteningFrom = 5,
    wait: Annotated[float, typer.Option(help="Seconds that the sites may take to come.")] = 3600.0,
    quorum: Annotated[
        int | None,
        typer.Option(min=1, help="Sites that are enough where others do not come or fail; all."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds a site may take for an answer.")] = 600.0,
    max_clips: Annotated[int, typer.Option(min=1, help="Clips that one site may have.")] = 200_000,
    max_gigabytes: Annotated[
        float, typer.Option(min=0, help="Embeddings that one site may send.")
    ] = 200.0,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Go on for years; failures are told, noted and tried again."),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(help="With --serve: so long after a round the next one begins; 1 day."),
    ] = None,
    when_clips: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --serve: or earlier, once the sites have so many new clips."
        ),
    ] = None,
    rounds: Rounds = None,
    json: Json = False,
) -> None:
    """Start the server, wait for the sites, run one round with them, and stop; or go on with --serve."""
    from thrum.errors import ConfigError, UsageError
    from thrum.federation.flare.kit import server_kits
    from thrum.federation.flare.rounds import serve as serve_once
    from thrum.federation.flare.serving import serve_rounds
    from thrum.federation.flare.settings import ServerSettings, read_registry
    from thrum.federation.members import Limits
    from thrum.monitoring.asked import seconds_of
    from thrum.privacy.mechanisms import told_release
    from thrum.systems.embedding_sharing import PER_MACHINE_TYPE, preset_config
    from thrum.systems.embedding_sharing.private import require_opacus

    for option, given in (("--every", every), ("--when-clips", when_clips), ("--rounds", rounds)):
        if given is not None and not serve:
            raise UsageError(f"{option} is of a server that goes on: give --serve, too")
    every_seconds = seconds_of(every or "1 day")
    shared = checked_sharing(
        sharing, algorithm=algorithm, preset=preset, config=config, settings=settings
    )
    preset_settings = preset_config(preset, file=config, assignments=settings or [])
    require_opacus(preset_settings)
    if preset_settings.training != "pooled":
        raise ConfigError(
            f"training is {preset_settings.training!r}: that is a comparison, for the bench in one "
            f"process; a deployed round pools embeddings, so leave it 'pooled'"
        )
    if per_machine_type is None:
        per_machine_type = PER_MACHINE_TYPE[preset]
    server_kit, operator_kit = server_kits(kit)
    chosen = ServerSettings(
        out.resolve(),
        read_registry(sites),
        algorithm=1 if algorithm == 1 else 2,
        sharing=shared,
        seed=seed,
        device=device,
        per_machine_type=per_machine_type,
        config=preset_settings,
        answer_seconds=timeout,
        quorum=quorum,
        release=told_release(release, shared) if release is not None else None,
        whitening_from=whitening_from,
        limits=Limits(max_clips, round(max_gigabytes * 1e9)),
        sites_file=sites.resolve(),
    )

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    def ended(outcome: dict[str, Any]) -> None:
        _show(outcome, out, json=json)

    with console.progress(quiet=json or serve) as progress:
        if serve:
            serve_rounds(
                server_kit,
                operator_kit,
                chosen,
                every_seconds=every_seconds,
                when_clips=when_clips,
                wait_seconds=wait,
                tell=tell,
                progress=progress,
                ended=ended,
                rounds=rounds,
            )
            return
        outcome = serve_once(
            server_kit, operator_kit, chosen, wait_seconds=wait, tell=tell, progress=progress
        )
    ended(outcome)


def _show(outcome: dict[str, Any], out: Path, *, json: bool) -> None:
    if json:
        console.print_json({"out": str(out), **outcome})
        return
    rows = [[site, ", ".join(machines)] for site, machines in outcome["sites"].items()]
    console.print_table("the round is done", ["site", "machines"], rows)
    for note in outcome["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"store: {out}")
