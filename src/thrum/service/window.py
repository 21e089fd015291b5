"""Clips out of sound that does not end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Windows:
    """Cuts a stream of samples into clips, a set hop apart.

    Parameters
    ----------
    sample_rate
        Samples per second.
    clip_seconds, hop_seconds
        How long clips are, and from the beginning of one to that of the next.
    started_at
        When the first sample was recorded, in seconds since 1970.
    """

    def __init__(
        self, sample_rate: int, clip_seconds: float, hop_seconds: float, *, started_at: float
    ) -> None:
        self.sample_rate = sample_rate
        self.clip = max(1, round(clip_seconds * sample_rate))
        self.hop = max(1, round(hop_seconds * sample_rate))
        self.started_at = started_at
        self._kept: list[Samples] = []
        self._there = 0  # samples kept
        self._first = 0  # which sample of the stream the next clip begins with

    def push(self, samples: Samples) -> Iterator[tuple[float, Samples]]:
        """Take in the next samples (S,); yield each clip (clip,) that is whole now, with when it began."""
        if self._there < 0:  # a gap between clips: nothing of it is kept
            gone = min(-self._there, len(samples))
            self._there += gone
            samples = samples[gone:]
        if len(samples):
            self._kept.append(samples)
            self._there += len(samples)
        while self._there >= self.clip:
            all_kept = np.concatenate(self._kept) if len(self._kept) > 1 else self._kept[0]
            yield self.started_at + self._first / self.sample_rate, all_kept[: self.clip].copy()
            rest = all_kept[self.hop :]
            self._first += self.hop
            self._kept = [rest] if len(rest) else []
            self._there -= self.hop
