"""``thrum data fetch``: download a public dataset, after its licence and size were shown."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from thrum.cli import console
from thrum.errors import UsageError

if TYPE_CHECKING:
    from thrum.datasets.download import Fetched, Plan
    from thrum.types import Dataset


def fetch(
    name: str = typer.Argument(..., help="dcase2020 to dcase2026, or mimii."),
    out: Path = typer.Option(..., metavar="DIR", help="The folder to unpack to."),
    only: str = typer.Option("", metavar="fan,pump", help="These machines; else all."),
    parts: str = typer.Option(
        "",
        metavar="dev,add,eval",
        help="These parts; else all. dcase2020 has also truth; mimii has 6_dB, 0_dB and -6_dB.",
    ),
    yes: bool = typer.Option(False, "--yes", help="Agree to licence and size beforehand."),
    keep: bool = typer.Option(False, "--keep", help="Keep the archives, in DIR/.fetch."),
    json: bool = typer.Option(False, "--json", help="Answer in JSON."),
) -> None:
    """Download a dataset from its official records, check it, unpack it, count its clips.

    Give the same command again to go on where one was stopped; what is complete is not fetched again.
    """
    from thrum.datasets import download, open_dataset, records

    repository = download.Repository(records.ZENODO)
    plan = repository.plan(name, out, only=_words(only), parts=_words(parts))
    _show(plan, keep=keep, err=json)
    fetched: list[Fetched] = []
    if plan.missing:
        _require_consent(plan, yes=yes)
        with console.progress(quiet=json) as progress:
            fetched = download.fetch(plan, keep=keep, progress=progress)
    dataset = open_dataset(out)
    if json:
        console.print_json(
            {
                "dataset": name,
                "out": str(out),
                "licence": plan.licence,
                "records": [asdict(record) for record in plan.records],
                "fetched": [asdict(archive) for archive in fetched],
                "already_complete": [archive.file for archive in plan.complete],
                "clips": _clips(dataset),
            }
        )
    else:
        _print(plan, fetched, dataset)


def _words(text: str) -> list[str]:
    return [word for word in (word.strip() for word in text.split(",")) if word]


def _show(plan: Plan, *, keep: bool, err: bool) -> None:
    """Show licence, files and sizes before the first byte of them is asked for."""
    if plan.licence is not None:
        typer.echo(f"{plan.dataset} is under {plan.licence}, by its authors' words", err=err)
    for record in plan.records:
        named = record.licence or "no licence named: read the page"
        typer.echo(f"{record.page}: {named}", err=err)
        for sentence in record.conditions:
            typer.echo(f"    “{sentence}”", err=err)
    for archive in plan.missing:
        published = "" if archive.md5 else ", no MD5 published"
        typer.echo(f"  {archive.file}: {_size(archive.bytes)}{published}", err=err)
    there = f"{len(plan.complete)} archives are complete in {plan.out}"
    if not plan.missing:
        typer.echo(f"all {there}", err=err)
        return
    if plan.complete:
        typer.echo(there, err=err)
    typer.echo(
        f"to download: {len(plan.missing)} archives, {_size(plan.download_bytes)}; on disk about "
        f"{_size(plan.disk_bytes(keep=keep))}, of {_size(plan.free_bytes)} free",
        err=err,
    )


def _require_consent(plan: Plan, *, yes: bool) -> None:
    if yes:
        return
    if not _on_a_terminal():
        raise UsageError(
            f"nothing was downloaded: without a terminal to ask on, agree to the licence and the "
            f"{_size(plan.download_bytes)} of {plan.dataset} with --yes"
        )
    if not typer.confirm("Do you accept the licence, and download?", err=True):
        typer.echo("nothing was downloaded", err=True)
        raise typer.Exit(1)


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


def _print(plan: Plan, fetched: list[Fetched], dataset: Dataset) -> None:
    for archive in fetched:
        if not archive.md5_was_published:
            typer.echo(
                f"{archive.file}: no MD5 was published; {archive.md5} is recorded, later fetches "
                f"are held to it"
            )
    rows = [[str(cell) for cell in row.values()] for row in _clips(dataset)]
    console.print_table(
        f"{plan.dataset} ({plan.out})", ["machine", "machine_id", "train", "test"], rows
    )
    typer.echo(
        f"{len(fetched)} archives fetched, {len(plan.complete)} were complete; {len(dataset)} clips. "
        f"To read every one: thrum data check {plan.out}"
    )


def _clips(dataset: Dataset) -> list[dict[str, str | int]]:
    """Return the number of clips of every machine ID in both splits."""
    counts = Counter((clip.machine, clip.machine_id, clip.split) for clip in dataset)
    individuals = dict.fromkeys((clip.machine, clip.machine_id) for clip in dataset)
    return [
        {
            "machine": machine,
            "machine_id": machine_id,
            "train": counts[machine, machine_id, "train"],
            "test": counts[machine, machine_id, "test"],
        }
        for machine, machine_id in individuals
    ]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"
