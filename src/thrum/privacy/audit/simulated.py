"""Simulated machines whose every truth is known: what the audit attacks where there are no recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.datasets.synthetic import SyntheticClip, SyntheticConfig, plan, render
from thrum.embedders.base import Embedder
from thrum.embedders.logmel import LogMel
from thrum.privacy.audit.material import Material, Sample, cells_of
from thrum.types import Progress


@dataclass(frozen=True)
class Simulation:
    """How much is simulated; ours, so that an audit of one embedder takes minutes.

    Parameters
    ----------
    individuals
        Of each of the five kinds; the last third is attacked.
    train_clips, test_normal_clips, test_anomaly_clips, duration_seconds
        As in `SyntheticConfig`.
    """

    individuals: int = 6
    train_clips: int = 20
    test_normal_clips: int = 8
    test_anomaly_clips: int = 8
    duration_seconds: float = 5.0

    def config(self, seed: int) -> SyntheticConfig:
        """Return the settings of the simulator."""
        return SyntheticConfig(
            individuals=self.individuals,
            train_clips=self.train_clips,
            test_normal_clips=self.test_normal_clips,
            test_anomaly_clips=self.test_anomaly_clips,
            duration_seconds=self.duration_seconds,
            naming=2022,
            seed=seed,
        )


def simulated(
    simulation: Simulation, embedder: Embedder, *, seed: int, progress: Progress | None = None
) -> Material:
    """Return simulated clips with their embeddings and all that is known of them."""
    config = simulation.config(seed)
    clips = plan(config)
    logmel = LogMel()
    samples = []
    for number, clip in enumerate(clips, start=1):
        samples.append(sample_of(clip, render(clip, config), embedder, logmel))
        if progress is not None:
            progress("simulating and embedding", number, len(clips))
    return Material(samples, sounds=lambda row: render(clips[row], config))


def sample_of(
    clip: SyntheticClip, audio: NDArray[np.float32], embedder: Embedder, logmel: LogMel
) -> Sample:
    """Return a simulated clip, embedded."""
    frames, times, levels = embedded(audio, embedder, logmel)
    truth = {
        "speed": float(clip.condition.speed_percent),
        "load": float(clip.condition.load_percent),
        "fault": clip.fault or "",
    }
    return Sample(
        (clip.kind, clip.machine_id), clip.split, clip.label, frames, times, levels, truth
    )


def embedded(
    audio: NDArray[np.float32], embedder: Embedder, logmel: LogMel
) -> tuple[NDArray[np.float16], NDArray[np.float64], NDArray[np.float32]]:
    """Return frames (T, D) in half precision, their times (T,), and log-mel cells (C, F) of audio (S,)."""
    heard = torch.from_numpy(np.ascontiguousarray(audio, np.float32))[None]
    frames, times = embedder.frames(heard)
    levels, _ = logmel.frames(heard)
    return (
        frames[0].numpy().astype(np.float16),
        times[0].numpy().astype(np.float64),
        cells_of(levels[0].numpy()),
    )
