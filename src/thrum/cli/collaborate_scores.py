"""``thrum collaborate serve-scores`` and ``score``: between rounds of Algorithm 2, the server scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Device, Every, FalseAlarms, Json, Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from thrum.monitoring import Judgements, Monitor
    from thrum.systems.embedding_sharing import ScorePair

ASKED = ("network", "fused")
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Where scores are served; else the kit's port and one."),
]


def serve_scores(
    kit: Annotated[
        Path, typer.Option(help="The folder that holds the kits of the server and of the operator.")
    ],
    out: Annotated[Path, typer.Option(help="The store of thrum collaborate server, Algorithm 2.")],
    sites: Annotated[
        Path | None,
        typer.Option(help="TOML: who may ask; that of thrum collaborate server, if it is there."),
    ] = None,
    port: Port = None,
    device: Device = "auto",
) -> None:
    """Score new clips for the sites of the newest round of Algorithm 2, over HTTPS, until Ctrl-C."""
    import time
    from contextlib import suppress
    from functools import partial

    from thrum.federation.flare.allowed import Allowed
    from thrum.federation.flare.counter import scores_port
    from thrum.federation.flare.kit import server_kits
    from thrum.federation.flare.settings import sites_file_of
    from thrum.federation.scoring.admission import Admission
    from thrum.federation.scoring.kept import NewestNetworks
    from thrum.federation.scoring.service import ScoreService

    server, _ = server_kits(kit)
    if warning := server.warning():
        typer.echo(warning, err=True)
    kept = NewestNetworks(out, device=device, told=partial(typer.echo, err=True))
    allowed = Allowed(sites or sites_file_of(out))
    if allowed.path is not None:
        allowed.sites()
    chosen = port or scores_port(server)
    admission = Admission(kept, clock=time.time, require_allowed=allowed.require)
    with ScoreService(("", chosen), server.startup, admission) as service:
        for site, keys in kept.machines.items():
            typer.echo(f"{site}: {', '.join(map('/'.join, keys))}", err=True)
        typer.echo(f"scores are served at {server.host}:{chosen} (Ctrl-C ends)", err=True)
        with suppress(KeyboardInterrupt):
            service.serve_forever()


def score(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="The folder of the site.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, or folders of them.")
    ],
    kit: Annotated[Path, typer.Option(help="The site's start-up kit, from the operator.")],
    machine: Annotated[
        str | None, typer.Option(help="machine/machine_id; wanted where the site has several.")
    ] = None,
    port: Port = None,
    out: Annotated[Path | None, typer.Option(help="A CSV file; else a table is printed.")] = None,
    false_alarms: FalseAlarms = "1 in 1000 clips",
    every: Every = None,
    rule: Rule = "stream",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Judge recordings as thrum score does, and ask the server for the network's scores (Algorithm 2).

    Embeddings of the recordings leave the site; each question stands in its ledger before. Exit codes are
    those of thrum score.
    """
    from thrum import storage
    from thrum.cli.options import alarm_settings
    from thrum.cli.score import end_with, header_and_rows, tell
    from thrum.evaluation.table import to_csv
    from thrum.federation.flare.counter import counter_of
    from thrum.federation.flare.kit import read_kit
    from thrum.federation.scoring.asking import score_new
    from thrum.monitoring import open_monitor
    from thrum.monitoring.opening import run_of

    counter = counter_of(read_kit(kit, role="site"), port)
    settings = alarm_settings(false_alarms, every, rule)
    monitor = open_monitor(site, machine, alarms=settings, device=device)
    judgements = monitor.judge(list(paths))
    asked = [n for n, each in enumerate(judgements) if _is_new(monitor, judgements, n)]
    pairs: dict[str, ScorePair] = {}
    unranked: tuple[str, ...] = ()
    if asked:
        clips = [judgements[n].clip for n in asked]
        pairs, network = score_new(
            run_of(site, machine), monitor.key, clips, counter, device=device
        )
        unranked = () if network.held_out else ("network",)
    header, known = header_and_rows(judgements)
    more = _columns(pairs, asked, len(judgements), unranked=unranked)
    header = [*header, *more]
    rows = [(*row, *(column[n] for column in more.values())) for n, row in enumerate(known)]
    if out is not None:
        storage.write_text(out, to_csv(header, rows))
    if json:
        console.print_json([dict(zip(header, row, strict=True)) for row in rows])
    elif out is None and rows:
        shown = [0, *range(3, len(header))]
        cells = [["" if row[n] is None else _cell(row[n]) for n in shown] for row in rows]
        console.print_table("", [header[n] for n in shown], cells)
    tell(monitor, judgements, quiet=json)
    end_with(judgements)


def _is_new(monitor: Monitor, judgements: Judgements, place: int) -> bool:
    """Whether a clip has a score, and is none that the monitor knows: the server would find itself in it."""
    judgement = judgements[place]
    return judgement.score is not None and not monitor.knows(judgement.clip)


def _columns(
    pairs: Mapping[str, ScorePair], asked: list[int], clips: int, *, unranked: Collection[str]
) -> dict[str, list[float | None]]:
    """Return the server's scores by name, and their p-values; nothing for clips not asked for.

    `unranked` are those whose left-out scores are too low to rank among.
    """
    from thrum.monitoring.conformal import p_values

    columns: dict[str, list[float | None]] = {}
    for name in ASKED:
        found: list[float | None] = [None] * clips
        ranks: list[float | None] = [None] * clips
        if name in pairs:
            p = p_values(pairs[name].left_out, pairs[name].test).tolist()
            for place, value, rank in zip(asked, pairs[name].test.tolist(), p, strict=True):
                found[place], ranks[place] = value, None if name in unranked else rank
        columns |= {name: found, f"{name}_p_value": ranks}
    return columns


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
