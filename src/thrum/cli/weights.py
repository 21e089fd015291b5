"""``thrum weights``: the pretrained checkpoints on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from thrum.cli import console
from thrum.errors import UsageError, WeightsError

app = typer.Typer(help="Pretrained weights: which there are, fetch them, check them.")

_CACHE = typer.Option(
    None, "--cache", metavar="DIR", help="The cache folder; else $THRUM_CACHE or ~/.cache/thrum."
)


@app.command("list")
def list_(
    cache: Path | None = _CACHE, json: bool = typer.Option(False, "--json", help="Answer in JSON.")
) -> None:
    """Show every checkpoint: its embedder, whether it is here, licence, size, sha256, official source."""
    from thrum.embedders import EMBEDDERS
    from thrum.embedders.weights import CHECKPOINTS, is_stored

    rows: list[dict[str, Any]] = [
        {
            "name": checkpoint.name,
            "embedders": list(checkpoint.embedders),
            "stored": is_stored(checkpoint.name, cache=cache),
            "licence": checkpoint.licence,
            "bytes": checkpoint.file_bytes,
            "sha256": checkpoint.sha256,
            "source": checkpoint.url or checkpoint.page,
        }
        for checkpoint in CHECKPOINTS.values()
    ]
    if json:
        console.print_json(rows)
        return
    for row in rows:
        size = "size unknown" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"
        here = "stored" if row["stored"] else "not stored"
        typer.echo(f"{row['name']}: {here}, {row['licence']}, {size}")
        typer.echo(f"    {row['source']}")
        typer.echo(f"    sha256 {row['sha256'] or 'unknown'}")
        if row["embedders"]:
            typer.echo(f"    --embedder {' or '.join(row['embedders'])}")
    used = {name for row in rows for name in row["embedders"]}
    free = [name for name in EMBEDDERS if name not in used and name != "precomputed"]
    typer.echo(f"no weights to fetch: --embedder {' or '.join(free)}")


@app.command("fetch")
def fetch(
    name: str = typer.Argument(..., help="The name of the checkpoint; see 'thrum weights list'."),
    original: Path | None = typer.Option(
        None,
        "--from",
        metavar="FILE",
        help="Take this file, in its original format, instead of downloading it.",
    ),
    cache: Path | None = _CACHE,
) -> None:
    """Download a checkpoint, or take a file that is here, and store it converted."""
    from thrum.embedders.weights import cache_folder, fetch_weights, import_weights

    if original is not None:
        stored = import_weights(name, original, cache=cache)
    else:
        with console.progress() as progress:
            stored = fetch_weights(name, cache=cache, progress=progress)
    typer.echo(f"stored {name} in {cache_folder(cache)}")
    typer.echo(f"licence {stored['licence']}; sha256 of the original {stored['original_sha256']}")
    typer.echo(_known(name, stored))


def _known(name: str, stored: dict[str, Any]) -> str:
    from thrum.embedders.weights import CHECKPOINTS

    published = CHECKPOINTS[name].sha256
    if published is not None:
        same = published == stored["original_sha256"]
        return "this is the published file" if same else f"the published file has {published}"
    if stored.get("sha256_was_known"):
        return "it is the same file as at the first fetch"
    if stored["fetched"]:
        return "no sha256 was published: this one is recorded, later fetches are held to it"
    return "no sha256 was published to compare it with; names and shapes are right"


@app.command("check")
def check(
    names: list[str] | None = typer.Argument(None, help="Which; else all that are stored."),
    cache: Path | None = _CACHE,
) -> None:
    """Read stored weights whole and compare them with their sha256 (exit code 1 if one is bad)."""
    from thrum.embedders.weights import (
        CHECKPOINTS,
        cache_folder,
        is_stored,
        load_network,
        load_weights,
    )

    chosen = names or [name for name in CHECKPOINTS if is_stored(name, cache=cache)]
    if not chosen:
        raise UsageError(f"no weights are stored in {cache_folder(cache)}")
    bad = 0
    for name in chosen:
        try:
            load_network(name, load_weights(name, cache=cache))
        except WeightsError as error:
            bad += 1
            typer.echo(f"{name}: {error}")
        else:
            typer.echo(f"{name}: good")
    if bad:
        raise typer.Exit(1)
