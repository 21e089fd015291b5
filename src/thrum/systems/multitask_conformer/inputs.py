"""Log-mel spectrograms of clips, changed in the ways that the network is to recognise or as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.embedders.logmel import LogMel
from thrum.features.augment import Augmentation
from thrum.systems.self_supervised.inputs import Inputs, is_stored
from thrum.types import Clip, Progress


class Spectrograms:
    """The log-mel spectrograms (T, M) in dB of some clips, any stretch of each.

    Lengths and places are counted as in `Inputs`; a stretch that goes beyond the end of its clip goes on at
    the clip's beginning.

    Parameters
    ----------
    clips
        Recordings, or rows of ``.npz`` files.
    folder
        Where rows of ``.npz`` files are kept.
    augmentation
        How the clips of a batch are changed.
    device
        Where spectrograms are computed.
    progress
        Told how many clips are read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        folder: Path,
        augmentation: Augmentation,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self._feature = "logmel" if is_stored(clips) else "tgram"  # the latter is the waveform
        self.inputs = Inputs(
            clips, features=(self._feature,), folder=folder, device=device, progress=progress
        )
        self.augmentation = augmentation
        self._logmel = LogMel().to(device)

    @property
    def recorded(self) -> bool:
        """Whether there are waveforms."""
        return self.inputs.recorded

    @torch.no_grad()
    def changed(
        self,
        rows: NDArray[np.int64],
        kinds: NDArray[np.int64],
        length: int,
        random: np.random.Generator,
        *,
        fill: Tensor,
    ) -> Tensor:
        """Return a stretch (B, T, M) of each clip at a random place, changed as its kind (B,) says.

        `fill` (M,) is what stands where a mask is.
        """
        spare = np.maximum(0, self.inputs.lengths[rows] - length)
        starts = random.integers(0, spare + 1)
        batch = self.inputs.batch(rows.tolist(), starts.tolist(), length)[self._feature]
        if not self.recorded:
            levels = batch.transpose(1, 2)  # (B, T, M)
            return self.augmentation.levels_alone(levels, kinds, random, fill=fill)
        sound = self.augmentation.waveforms(batch, kinds, random)
        power = self.augmentation.spectra(self._logmel.power(sound), kinds, random)
        levels = self._logmel.levels(power)
        return self.augmentation.levels(levels, kinds, random, fill=fill)

    @torch.no_grad()
    def whole(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield whole clips as they are: one of the rows (1,), and its levels (1, T, M)."""
        for row in rows:  # one by one: what comes of a clip must not depend on those beside
            some = np.array([row])
            batch = self.inputs.batch(some.tolist(), [0], int(self.inputs.lengths[row]))
            if self.recorded:
                yield some, self._logmel.levels(self._logmel.power(batch[self._feature]))
            else:
                yield some, batch[self._feature].transpose(1, 2)

    def usual(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (M,) of each band over all frames of some clips."""
        sums = torch.zeros(3, self.inputs.bands, dtype=torch.float64)
        for _, levels in self.whole(rows):
            frames = levels.flatten(0, 1).double().cpu()  # (B·T, M)
            ones = torch.full_like(frames[0], float(len(frames)))
            sums += torch.stack([ones, frames.sum(dim=0), frames.square().sum(dim=0)])
        mean = sums[1] / sums[0]
        variance = (sums[2] / sums[0] - mean.square()).clamp(min=0)
        return mean.float(), variance.sqrt().float()
