"""What a monitor with a network in 8 bits costs in hits, and what it gains in time and size.

    python benchmarks/edge_int8.py --data DIR --weights WEIGHTS [--machines fan,motor]

DIR is a dataset with labelled test clips, WEIGHTS holds ``yamnet.h5``. For each machine ID k-NN on YAMNet is
learnt and exported twice, in single precision and with ``--int8``: AUC of the two files' scores, Spearman's
correlation of them, how many faults and normal clips each calls suspicious (p at most 0.05), file sizes, and
processor time of a clip on one thread, in turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from edge import chosen, per_clip, store_weights, trained
from thrum.datasets import open_dataset
from thrum.evaluation.metrics import auc
from thrum.export import export_monitor
from thrum.monitoring import open_monitor
from thrum_edge import Model
from thrum_edge.sound import clips as clips_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--machines", default="", help="as fan,motor; else all")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    machines = [word for word in arguments.machines.split(",") if word]
    train = chosen(list(dataset.where(split="train")), machines, None)
    test = chosen(list(dataset.where(split="test")), machines, None)
    keys = sorted({c.machine_key for c in train} & {c.machine_key for c in test})
    print("| machine | AUC | AUC, int8 | rank | suspicious | int8 | ms | int8 | MB | int8 |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["THRUM_CACHE"] = str(folder / "cache")
        store_weights("yamnet", arguments.weights)
        trained(train, folder / "run", "knn", {"embedder": "yamnet"})
        for key in keys:
            own = [clip for clip in test if clip.machine_key == key]
            faulty = np.array([clip.label == "anomaly" for clip in own])
            monitor = open_monitor(folder / "run", "/".join(key), device="cpu")
            models = []
            for int8 in (False, True):
                file = folder / f"{int8}.onnx"
                export_monitor(monitor, file, int8=int8)
                models.append(Model(file))
            sounds = [next(clips_of(clip.path, models[0].told)).samples for clip in own]
            readings = [[model.judge(sound) for sound in sounds] for model in models]
            scores = [np.array([each.score for each in one]) for one in readings]
            called = [np.array([each.p <= 0.05 for each in one]) for one in readings]
            first, second = (np.argsort(np.argsort(each)) for each in scores)
            ms = [
                1e3 * seconds
                for seconds in per_clip(
                    lambda models=models, sounds=sounds: models[0].judge(sounds[0]),
                    lambda models=models, sounds=sounds: models[1].judge(sounds[0]),
                    9,
                )
            ]
            sizes = [model.path.stat().st_size / 1e6 for model in models]
            hits = [
                f"{(each & faulty).sum()} + {(each & ~faulty).sum()} of {faulty.sum()} + {(~faulty).sum()}"
                for each in called
            ]
            areas = [100 * auc(faulty, each) if 0 < faulty.mean() < 1 else 0 for each in scores]
            cells = [
                f"{areas[0]:.1f}",
                f"{areas[1]:.1f}",
                f"{np.corrcoef(first, second)[0, 1]:.3f}",
                *hits,
            ]
            cells += [f"{each:.1f}" for each in (*ms, *sizes)]
            print("| " + " | ".join(["/".join(key), *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
