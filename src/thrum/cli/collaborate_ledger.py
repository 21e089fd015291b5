"""``thrum collaborate ledger`` and ``withdraw``: what has left a site, and the right to leave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrum.cli import console
from thrum.cli.options import Json

WIDEST = 44
"""Characters of what a line is of, in the table; --json has all."""


def ledger(
    site: Annotated[
        Path, typer.Argument(metavar="SITE", help="The folder of a site, or an exported ledger.")
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Find lines that were changed, removed or moved; exit code 1."
        ),
    ] = False,
    key: Annotated[
        str, typer.Option(help="With --verify: the public key that is trusted, in hexadecimal.")
    ] = "",
    head: Annotated[
        str, typer.Option(help="With --verify: a hash that was noted earlier and must be there.")
    ] = "",
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a copy that can be verified anywhere."),
    ] = None,
    json: Json = False,
) -> None:
    """Show everything that has left a site: what, when, how many bytes, which checksum."""
    from dataclasses import asdict

    from thrum.errors import UsageError
    from thrum.federation.evidence import export as write
    from thrum.federation.evidence import read_lines
    from thrum.federation.ledger import DAMAGED, Ledger, entry_of, total_bytes
    from thrum.privacy.mechanisms.audited import given_away

    lines, noted = read_lines(site)
    if (key or head) and not verify:
        raise UsageError("--key and --head go with --verify")
    if verify:
        _verify(lines, key, head or noted, json=json)
        return
    if export is not None:
        if not site.is_dir():
            raise UsageError(f"{site} is no folder of a site: --export wants one")
        done = write(Ledger(site / "ledger.jsonl"), export)
        typer.echo(f"{done.lines} lines, {done.signed} of them signed: {export}")
        return
    entries = [entry_of(line, number) for number, line in enumerate(lines, start=1)]
    if json:
        console.print_json([asdict(entry) for entry in entries])
        return
    rows = [
        [
            entry.time,
            entry.what,
            entry.detail if len(entry.detail) <= WIDEST else f"{entry.detail[: WIDEST - 1]}…",
            str(entry.clips),
            f"{entry.n_bytes:,}",
            entry.sha256[:12],
        ]
        for entry in entries
    ]
    header = ["time", "what", "which", "clips", "bytes", "sha256"]
    console.print_table(f"what has left {site.name}", header, rows)
    damaged = sum(entry.what == DAMAGED for entry in entries)
    messages = len(entries) - damaged - sum(entry.what == "signature" for entry in entries)
    typer.echo(f"{messages} messages, {total_bytes(entries):,} bytes; no recording among them")
    for chain in dict.fromkeys(entry.chain for entry in entries if entry.chain):
        typer.echo(f"released by: {chain}")
    for budget in dict.fromkeys(entry.budget for entry in entries[::-1] if entry.budget):
        typer.echo(f"spent on noise: {budget}")
        break
    for embedder, chain in dict.fromkeys((e.embedder, e.chain) for e in entries if e.embedder):
        typer.echo(f"but {given_away(embedder, chain)}")
    if damaged:
        typer.echo(f"{damaged} lines cannot be read: a crash or a full disk may leave such")


def withdraw(
    site: Annotated[str, typer.Argument(metavar="SITE", help="The name of the site that leaves.")],
    out: Annotated[Path, typer.Option(help="The server's store, its --out.")],
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the signed record, for the site.")
    ] = None,
    json: Json = False,
) -> None:
    """Remove what the server has of a site, and every classifier trained with it; sign that it was done."""
    from dataclasses import asdict

    from thrum.federation.evidence import export as write
    from thrum.federation.ledger import Ledger
    from thrum.federation.withdrawal import RECORD
    from thrum.federation.withdrawal import withdraw as remove

    found = remove(out, site)
    if export is not None:
        write(Ledger(out / RECORD), export)
    if json:
        console.print_json(asdict(found))
        return
    typer.echo(f"{found.told} ({found.n_bytes:,} bytes)")
    typer.echo("what other sites were sent in earlier rounds is theirs and cannot be taken back")
    typer.echo(f"signed: {export or out / RECORD}")


def _verify(lines: list[bytes], key: str, head: str, *, json: bool) -> None:
    from dataclasses import asdict

    from thrum.federation.evidence import verify as check

    found = check(lines, key=key, head=head)
    if json:
        console.print_json(asdict(found))
    else:
        for problem in found.problems:
            typer.echo(problem)
        if not found.problems:
            typer.echo(f"{found.lines} lines follow one another; {found.signed} of them are signed")
        if found.signed < found.lines:
            typer.echo(f"{found.lines - found.signed} lines at the end are not signed yet")
        typer.echo(f"key:  {found.key or 'none'}")
        typer.echo(f"head: {found.head}")
    if found.problems:
        raise typer.Exit(1)
