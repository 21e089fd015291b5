"""Stacked frames of many clips, made only when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.errors import DataError

LARGEST_BYTES = 1 << 29
"""Of frames kept in memory: 18 hours of log-mel. More stay on the disk, and are read batch by batch."""
Frames = NDArray[np.floating[Any]]
"""(T, F): the frames of one clip."""


class Windows:
    """Stretches of `stack` successive frames within a clip, one every `hop` frames.

    The frames themselves are kept once, in the type they come in: float16 from a store, so 80 kB a clip of
    10 s; the windows (five times as many values for five frames, and as float32) exist for one batch at a
    time.

    Parameters
    ----------
    clips
        The frames (T, F) of each clip; of fewer than `stack` it is repeated, so that no odd clip costs a
        run all that was learnt.
    names
        Of the clips, for errors.
    stack
        T, frames in one window.
    hop
        Frames from the beginning of one window to that of the next.
    device
        Where frames and windows are.

    Raises
    ------
    DataError
        Where F differs.
    """

    def __init__(
        self,
        clips: Sequence[Frames],
        *,
        names: Sequence[str],
        stack: int,
        hop: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        clips = [_filled(frames, stack) for frames in clips]
        for frames, name in zip(clips, names, strict=True):
            if frames.shape[1] != clips[0].shape[1]:
                raise DataError(
                    f"{name} has frames of {frames.shape[1]} values, {names[0]} of "
                    f"{clips[0].shape[1]}: wanted one kind"
                )
        self.bands = int(clips[0].shape[1])
        lengths = np.array([len(frames) for frames in clips])
        firsts = np.cumsum(lengths) - lengths
        starts = [
            np.arange(first, first + length - stack + 1, hop)
            for first, length in zip(firsts, lengths, strict=True)
        ]
        self.owners = np.repeat(np.arange(len(starts)), [len(own) for own in starts])
        """(W,): the clip that each window is of."""
        self._clips, self._firsts = clips, firsts
        self._frames: Tensor | None = None
        if sum(frames.nbytes for frames in clips) <= LARGEST_BYTES:
            self._frames = torch.from_numpy(np.concatenate(list(clips))).to(device)  # (sum of T, F)
        self._starts = torch.from_numpy(np.concatenate(starts)).to(device)  # (W,)
        self._offsets = torch.arange(stack, device=device)

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """Return windows by number, (B, T, F) float32."""
        starts = self._starts[torch.from_numpy(rows).to(self._starts.device)]
        if self._frames is None:
            return self._gathered(rows, starts)
        places = starts[:, None] + self._offsets  # (B, T)
        frames_of_all = self._frames.index_select(0, places.flatten())
        return frames_of_all.view(*places.shape, -1).float()

    def _gathered(self, rows: NDArray[np.int64], starts: Tensor) -> Tensor:
        """Return windows of clips that are too many for the memory, from where they lie on the disk."""
        stack = len(self._offsets)
        owners = self.owners[rows]
        firsts = starts.cpu().numpy() - self._firsts[owners]
        windows = [
            np.asarray(self._clips[owner][first : first + stack], np.float32)
            for owner, first in zip(owners, firsts, strict=True)
        ]
        return torch.from_numpy(np.stack(windows)).to(starts.device)


def _filled(frames: Frames, stack: int) -> Frames:
    """Return frames (T, F), repeated from the start where there are too few for one window."""
    if 0 < len(frames) < stack:
        return np.concatenate([frames] * -(-stack // len(frames)))[:stack]
    return frames
