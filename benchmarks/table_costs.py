"""What do the runs behind the published tables cost, a clip? Measured step by step.

    python benchmarks/table_costs.py                                        on one core
    python benchmarks/table_costs.py --device cuda                          on a GPU
    python benchmarks/table_costs.py --only 'outlier-flow*' --train-clips 64

Every run is trained at the paper's settings for a few epochs on simulated clips of 10 s (two machine
types of two individuals each, two domains, two attributes), and timed epoch by epoch. A training clip's
cost is what comes once (reading, features, inlier models) and the step of each epoch as often as the paper
has epochs. A batch must be full of a machine type's clips, or a clip seems dearer than it is: outlier-flow
wants 64 of them. Embedders and wav2vec 2.0 have random weights of the right shapes here, and the ID
classifier random frames: the arithmetic is the same. What was measured is kept by device in
src/thrum/bench/costs.json, which ``thrum bench --needs`` reads; a run that is there is measured again only
where ``--only`` names it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import random_wav2vec2
from embedders import make
from thrum import storage
from thrum.bench import needs
from thrum.bench.cells import Cell
from thrum.bench.tables import COLLABORATION, Run, load_table, table_names
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.errors import ThrumError
from thrum.systems.base import create_system
from thrum.systems.embedding_sharing import FramePool, network_scores, train_classifier
from thrum.types import Dataset

COSTS = Path(__file__).parents[1] / "src" / "thrum" / "bench" / "costs.json"
FEW_EPOCHS = (3, 5)  # of the settings that count epochs, told apart by their number
CLIPS_A_MACHINE = 2  # of the ID classifier's images; they are many a clip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=None)
    parser.add_argument("--train-clips", type=int, default=32, help="a machine type")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    costs = storage.read_json(COSTS)
    with TemporaryDirectory(prefix="thrum-") as folder:
        dataset = simulated(Path(folder) / "data", arguments.train_clips)
        for key, run in dict(published_runs()).items():
            known = arguments.device in costs.get(key, {})
            wanted = not known if arguments.only is None else fnmatch(key, arguments.only)
            if not wanted:
                continue
            started = time.perf_counter()
            try:
                cost = measured(run, dataset, arguments.device)
            except ThrumError as error:
                print(f"{key}: {error}", file=sys.stderr)
                continue
            costs = storage.read_json(COSTS)  # anew: another process may have measured, too
            own = {**cost, "processor": processor(arguments.device)}
            costs.setdefault(key, {})[arguments.device] = own
            storage.write_json(COSTS, costs)
            print(f"{key}: {cost}, {time.perf_counter() - started:.0f} s", flush=True)


def published_runs() -> Iterator[tuple[str, Run]]:
    """Yield the runs of the papers' tables; of an ensemble its members, each of which is trained."""
    for name in table_names():
        for run in load_table(name).runs.values() if "/" in name else ():
            key = needs.key_of(run)
            settings = {name: value for name, value in run.settings.items() if name != "targets"}
            for member in needs.members_of(key):
                variant = member.partition(" variant=")[2]
                yield member, replace(run, settings={**settings, "variant": variant})
            if not needs.members_of(key):
                yield key, run


def simulated(root: Path, train_clips: int) -> Dataset:
    settings = SyntheticConfig(
        kinds=("fan", "valve"),
        individuals=2,
        train_clips=train_clips // 2,
        target_train_clips=4,
        test_normal_clips=2,
        test_anomaly_clips=2,
        domains=True,
        naming=2022,
    )
    write_dataset(settings, root)
    return open_dataset(root)


def measured(run: Run, dataset: Dataset, device: str) -> dict[str, Any]:
    """Return seconds a training clip and a test clip cost, all epochs together."""
    if run.system == COLLABORATION:
        return collaboration(run, device)
    with TemporaryDirectory(prefix="thrum-") as folder:
        if "wav2vec2" in run.settings.get("features", ()):
            weights = Path(folder) / "weights"
            random_wav2vec2.write(weights)
            run = replace(run, settings={**run.settings, "wav2vec2": str(weights)})
        return by_epochs(run, dataset, device, Path(folder) / "work")


def by_epochs(run: Run, dataset: Dataset, device: str, folder: Path) -> dict[str, Any]:
    config = Cell("run", run, "", needs.NOWHERE, 0, None, Path()).config()
    counts = {field.name for field in fields(config) if needs.counts_epochs(field.name)}
    full = {name: getattr(config, name) for name in sorted(counts)}
    few = dict(zip(full, FEW_EPOCHS, strict=False))
    clock = clock_of(device)
    ends: dict[tuple[str, int], list[float]] = {}

    def watch(stage: str, done: int, total: int) -> None:
        if total in few.values():
            ends.setdefault((stage, total), []).append(clock())

    train, test = dataset.where(split="train"), dataset.where(split="test")
    system = create_system(
        run.system, replace(config, **few), device=device, folder=folder, progress=watch
    )
    started = clock()
    system.fit(train)
    fitting = clock() - started
    started = clock()
    system.score(test)
    scoring = clock() - started
    epoch = dict.fromkeys(few, 0.0)
    for (_, total), times in ends.items():
        name = next(name for name, count in few.items() if count == total)
        if len(times) == total:
            epoch[name] += float(np.median(np.diff(times)))
    once = max(fitting - sum(epoch[name] * few[name] for name in few), 0.0)
    step = {name: seconds / len(train) for name, seconds in epoch.items()}
    return cost_of(full, step, once=once / len(train), test=scoring / len(test))


def collaboration(run: Run, device: str) -> dict[str, Any]:
    config = Cell("run", run, "", needs.NOWHERE, 0, None, Path()).config()
    embedder = make(config.embedder, "float32").to(device)
    clock = clock_of(device)
    audio = 0.1 * torch.randn(1, 160000, device=device)
    started = clock()
    shape = tuple(embedder.frames(audio)[0].shape[1:])
    embedding = clock() - started
    random = np.random.default_rng(0)
    pool = FramePool(
        {
            ("machine", f"id_{n:02d}"): list(
                random.normal(size=(CLIPS_A_MACHINE, *shape)).astype(np.float16)
            )
            for n in range(2)
        }
    )
    stacking = {"stack_frames": embedder.stack_frames, "stack_hop": embedder.stack_hop}
    started = clock()
    classifier = train_classifier(pool, replace(config, epochs=1), device=device, **stacking)
    step = (clock() - started) / len(pool)
    started = clock()
    network_scores(classifier, pool.keys[0], pool.frames[:2], pool.frames[2:])
    scoring = (clock() - started) / len(pool)
    once = embedding + scoring
    return cost_of({"epochs": config.epochs}, {"epochs": step}, once=once, test=once)


def cost_of(
    epochs: dict[str, int], step: dict[str, float], *, once: float, test: float
) -> dict[str, Any]:
    training = once + sum(step[name] * epochs[name] for name in epochs)
    return {
        "epochs": epochs,
        "step_seconds": {name: float(f"{seconds:.4g}") for name, seconds in step.items()},
        "once_seconds": float(f"{once:.4g}"),
        "train_seconds": float(f"{training:.4g}"),
        "test_seconds": float(f"{test:.4g}"),
    }


def processor(device: str) -> str:
    """Return what a device is called."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))


def clock_of(device: str) -> Callable[[], float]:
    """Return a clock: processor time, so that other work does not count, but for a GPU."""
    if device == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


if __name__ == "__main__":
    main()
