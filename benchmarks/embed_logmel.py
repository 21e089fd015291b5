"""Embed stored log-mel spectra, where there is no sound to embed, by the embedder `modulation`.

    python benchmarks/embed_logmel.py ../shared/testbed/toycar_logmel --out runs/toycar_embedded
    python benchmarks/frozen_knn.py runs/toycar_embedded --embedders precomputed --store runs/toycar_store
    python benchmarks/collaboration.py --data runs/toycar_embedded --out runs/toycar_modulation

The spectra must be those of the embedder `logmel`: 128 bands in dB, a frame every 32 ms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

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
    arguments.out.mkdir(parents=True, exist_ok=True)
    for machine, machine_id in dataset.machine_keys:
        groups: dict[str, list[Clip]] = {}
        for clip in dataset.where(machine=machine, machine_id=machine_id):
            groups.setdefault(ARRAY_OF[clip.split, clip.label], []).append(clip)
        arrays = {name: embedded(embedder, clips) for name, clips in groups.items()}
        np.savez(arguments.out / f"{machine}_{machine_id}.npz", **arrays)


def embedded(embedder: Modulation, clips: list[Clip]) -> np.ndarray:
    """Return the embeddings (N, T, D) in float16, as they are stored when they come from sound."""
    spectra = torch.from_numpy(np.stack(read_features(clips)))
    parts = [embedder.from_logmel(part) for part in torch.split(spectra, 16)]
    return torch.cat(parts).numpy().astype(np.float16)


if __name__ == "__main__":
    main()
