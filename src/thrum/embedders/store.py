"""Frame embeddings of many clips on disk: immutable shards, each with its own list of clips.

::

    <folder>/00000.npy     (sum of T, D), the frames of some clips one after the other
    <folder>/00000.json    which clips, where in the array, and what made them

The JSON is written last and names the array by its sha256: a shard without it does not exist. So a
store is whole at any moment, whatever is killed when, and what is finished is never written again.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from thrum import audio
from thrum.datasets.arrays import read_features
from thrum.embedders.base import Embedder
from thrum.embedders.precomputed import Precomputed
from thrum.embedders.shards import Entry, Frames, Shard, entry_of, key_of, read_shard, write_shard
from thrum.errors import DamagedError, DataError, StorageError
from thrum.types import Clip, Progress

CLIPS_PER_SHARD = 16
"""A shard is what one upload carries: some 20 MB at most (OpenL3-6144 has 1.2 MB a clip)."""
OPEN_SHARDS = 128
"""Shards kept memory-mapped at a time."""

_log = logging.getLogger(__name__)


class EmbeddingStore:
    """A folder of shards.

    Parameters
    ----------
    folder
        Where the shards lie; made when first written to.
    dtype
        ``float16`` keeps three digits in half the space; ``float32`` keeps what the embedder gave.
    """

    def __init__(
        self, folder: Path | str, *, dtype: Literal["float16", "float32"] = "float16"
    ) -> None:
        self.folder = Path(folder)
        self.dtype = dtype
        self._shards: dict[Path, Shard] = {}
        self._places: dict[str, tuple[Shard, Entry]] = {}
        self._sound: set[Path] = set()
        self._damaged_lists: list[Path] = []
        self._rows = lru_cache(maxsize=OPEN_SHARDS)(self._opened)
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again: another process may have written to it."""
        self._shards.clear()
        self._places.clear()
        self._sound.clear()
        self._damaged_lists.clear()
        self._rows.cache_clear()
        for path in sorted(self.folder.glob("[0-9]*.json")):
            try:
                self._add(read_shard(path))
            except DamagedError as error:
                _log.warning("%s; its clips are embedded again", error)
                self._damaged_lists.append(path)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, clip: object) -> bool:
        return isinstance(clip, Clip) and key_of(clip) in self._places

    def shards(self) -> tuple[Shard, ...]:
        """Return all shards, oldest first; each clip is in exactly one."""
        return tuple(self._shards.values())

    def frames(self, clip: Clip) -> Frames:
        """Return the embeddings (T, D) of a clip, memory-mapped, in the type they are stored in.

        Raises
        ------
        StorageError
            Where there are none, or their shard is damaged: its sha256 is compared when it is first opened.
        """
        try:
            shard, entry = self._places[key_of(clip)]
        except KeyError:
            raise StorageError(
                f"no embedding of {clip.path} in {self.folder}: embed the clip first"
            ) from None
        return self._rows(shard.path)[entry.offset : entry.offset + entry.frames]

    @property
    def embedding_size(self) -> int:
        """D, the size of one embedding."""
        for path in self._shards:
            return int(self._rows(path).shape[1])
        raise StorageError(f"{self.folder} holds no embeddings yet")

    def missing(self, clips: Sequence[Clip], settings: Mapping[str, Any]) -> list[Clip]:
        """Return the clips that are not here whole, or whose file or settings are not what they were."""
        wanted = self._made_by(settings)
        return [clip for clip in clips if not self._holds(clip, wanted)]

    def write(
        self, clips: Sequence[Clip], embeddings: Sequence[Frames], settings: Mapping[str, Any]
    ) -> Shard:
        """Write the embeddings (T, D) of each clip as one shard; clips already here are replaced.

        Raises
        ------
        DataError
            Where an embedding is not finite, or too large for the type stored.
        """
        pieces = [
            stored(clip, frames, self.dtype) for clip, frames in zip(clips, embeddings, strict=True)
        ]
        self.drop(clips)
        entries = [
            entry_of(clip, frames=len(piece)) for clip, piece in zip(clips, pieces, strict=True)
        ]
        return self._write(entries, pieces, self._made_by(settings))

    def drop(self, clips: Sequence[Clip]) -> None:
        """Forget clips; what else their shards hold moves to shards of its own."""
        keys = {key_of(clip) for clip in clips} & self._places.keys()
        for shard in {self._places[key][0].path: self._places[key][0] for key in keys}.values():
            kept = [entry for entry in shard.entries if entry.key not in keys]
            rows = self._rows(shard.path)
            pieces = [np.array(rows[e.offset : e.offset + e.frames]) for e in kept]
            self._remove(shard)
            if kept:
                self._write(kept, pieces, shard.settings)

    def discard_damaged(self, clips: Sequence[Clip]) -> None:
        """Remove what is damaged, of these clips' shards; a warning in the log names it."""
        for path in self._damaged_lists:
            path.unlink()
            path.with_suffix(".npy").unlink(missing_ok=True)
        self._damaged_lists.clear()
        places = (self._places.get(key_of(clip)) for clip in clips)
        for shard in {place[0].path: place[0] for place in places if place}.values():
            try:
                self._rows(shard.path)
            except DamagedError as error:
                _log.warning("%s; its clips are embedded again", error)
                self._remove(shard)

    def keep_only(self, settings: Mapping[str, Any]) -> None:
        """Forget every shard that was made with other settings."""
        wanted = self._made_by(settings)
        for shard in self.shards():
            if shard.settings != wanted:
                self._remove(shard)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write: one process at a time, given back however the process ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StorageError(
                    f"another process is writing to {self.folder}: wait for it to end, "
                    f"or choose another folder"
                ) from error
            self.refresh()
            yield

    def _opened(self, path: Path) -> Frames:
        """Return all frames (sum of T, D) of a shard, memory-mapped, after comparing its sha256 once."""
        shard = self._shards[path]
        if path not in self._sound:
            shard.check()
            self._sound.add(path)
        return shard.rows()

    def _is_sound(self, shard: Shard) -> bool:
        try:
            self._rows(shard.path)
        except DamagedError:
            return False
        return True

    def _made_by(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**settings, "dtype": self.dtype}

    def _holds(self, clip: Clip, settings: Mapping[str, Any]) -> bool:
        place = self._places.get(key_of(clip))
        if place is None:
            return False
        shard, entry = place
        current = entry_of(clip, offset=entry.offset, frames=entry.frames)
        return shard.settings == settings and entry == current and self._is_sound(shard)

    def _write(
        self, entries: Sequence[Entry], pieces: Sequence[Frames], settings: Mapping[str, Any]
    ) -> Shard:
        taken = (*self._shards, *self._damaged_lists)
        number = 1 + max((int(path.stem) for path in taken), default=-1)
        shard = write_shard(self.folder / f"{number:05d}.npy", entries, pieces, settings)
        self._add(shard)
        return shard

    def _add(self, shard: Shard) -> None:
        self._shards[shard.path] = shard
        self._places.update({entry.key: (shard, entry) for entry in shard.entries})

    def _remove(self, shard: Shard) -> None:
        shard.remove()
        self._rows.cache_clear()
        self._sound.discard(shard.path)
        del self._shards[shard.path]
        for entry in shard.entries:
            del self._places[entry.key]


