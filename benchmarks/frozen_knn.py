"""What does each frozen embedder hear? k-NN on its mean embedding, AUC of each machine.

    python benchmarks/frozen_knn.py DATA --embedders logmel yamnet --store runs/embeddings

Nothing is learnt but the normal training clips of a machine (k = 2, Euclidean). Machines without
anomalies are left out. What the store holds already is not embedded again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from thrum.datasets import open_dataset
from thrum.detectors.knn import KNN
from thrum.embedders import EmbeddingStore, create_embedder, embed_into
from thrum.types import Dataset


def aucs(dataset: Dataset, store: EmbeddingStore) -> dict[str, float]:
    found = {}
    for machine, machine_id in dataset.machine_keys:
        clips = dataset.where(machine=machine, machine_id=machine_id)
        test = [clip for clip in clips.where(split="test") if clip.label is not None]
        truth = [clip.label == "anomaly" for clip in test]
        if len(set(truth)) < 2:
            continue
        detector = KNN(neighbours=2).fit(means(store, clips.where(split="train").clips))
        scores = detector.anomaly_score(means(store, test))
        found[f"{machine} {machine_id}"] = float(roc_auc_score(truth, scores))
    return found


def means(store: EmbeddingStore, clips: object) -> np.ndarray:
    return np.stack([store.frames(clip).astype(np.float32).mean(axis=0) for clip in clips])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--embedders", nargs="+", default=["logmel"])
    parser.add_argument("--store", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    columns = {}
    for name in arguments.embedders:
        store = EmbeddingStore(arguments.store / name)
        embed_into(store, dataset.clips, create_embedder(name), batch_size=4)
        columns[name] = aucs(dataset, store)
    print(f"{'machine':<16}" + "".join(f"{name:>18}" for name in columns))
    for machine in columns[arguments.embedders[0]]:
        print(f"{machine:<16}" + "".join(f"{column[machine]:18.3f}" for column in columns.values()))
    print(
        f"{'mean':<16}"
        + "".join(f"{np.mean(list(column.values())):18.3f}" for column in columns.values())
    )


if __name__ == "__main__":
    main()
