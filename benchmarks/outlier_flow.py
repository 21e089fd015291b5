"""The variants and ensembles of outlier exposure with a flow (tables 2 to 4), and what they cost.

    python benchmarks/outlier_flow.py run DATA [--seeds 0 1 2] [--set KEY=VALUE …] [--json OUT]
    python benchmarks/outlier_flow.py run DATA --system autoencoder [--seeds …] [--json OUT]
    python benchmarks/outlier_flow.py table RUN.json …
    python benchmarks/outlier_flow.py cost [--set KEY=VALUE …] [--repeats N] [--profile]

DATA is a dataset, or ``synthetic``: three simulated machines with a source and a target domain, ten target
clips each in training (``--data-out`` keeps them). ``run`` trains all five variants of a seed, unless
``--set variant=…`` says fewer, and prints every score they offer; ``--json`` keeps the figures. ``table``
makes one Markdown table of the runs given, mean ± standard deviation over seeds. ``cost`` times a training
step, with the flow and without, and scoring.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from thrum import audio
from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, plan, render
from thrum.evaluation import evaluate, metrics
from thrum.evaluation.dcase.submission import write_submission
from thrum.evaluation.table import results_of, summary
from thrum.systems import SYSTEMS, create_system
from thrum.systems.outlier_flow import Config
from thrum.systems.outlier_flow.batches import Batch
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.types import Dataset, Scores

MACHINES = SyntheticConfig(
    kinds=("fan", "gearbox", "valve"),  # kinds that DCASE 2022 has, so that its rules apply
    individuals=1,
    train_clips=100,
    target_train_clips=10,
    test_normal_clips=60,
    test_anomaly_clips=60,
    domains=True,
    duration_seconds=4.0,
    naming=2022,
)
PURE = 3 / 8
"""Of a batch: a quarter unmixed target clips, and of the mixed half a quarter of target clips both."""


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("run")
    verb.add_argument("data")
    verb.add_argument("--system", default="outlier-flow")
    verb.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    verb.add_argument("--set", dest="settings", nargs="*", default=[])
    verb.add_argument("--data-out", type=Path, default=None)
    verb.add_argument("--json", type=Path, default=None)
    verb = verbs.add_parser("table")
    verb.add_argument("runs", type=Path, nargs="+")
    verb = verbs.add_parser("cost")
    verb.add_argument("--set", dest="settings", nargs="*", default=[])
    verb.add_argument("--repeats", type=int, default=5)
    verb.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.verb == "run":
        run(arguments)
    elif arguments.verb == "table":
        table([each for path in arguments.runs for each in json.loads(path.read_text())])
    else:
        cost(arguments)


def run(arguments: argparse.Namespace) -> None:
    where = arguments.data_out or Path(mkdtemp(prefix="thrum-"))
    dataset = synthetic(where) if arguments.data == "synthetic" else open_dataset(arguments.data)
    config = SYSTEMS.load(arguments.system).Config()
    if arguments.system == "outlier-flow":
        config = replace(config, variant="submission-1")
    config = configs.with_overrides(config, arguments.settings)
    found: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        scores = fitted_scores(arguments.system, config, dataset, seed)
        for method in scores.columns:
            figures = figures_of(replace(scores, selected=method), dataset)
            name = method if arguments.system == "outlier-flow" else f"{arguments.system}: {method}"
            found.append({"method": name, "seed": seed, **figures})
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))
    table(found)


def fitted_scores(name: str, config: Any, dataset: Dataset, seed: int) -> Scores:
    """Train, score, and say how long both took."""
    ends: dict[str, list[float]] = {}

    def watch(stage: str, done: int, total: int) -> None:
        ends.setdefault(stage, []).append(time.perf_counter())

    train, test = dataset.where(split="train"), dataset.where(split="test")
    system = create_system(name, config, seed=seed, device="cpu", progress=watch)
    started = time.perf_counter()
    system.fit(train)
    trained = time.perf_counter()
    scores = system.score(test)
    scored = time.perf_counter()
    epochs = [gap for stage, times in ends.items() if "training" in stage for gap in np.diff(times)]
    print(
        f"seed {seed}: fit {trained - started:.0f} s"
        + (f", an epoch of one network {np.median(epochs):.2f} s" if epochs else "")
        + f"; scoring {len(test) / (scored - trained):.1f} clips/s",
        flush=True,
    )
    return scores


def figures_of(scores: Scores, dataset: Dataset) -> dict[str, float]:
    """Return official score and AUC of each domain by the rules of 2022; plain means without domains."""
    if all(clip.domain and clip.machine_id.startswith("section") for clip in scores.clips):
        folder = Path(mkdtemp())
        write_submission(folder, scores)
        evaluation = evaluate(dataset.root, folder, 2022)
        assert evaluation.official_score is not None
        return {
            "official": evaluation.official_score,
            **{
                measure: metrics.harmonic_mean(evaluation.values(measure))
                for measure in ("auc_source", "auc_target", "pauc")
            },
        }
    mean = next(
        row
        for row in summary(results_of(scores, seed=0))
        if row.machine is None and row.method == scores.selected
    )
    return {"auc": mean.auc or 0.0, "pauc": mean.pauc or 0.0}


def table(found: list[dict[str, Any]]) -> None:
    """Print mean ± standard deviation over seeds of every method."""
    measures = [key for key in found[0] if key not in ("method", "seed")]
    seeds = sorted({each["seed"] for each in found})
    print(f"\nseeds {' '.join(map(str, seeds))}; percent\n")
    print(f"| score | {' | '.join(measures)} |\n|{' --- |' * (len(measures) + 1)}")
    for method in dict.fromkeys(each["method"] for each in found):
        own = [each for each in found if each["method"] == method]
        cells = [spread([100 * each[measure] for each in own]) for measure in measures]
        fewer = f" ({len(own)} of {len(seeds)} seeds)" if len(own) < len(seeds) else ""
        print(f"| {method}{fewer} | {' | '.join(cells)} |", flush=True)


def spread(values: list[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def synthetic(root: Path) -> Dataset:
    if not (root / MACHINES.kinds[-1]).exists():
        for clip in plan(MACHINES):
            audio.write(root / clip.path, render(clip, MACHINES), MACHINES.sample_rate)
    return open_dataset(root)


def cost(arguments: argparse.Namespace) -> None:
    """Time a training step of OE-Flow with and without the flow, in seconds of the processor."""
    config = configs.with_overrides(Config(), arguments.settings)
    frames = round(config.segment_seconds / config.hop_seconds)
    count = config.batch_size
    print(
        f"width {config.width}, batches of {count} segments of {config.mel_bands} × {frames}, "
        f"{torch.get_num_threads()} threads"
    )
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(count) < count // 2).float()
    batch = Batch(
        torch.randn(count, config.mel_bands, frames, generator=generator),
        target,
        torch.zeros(count, 0),
        (torch.arange(count) < round(PURE * count)),
        None,
    )
    steps: dict[str, Callable[[], None]] = {}
    networks = {}
    for name in ("OE-Flow", "OE"):
        torch.manual_seed(0)
        network = OutlierFlowNetwork(config, VARIANTS[name], Shape(0, False, False))
        optimizer = torch.optim.AdamW(network.parameters())

        def step(network: OutlierFlowNetwork = network, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            network.loss(batch).backward()
            optimizer.step()

        steps[name], networks[name] = step, network
    if arguments.profile:
        print_profile(steps["OE-Flow"])
        return
    seconds = median_seconds(steps, arguments.repeats)
    for name, network in networks.items():
        parameters = sum(p.numel() for p in network.parameters())
        print(f"  step of {name}: {seconds[name]:.3f} s, {parameters / 1e6:.2f} M parameters")
    share = 1 - seconds["OE"] / seconds["OE-Flow"]
    print(f"  the flow's share of a step: {100 * share:.1f} %")
    network = networks["OE-Flow"].eval()

    def hear() -> None:
        with torch.inference_mode():
            network.surprise(network.maps(batch.levels))

    heard = median_seconds({"scoring": hear}, arguments.repeats)["scoring"]
    print(f"  scoring: {count / heard:.0f} segments/s")


def median_seconds(works: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median of each work over `repeats` turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            started = time.process_time()  # on a busy machine the clock on the wall says little
            work()
            taken[name].append(time.process_time() - started)
    return {name: float(np.median(each[1:])) for name, each in taken.items()}


def print_profile(step: Any) -> None:
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        step()
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    main()
