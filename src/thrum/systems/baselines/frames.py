"""The frames that every baseline begins with: of recordings embedded, of features as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch

from thrum.embedders.base import Embedder, create_embedder
from thrum.embedders.shards import Frames
from thrum.embedders.store import CLIPS_PER_SHARD, EmbeddingStore, FewEmbeddings, embed_into
from thrum.types import Clip, Progress


class FrameSource(Protocol):
    """What frames come from."""

    def frames(self, clip: Clip) -> Frames:
        """Return the frames (T, D) of a clip."""
        ...


@contextmanager
def embedded(
    clips: Sequence[Clip],
    embedder: str,
    *,
    folder: Path | None,
    device: torch.device,
    progress: Progress | None,
) -> Iterator[FrameSource]:
    """Yield a store of the frames of `clips`: in the run's folder, or as long as the block lasts.

    A few clips without a folder stay in memory. Rows of ``.npz`` files are taken as they are, whatever
    `embedder` says.
    """
    recorded = not clips or clips[0].row is None
    model = _embedder(embedder, device) if recorded else create_embedder("precomputed").to(device)
    if folder is None and len(clips) <= CLIPS_PER_SHARD:
        yield FewEmbeddings(clips, model)
        return
    with TemporaryDirectory(prefix="thrum-") as temporary:
        store = EmbeddingStore((folder or Path(temporary)) / "embeddings")
        embed_into(store, clips, model, progress=progress)
        yield store


@lru_cache(maxsize=2)
def _embedder(name: str, device: torch.device) -> Embedder:
    """Return an embedder; the last ones stay, for making one takes longer than embedding a clip."""
    return create_embedder(name).to(device)
