"""The frames that every baseline begins with: of recordings embedded, of features as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from thrum.embedders.base import create_embedder
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.types import Clip, Progress


@contextmanager
def embedded(
    clips: Sequence[Clip],
    embedder: str,
    *,
    folder: Path | None,
    device: torch.device,
    progress: Progress | None,
) -> Iterator[EmbeddingStore]:
    """Yield a store of the frames of `clips`: in the run's folder, or as long as the block lasts.

    Rows of ``.npz`` files are taken as they are, whatever `embedder` says.
    """
    stored = bool(clips) and clips[0].row is not None
    model = create_embedder("precomputed" if stored else embedder).to(device)
    with TemporaryDirectory(prefix="thrum-") as temporary:
        store = EmbeddingStore((folder or Path(temporary)) / "embeddings")
        embed_into(store, clips, model, progress=progress)
        yield store
