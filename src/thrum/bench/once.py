"""What several cells use: made once, by whichever comes first, while the others wait."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thrum.embedders.base import Embedder
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.training import device_of
from thrum.types import Dataset, Progress


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the right to write to `folder`; wait while another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".alone").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back however the process ends
        yield


def embedded(
    dataset: Dataset,
    embedder: Embedder,
    folder: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> EmbeddingStore:
    """Return the embeddings of all clips of `dataset`, kept below `folder` by data and embedder."""
    what = [str(dataset.root.resolve()), embedder.settings]
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    own = folder / f"{dataset.root.name}-{name}"
    with alone(own):
        store = EmbeddingStore(own)
        embed_into(store, list(dataset), embedder.to(device_of(device)), progress=progress)
    return store
