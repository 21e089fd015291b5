"""Embed a dataset by `modulation`, perhaps with other weights: sound, or stored log-mel spectra.

    python benchmarks/embed_modulation.py ../shared/testbed/toycar_logmel --out runs/embedded/toycar
    thrum bench benchmarks/tables/modulation.toml --data runs/embedded

The spectra must be those of the embedder `logmel`: 128 bands in dB, a frame every 32 ms. What is written is a
dataset of ``.npz`` features.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thrum import audio
from thrum.datasets import open_dataset
from thrum.datasets.arrays import read_features
from thrum.embedders.modulation import WEIGHTS, Modulation
from thrum.types import Clip

ARRAY_OF = {
    ("train", "normal"): "train_normal",
    ("test", "normal"): "test_normal",
    ("test", "anomaly"): "test_anomaly",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    embedder = Modulation(weights=arguments.weights)
    dataset = open_dataset(arguments.data)
    embedded = from_spectra if dataset.holds == "features" else from_sound
    arguments.out.mkdir(parents=True, exist_ok=True)
    for machine, machine_id in dataset.machine_keys:
        groups: dict[str, list[Clip]] = {}
        for clip in dataset.where(machine=machine, machine_id=machine_id):
            groups.setdefault(ARRAY_OF[clip.split, clip.label], []).append(clip)
        arrays = {
            name: torch.cat(list(embedded(embedder, clips))).numpy().astype(np.float16)
            for name, clips in groups.items()
        }
        np.savez(arguments.out / f"{machine}_{machine_id}.npz", **arrays)


def from_spectra(embedder: Modulation, clips: list[Clip]) -> Iterator[Tensor]:
    """Yield embeddings (n, T, D) of stored log-mel spectra."""
    spectra = torch.from_numpy(np.stack(read_features(clips)))
    return (embedder.from_logmel(part) for part in torch.split(spectra, 16))


def from_sound(embedder: Modulation, clips: list[Clip]) -> Iterator[Tensor]:
    """Yield embeddings (1, T, D) of recordings."""
    for clip in clips:
        samples = torch.from_numpy(audio.read_clip(clip, sample_rate=embedder.sample_rate))
        yield embedder.frames(samples[None])[0]


if __name__ == "__main__":
    main()
