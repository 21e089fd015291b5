"""``thrum collaborate status``: how a server or a site stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Json

if TYPE_CHECKING:
    from thrum.federation.flare.kit import Kit
    from thrum.federation.flare.status import Status


def status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a server or client.")],
    kit: Annotated[
        Path | None, typer.Option(help="Its --kit: also say how long its certificates are valid.")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write it for Prometheus (the node exporter's textfile collector)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show how a server or a site stands: the last round, its errors, what has been sent and kept."""
    from dataclasses import asdict

    from thrum.federation.flare.status import status_of

    found = status_of(out)
    if metrics is not None:
        _write_metrics(metrics, found, [])  # also where the kit is not readable any more
    kits = _kits(kit) if kit else []
    if metrics is not None:
        _write_metrics(metrics, found, kits)
        return
    if json:
        until = {own.name: own.valid_until.isoformat(timespec="seconds") for own in kits}
        console.print_json({**asdict(found), "certificates_valid_until": until})
        return
    for line in _lines(found):
        typer.echo(line)
    if found.sites:
        rows = [
            [own.name, ", ".join(own.machines), str(own.pieces), f"{own.n_bytes:,}"]
            for own in found.sites
        ]
        console.print_table("what is kept", ["site", "machines", "pieces", "bytes"], rows)
    for own in kits:
        typer.echo(own.warning() or f"{own.name}: certificates until {own.valid_until:%Y-%m-%d}")


def _write_metrics(path: Path, found: Status, kits: list[Kit]) -> None:
    from datetime import UTC, datetime

    from thrum import storage
    from thrum.federation.flare.metrics import metrics

    storage.write_text(path, metrics(found, kits, now=datetime.now(UTC)))


def _lines(found: Status) -> list[str]:
    lines = [f"{found.role}: the last round is {found.state}, since {found.since}"]
    if found.since is None:
        lines = [f"{found.role}: no round has begun"]
    if found.protocol is not None:
        lines.append(f"round:      Algorithm {found.algorithm}, protocol {found.protocol}")
    if found.step is not None:
        lines.append(f"last step:  {found.step}")
    lines.append(f"last error: {found.error or 'none'}")
    if found.rounds_done or found.rounds_stopped:
        lines.append(f"rounds:     {found.rounds_done} done, {found.rounds_stopped} stopped")
    if found.in_force:
        lines.append(f"in force:   {', '.join(found.in_force)}")
    lines += [f"refused:    {text}" for text in found.refused]
    lines += [f"note:       {text}" for text in found.notes]
    if found.role == "site":
        lines.append(f"has left:   {found.messages} messages, {found.n_bytes:,} bytes")
    if found.damaged:
        lines.append(f"ledger:     {found.damaged} lines cannot be read")
    return lines


def _kits(folder: Path) -> list[Kit]:
    from thrum.federation.flare.kit import read_kit, server_kits

    if (folder / "startup").is_dir():
        return [read_kit(folder, role="site")]
    return list(server_kits(folder))
