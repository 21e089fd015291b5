"""The embeddings of several machines, gathered to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import DataError

MachineKey = tuple[str, str]
Frames = NDArray[np.floating[Any]]
"""(T, D): the embedding frames of one clip, often memory-mapped."""


class FramePool:
    """Clips of embedding frames and the machine ID of each.

    Parameters
    ----------
    clips
        For each machine and ID, the frames (T, D) of its clips; T may differ, D may not.

    Raises
    ------
    DataError
        Where there are fewer than two machine IDs, or D differs.
    """

    def __init__(self, clips: Mapping[MachineKey, Sequence[Frames]]) -> None:
        self.keys = sorted(clips)
        if len(self.keys) < 2:
            raise DataError(
                f"a classifier of machine IDs needs at least two of them, got {len(self.keys)}"
            )
        self.frames = [frames for key in self.keys for frames in clips[key]]
        self.labels = np.repeat(np.arange(len(self.keys)), [len(clips[key]) for key in self.keys])
        sizes = sorted({frames.shape[1] for frames in self.frames})
        if len(sizes) != 1:
            raise DataError(f"embeddings of different sizes cannot be pooled: {sizes}")
        self.dimensions = int(sizes[0])

    def __len__(self) -> int:
        return len(self.frames)

    def fingerprint(self) -> str:
        """Return what tells this pool from others: every value of its clips, their shapes and labels.

        Reads it all once, at the speed of the disk: what trains on it reads it many times.
        """
        digest = hashlib.sha256(repr(self.keys).encode())
        for label, frames in zip(self.labels, self.frames, strict=True):
            digest.update(f"{label} {frames.dtype} {frames.shape}".encode())
            digest.update(storage.content_of(frames))
        return digest.hexdigest()


def groups_of(
    keys: Sequence[MachineKey] | Mapping[MachineKey, object], *, per_machine_type: bool
) -> tuple[dict[str, list[MachineKey]], list[MachineKey]]:
    """Return the groups of machine IDs that learn together, and the IDs that are alone in theirs."""
    groups: dict[str, list[MachineKey]] = {}
    for key in sorted(keys):
        groups.setdefault(key[0] if per_machine_type else "all", []).append(key)
    alone = [key for members in groups.values() if len(members) < 2 for key in members]
    return {name: members for name, members in groups.items() if len(members) > 1}, alone
