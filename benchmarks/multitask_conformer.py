"""The multitask conformer: three scores, their seven combinations and the selected one, and what it costs.

    python benchmarks/multitask_conformer.py DATA [--seeds 0 1 2] [--set KEY=VALUE …] [--json OUT]

DATA is a dataset, or ``synthetic``: three simulated kinds of machine at each of ``--snr-db`` (``--out``
keeps them). Prints Markdown: mean ± population deviation over seeds of the mean over machine IDs, beside
k-NN on mean log-mel. ``--profile`` times the parts of a step instead and scores nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from thrum import audio
from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, plan, render
from thrum.evaluation.table import Result, results_of, summary
from thrum.features.augment import KINDS, Augmentation
from thrum.systems import create_system
from thrum.systems.multitask_conformer import Config, MultitaskConformer
from thrum.systems.multitask_conformer.fitting import Batch, Loss
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import MultitaskNetwork, Sizes
from thrum.types import Dataset

SIMULATED = SyntheticConfig(
    kinds=("fan", "gearbox", "valve"),
    individuals=3,
    train_clips=40,
    test_normal_clips=20,
    test_anomaly_clips=20,
    duration_seconds=4.0,
)

STEPS = 8
"""That a profile takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    parser.add_argument("--snr-db", type=float, nargs="+", default=[-6, 0, 6, 12])
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    config = configs.with_overrides(Config(), arguments.settings)
    print(f"{parameters(config):,} parameters with four machine IDs\n")
    found: dict[str, Any] = {"config": configs.to_mapping(config), "data": {}}
    for name, dataset in datasets(arguments):
        if arguments.profile:
            print_profile(config, dataset)
            continue
        results = simple(dataset)
        for seed in arguments.seeds:
            results += run(config, dataset, seed)
        print_table(name, results)
        found["data"][name] = [asdict(result) for result in results]
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(found, indent=1))


def datasets(arguments: argparse.Namespace) -> Iterator[tuple[str, Dataset]]:
    """Yield the dataset asked for, or the simulated one at each signal-to-noise ratio."""
    if arguments.data != "synthetic":
        yield Path(arguments.data).name, open_dataset(arguments.data)
        return
    out = arguments.out or Path(mkdtemp(prefix="thrum-"))
    for snr_db in arguments.snr_db:
        config = replace(SIMULATED, snr_db=snr_db)
        root = out / f"{snr_db:g}dB"
        if not root.exists():
            for clip in plan(config):
                audio.write(root / clip.path, render(clip, config), config.sample_rate)
        yield f"synthetic, {snr_db:g} dB", open_dataset(root)


def parameters(config: Config) -> int:
    network = MultitaskNetwork(Sizes(bands=128, ids=4, targets=1), config)
    return sum(parameter.numel() for parameter in network.parameters())


def simple(dataset: Dataset) -> list[Result]:
    """Return the results of k-NN on mean log-mel."""
    system = create_system("knn", device="cpu").fit(dataset.where(split="train"))
    scores = system.score(dataset.where(split="test"))
    return results_of(scores, seed=0, method_names={"mean": "k-NN, log-mel"})


def run(config: Config, dataset: Dataset, seed: int) -> list[Result]:
    """Train and score once, and say how long it took."""
    ends: dict[str, list[float]] = {}

    def watch(stage: str, done: int, total: int) -> None:
        ends.setdefault(stage, []).append(time.perf_counter())

    system = MultitaskConformer(config, seed=seed, device="cpu", progress=watch)
    started = time.perf_counter()
    system.fit(dataset.where(split="train"))
    total = time.perf_counter() - started
    started = time.perf_counter()
    scores = system.score(dataset.where(split="test"))
    speed = len(scores.clips) / (time.perf_counter() - started)
    epochs = {
        stage: float(np.median(np.diff(times)))
        for stage, times in ends.items()
        if stage.startswith("training") and len(times) > 1
    }
    lasting = ", ".join(f"{stage[12:]} {seconds:.2f}" for stage, seconds in epochs.items())
    print(f"seed {seed}: {total:.0f} s, {speed:.0f} clips/s scored; s an epoch: {lasting}")
    for machine, model in system.models_.items():
        losses = system.losses_[machine]
        marks = np.linspace(0, len(losses) - 1, 7).round().astype(int)
        curve = " ".join(f"{losses[mark]:.2f}" for mark in marks)
        print(f"  {machine}: acts on {model.combination}; loss {curve}", flush=True)
    names = {column: column for column in scores.columns}
    return results_of(scores, seed=seed, method_names=names)


