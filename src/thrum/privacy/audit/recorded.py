"""A dataset of one's own, as what the audit attacks."""

from __future__ import annotations

import numpy as np

from thrum import audio
from thrum.datasets.arrays import read_features
from thrum.embedders.base import Embedder
from thrum.embedders.logmel import LogMel
from thrum.embedders.precomputed import Precomputed
from thrum.privacy.audit.material import Material, Sample
from thrum.privacy.audit.simulated import embedded
from thrum.types import Clip, Dataset, Progress


def recorded(dataset: Dataset, embedder: Embedder, *, progress: Progress | None = None) -> Material:
    """Return a dataset's clips with their embeddings and what it says of them.

    Stored features are taken as embeddings; what they sounded like nobody knows.
    """
    logmel = LogMel()
    samples = []
    for number, clip in enumerate(dataset.clips, start=1):
        samples.append(_sample(clip, embedder, logmel))
        if progress is not None:
            progress("embedding", number, len(dataset.clips))
    rate = Embedder.sample_rate
    return Material(
        samples,
        sounds=(lambda row: audio.read_clip(dataset.clips[row], sample_rate=rate))
        if dataset.holds == "audio"
        else None,
    )


def _sample(clip: Clip, embedder: Embedder, logmel: LogMel) -> Sample:
    if clip.row is not None:
        frames = np.asarray(read_features([clip])[0], np.float16)
        times = np.arange(len(frames), dtype=np.float64) * Precomputed().hop_seconds
        return Sample(
            clip.machine_key, clip.split, clip.label, frames, times, None, dict(clip.attributes)
        )
    heard = audio.read_clip(clip, sample_rate=Embedder.sample_rate)
    frames, times, levels = embedded(heard, embedder, logmel)
    return Sample(
        clip.machine_key, clip.split, clip.label, frames, times, levels, dict(clip.attributes)
    )
