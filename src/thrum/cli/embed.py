"""``thrum embed``: embeddings of a folder of recordings, kept for later."""

from __future__ import annotations

from pathlib import Path

import typer

from thrum.cli import console
from thrum.cli.options import Anomaly, Backend, ClipSeconds, HopSeconds, Labels, Normal, open_data
from thrum.errors import UsageError


def embed(
    embedder: str = typer.Option(
        ..., "--embedder", help="Its name (thrum weights list), or 'module:Class'."
    ),
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The recordings."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Where the embeddings go."),
    layout: str | None = typer.Option(None, help="How DATA is laid out; else found out."),
    labels: Labels = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    clip_seconds: ClipSeconds = None,
    hop_seconds: HopSeconds = None,
    batch_size: int = typer.Option(
        1,
        min=1,
        max=16,
        help="Clips given to the model at a time; with more than one their last digits depend on each other.",
    ),
    dtype: str = typer.Option("float16", help="What to store: float16 or float32."),
    device: str = typer.Option("cpu", help="cpu or cuda."),
    backend: Backend = None,
    json: bool = typer.Option(False, "--json", help="Answer in JSON."),
) -> None:
    """Embed every clip that is not in OUT yet, or whose file or settings changed since."""
    if dtype not in ("float16", "float32"):
        raise UsageError(f"--dtype is float16 or float32, got {dtype!r}")

    from thrum.embedders import EmbeddingStore, create_embedder, embed_into
    from thrum.privacy.mechanisms.audited import given_away
    from thrum.training import device_of

    clips = open_data(data, layout, labels, normal, anomaly, clip_seconds, hop_seconds).clips
    store = EmbeddingStore(out, dtype=dtype)  # type: ignore[arg-type]
    model = create_embedder(embedder).to(device_of(device))
    with console.progress(quiet=json) as progress:
        embedded = embed_into(store, clips, model, batch_size=batch_size, progress=progress)
    told = given_away(type(model).__name__, "frames")
    if json:
        answer = {
            "embedded": embedded,
            "already_there": len(clips) - embedded,
            "clips": len(store),
            "embedding_size": store.embedding_size,
            "given_away": told,
        }
        console.print_json(answer)
        return
    typer.echo(f"{embedded} clips embedded, {len(clips) - embedded} were there already: {out}")
    typer.echo(told)
