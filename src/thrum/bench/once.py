"""What several cells use: made once, by whichever comes first, while the others wait."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from thrum.embedders.base import Embedder
from thrum.embedders.store import CLIPS_PER_SHARD, EmbeddingStore, embed_into
from thrum.training import device_of
from thrum.types import Clip, Dataset, Progress


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
    """Return the embeddings of all clips of `dataset`, kept below `folder` by data and embedder.

    Where an embedder can be pooled from a larger one, as OpenL3's 512 dimensions from its 6144, the larger
    one's are kept too, and the network is run once for both.
    """
    embedder, clips = embedder.to(device_of(device)), list(dataset)
    what = [str(dataset.root.resolve()), embedder.settings]
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    own = folder / f"{dataset.root.name}-{name}"
    larger = embedder.larger()
    source = None
    if larger is not None:
        source = embedded(dataset, larger, folder, device=device, progress=progress)
    with alone(own):
        store = EmbeddingStore(own)
        if source is None:
            embed_into(store, clips, embedder, progress=progress)
        else:
            _pool(source, store, clips, embedder)
    return store


def _pool(
    source: EmbeddingStore, store: EmbeddingStore, clips: Sequence[Clip], embedder: Embedder
) -> None:
    """Write what is missing of `clips`, pooled from the larger embedder's frames."""
    with store.lock():
        missing = store.missing(clips, embedder.settings)
        for start in range(0, len(missing), CLIPS_PER_SHARD):
            some = missing[start : start + CLIPS_PER_SHARD]
            frames = [embedder.from_larger(source.frames(clip)) for clip in some]
            store.write(some, frames, embedder.settings)