class FewEmbeddings:
    """Embeddings of a few clips in memory, equal to the bit to what an `EmbeddingStore` would hold.

    For a judgement that shall not wait for a disk.

    Parameters
    ----------
    clips
        `CLIPS_PER_SHARD` at most.
    embedder
        Gives the embeddings.
    """

    def __init__(self, clips: Sequence[Clip], embedder: Embedder) -> None:
        own = list({key_of(clip): clip for clip in clips}.values())
        single = not isinstance(embedder, Precomputed)
        inputs = [_read([clip], embedder)[0] for clip in own] if single else _read(own, embedder)
        frames = _embed(inputs, embedder, batch_size=1)
        self._frames = {
            key_of(clip): stored(clip, one, "float16")
            for clip, one in zip(own, frames, strict=True)
        }

    def frames(self, clip: Clip) -> Frames:
        """Return the embeddings (T, D) of a clip."""
        return self._frames[key_of(clip)]


def stored(clip: Clip, frames: Frames, dtype: Literal["float16", "float32"]) -> Frames:
    """Return the embeddings (T, D) of a clip in the type that they are stored in.

    Raises
    ------
    DataError
        Where one is not finite, or too large for the type.
    """
    limit = float(np.finfo(dtype).max)
    largest = float(np.abs(frames).max(initial=0.0))
    if not largest <= limit:
        raise DataError(
            f"the embedding of {clip.path} reaches {largest:.3g}, {dtype} ends at {limit:.3g}: "
            + ("store float32 instead" if np.isfinite(largest) else "is the recording sound?")
        )
    return frames.astype(dtype, copy=False)