def print_table(title: str, results: list[Result]) -> None:
    """Print AUC and partial AUC of every score: each machine ID's, then the mean with its deviation."""
    methods = list(dict.fromkeys(result.method for result in results))
    tested = [result for result in results if result.auc is not None]
    keys = sorted({(result.machine, result.machine_id) for result in tested})
    for measure in ("auc", "pauc"):
        print(f"\n{title}: {'AUC' if measure == 'auc' else 'partial AUC (p = 0.1)'}\n")
        print("| machine | " + " | ".join(methods) + " |")
        print("|---|" + "---:|" * len(methods))
        for key in keys:
            own = [result for result in tested if (result.machine, result.machine_id) == key]
            cells = [
                spread([getattr(r, measure) for r in own if r.method == method])
                for method in methods
            ]
            print(f"| {' '.join(key)} | " + " | ".join(cells) + " |")
        cells = [spread(means(tested, method, measure)) for method in methods]
        print("| **mean** | " + " | ".join(cells) + " |", flush=True)
    print()


def means(results: list[Result], method: str, measure: str) -> list[float]:
    """Return the mean over machine IDs for each seed."""
    own = [result for result in results if result.method == method]
    return [
        getattr(row, measure)
        for seed in sorted({result.seed for result in own})
        for row in summary(result for result in own if result.seed == seed)
        if row.machine is None
    ]


def spread(values: list[float]) -> str:
    deviation = f" ± {np.std(values):.3f}" if len(values) > 1 and np.std(values) >= 0.0005 else ""
    return f"{np.mean(values):.3f}{deviation}"


def print_profile(config: Config, dataset: Dataset) -> None:
    """Print how long a batch takes to load, and the network to learn from it, by operation."""
    clips = list(dataset.where(split="train"))
    spectrograms = Spectrograms(
        clips,
        folder=Path(mkdtemp(prefix="thrum-")),
        augmentation=Augmentation(config.augmentation),
        device=torch.device("cpu"),
    )
    inputs = spectrograms.inputs
    length = (
        int(np.median(inputs.lengths))
        if config.crop_seconds is None
        else inputs.native_length(config.crop_seconds)
    )
    network = MultitaskNetwork(Sizes(inputs.bands, ids=4, targets=1), config)
    network.mean.fill_(-40.0)
    network.deviation.fill_(10.0)
    loss_of = Loss(network, config, with_type=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    random = np.random.default_rng(0)
    loading, learning = [], []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        for _ in range(STEPS):
            rows = random.integers(0, len(clips), config.batch_size)
            kinds = np.arange(config.batch_size) % len(
                KINDS
            )  # most are augmented: the dearest case
            started = time.process_time()
            levels = spectrograms.changed(rows, kinds, length, random, fill=network.mean)
            loaded = time.process_time()
            ids = torch.arange(config.batch_size // 2) % 4
            optimizer.zero_grad()
            loss_of(Batch(levels, torch.from_numpy(kinds), ids)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loading.append(loaded - started)
            learning.append(time.process_time() - loaded)
    load, learn = float(np.median(loading)), float(np.median(learning))
    print(
        f"{config.batch_size} clips, {levels.shape[1]} frames: {load + learn:.3f} s of processor time a "
        f"step, {load:.4f} s of it loading and augmenting ({100 * load / (load + learn):.1f} %)"
    )
    network.eval()
    rows = np.arange(min(len(clips), 2 * config.batch_size))
    started = time.process_time()
    for _, whole in spectrograms.whole(rows):
        network.read(whole)
    seconds = time.process_time() - started
    print(f"{len(rows) / seconds:.0f} whole clips scored a second of processor time")
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))


if __name__ == "__main__":
    main()