def embed_into(
    store: EmbeddingStore,
    clips: Sequence[Clip],
    embedder: Embedder,
    *,
    batch_size: int = 1,
    progress: Progress | None = None,
) -> int:
    """Embed what the store lacks of `clips`; files are decoded in parallel with the network.

    A clip is embedded again where its file changed or its shard is damaged. Where the embedder's
    settings changed, all that the store holds is replaced. Each shard done is safe: killed and
    started again, the work goes on. Memory does not grow with the number of clips.

    Parameters
    ----------
    batch_size
        Clips of equal length that the embedder is given at a time, `CLIPS_PER_SHARD` at most. With more
        than one the last digits of an embedding depend on what else was in its batch, and copies of one
        recording no longer tie; on CPUs it gains nothing.
    progress
        Told after each shard; clips that were there already count as done.

    Returns
    -------
    int
        The number of clips embedded now.

    Raises
    ------
    AudioError, DataError
        Where a clip cannot be read or embedded; the clips before it are kept.
    StorageError
        Where another process is writing to the store.
    """
    with store.lock():
        store.keep_only(embedder.settings)
        store.discard_damaged(clips)
        todo = store.missing(
            list({key_of(clip): clip for clip in clips}.values()), embedder.settings
        )
        done = len(clips) - len(todo)
        if progress is not None:
            progress("embed", done, len(clips))
        for shard_clips, inputs in _read_ahead(todo, embedder):
            embeddings = _embed(inputs, embedder, batch_size=batch_size)
            store.write(shard_clips, embeddings, embedder.settings)
            done += len(shard_clips)
            if progress is not None:
                progress("embed", done, len(clips))
    return len(todo)


def _read_ahead(
    clips: Sequence[Clip], embedder: Embedder
) -> Iterator[tuple[Sequence[Clip], list[Frames]]]:
    """Yield the clips of each shard to be and their content, while the next shard's are read."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        ahead: deque[tuple[Sequence[Clip], list[Future[list[Frames]]]]] = deque()
        try:
            for start in range(0, len(clips), CLIPS_PER_SHARD):
                group = clips[start : start + CLIPS_PER_SHARD]
                # Features lie together in one file, recordings each in their own.
                jobs = [group] if isinstance(embedder, Precomputed) else [[clip] for clip in group]
                ahead.append((group, [pool.submit(_read, job, embedder) for job in jobs]))
                if len(ahead) == 2:
                    yield _collected(*ahead.popleft())
            while ahead:
                yield _collected(*ahead.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _collected(
    clips: Sequence[Clip], reads: Sequence[Future[list[Frames]]]
) -> tuple[Sequence[Clip], list[Frames]]:
    return clips, [content for read in reads for content in read.result()]


def _read(clips: Sequence[Clip], embedder: Embedder) -> list[Frames]:
    """Return the audio (S,) of each clip, or its features (T, D) for the embedder 'precomputed'."""
    if isinstance(embedder, Precomputed):
        return list(read_features(clips))
    return [audio.read_clip(clip, sample_rate=embedder.sample_rate) for clip in clips]


def _embed(inputs: Sequence[Frames], embedder: Embedder, *, batch_size: int) -> list[Frames]:
    """Return the embeddings (T, D) of each input, batching inputs of one length."""
    by_length: dict[int, list[int]] = {}
    for index, content in enumerate(inputs):
        by_length.setdefault(len(content), []).append(index)
    embeddings: dict[int, Frames] = {}
    for indices in by_length.values():
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            batch = torch.from_numpy(np.stack([inputs[index] for index in chosen]))
            frames, _ = embedder.frames(batch)  # (B, T, D)
            embeddings.update(zip(chosen, frames.cpu().numpy(), strict=True))
    return [embeddings[index] for index in range(len(inputs))]
