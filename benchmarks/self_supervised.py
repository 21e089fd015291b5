"""The six experiments of self-supervised classification (table I), and what they cost.

    python benchmarks/self_supervised.py DATA [--experiments 1 6] [--seeds 0 1 2] [--set KEY=VALUE …]

DATA is a dataset, or ``synthetic``: nine simulated sections in two domains with attributes (``--out``
keeps them). ``--random-wav2vec2`` gives experiments 3 to 6 a small model with random weights, which shows
that the path works and not that pretrained features help; ``--without-wav2vec2`` leaves the features out.
``--profile`` trains the first experiment once under PyTorch's profiler instead.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch

from thrum import audio
from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, plan, render
from thrum.detectors.knn import KNN
from thrum.evaluation import evaluate
from thrum.evaluation.dcase.submission import write_submission
from thrum.evaluation.table import results_of, summary
from thrum.systems.self_supervised import Config, SelfSupervised
from thrum.systems.self_supervised.inputs import Inputs
from thrum.systems.self_supervised.wav2vec2 import write_network
from thrum.types import Dataset, Scores, group_by_machine

CONFIGS = Path(__file__).parents[1] / "configs"
SECTIONS = SyntheticConfig(
    kinds=("fan", "gearbox", "valve"),  # kinds that DCASE 2022 has, so that its rules apply
    individuals=3,
    train_clips=40,
    target_train_clips=4,
    test_normal_clips=20,
    test_anomaly_clips=20,
    domains=True,
    duration_seconds=4.0,
    naming=2022,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--experiments", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    parser.add_argument("--random-wav2vec2", action="store_true")
    parser.add_argument("--without-wav2vec2", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    out = arguments.out or Path(mkdtemp(prefix="thrum-"))
    dataset = (
        synthetic(out / "data") if arguments.data == "synthetic" else open_dataset(arguments.data)
    )
    weights = random_wav2vec2(out / "wav2vec2") if arguments.random_wav2vec2 else None

    if not arguments.profile:
        report("k-NN on mean log-mel, k = 2", [nearest_log_mel(dataset)], dataset, out)
    fitted: dict[tuple[Config, int], SelfSupervised] = {}
    for number in arguments.experiments:
        config = configs.load(Config, CONFIGS / f"self_supervised_experiment{number}.toml")
        config = configs.with_overrides(config, arguments.settings)
        if arguments.without_wav2vec2:
            config = replace(config, features=tuple(f for f in config.features if f != "wav2vec2"))
        if weights is not None and "wav2vec2" in config.features:
            config = replace(config, wav2vec2=weights)
        if arguments.profile:
            print_profile(config, dataset)
            return
        scores = []
        for seed in arguments.seeds:
            # Experiments that differ in the score alone are one network.
            trained = replace(config, score="distance"), seed
            if trained not in fitted:
                fitted[trained] = fit(config, dataset, seed)
            scores.append(
                replace(fitted[trained].score(dataset.where(split="test")), selected=config.score)
            )
        report(f"experiment {number}: {'+'.join(config.features)}", scores, dataset, out)


def fit(config: Config, dataset: Dataset, seed: int) -> SelfSupervised:
    """Train, and say how long an epoch took."""
    ends: list[float] = []

    def watch(stage: str, done: int, total: int) -> None:
        if stage.startswith("training"):
            ends.append(time.perf_counter())

    train = dataset.where(split="train")
    system = SelfSupervised(config, seed=seed, device="cpu", progress=watch)
    started = time.perf_counter()
    system.fit(train)
    total = time.perf_counter() - started
    epoch = float(np.median(np.diff(ends))) if len(ends) > 1 else total
    print(
        f"  seed {seed}: {total:.0f} s, {epoch:.2f} s an epoch, {len(train) / epoch:.0f} clips/s in "
        f"training, loss {system.losses_[0]:.2f} to {system.losses_[-1]:.2f}",
        flush=True,
    )
    return system


def print_profile(config: Config, dataset: Dataset) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as watched:
        fit(config, dataset, 0)
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


def report(title: str, scores: list[Scores], dataset: Dataset, out: Path) -> None:
    """Print mean and deviation over seeds of every score, the system's own marked by a star."""
    print(title)
    for method in scores[0].columns:
        means = [
            next(
                row
                for row in summary(results_of(one, seed=0))
                if row.machine is None and row.method == method
            )
            for one in scores
        ]
        parts = [
            f"{name} {spread([getattr(row, name) for row in means])}" for name in ("auc", "pauc")
        ]
        official = [official_score(replace(one, selected=method), dataset, out) for one in scores]
        if None not in official:
            parts.append(f"official {spread(official)}")
        star = "*" if method == scores[0].selected else " "
        print(f"  {star}{method:<10} {'  '.join(parts)}", flush=True)


def spread(values: list[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def official_score(scores: Scores, dataset: Dataset, out: Path) -> float | None:
    """Return the official score by the rules of 2022, where the data are laid out so."""
    if not all(clip.domain and clip.machine_id.startswith("section") for clip in scores.clips):
        return None
    folder = Path(mkdtemp(dir=out))
    write_submission(folder, scores)
    return evaluate(dataset.root, folder, 2022).official_score


def nearest_log_mel(dataset: Dataset) -> Scores:
    """Score by the distance to the two nearest mean log-mel spectra of the machine ID."""
    columns = np.zeros(len(dataset.where(split="test")))
    test = list(dataset.where(split="test"))
    rows = {id(clip): row for row, clip in enumerate(test)}
    train = group_by_machine(dataset.where(split="train"))
    for key, own in group_by_machine(test).items():
        means = [
            Inputs(clips, features=["logmel"], folder=Path(mkdtemp())).mean_levels()
            for clips in (train[key], own)
        ]
        columns[[rows[id(clip)] for clip in own]] = (
            KNN(neighbours=2).fit(means[0]).anomaly_score(means[1])
        )
    return Scores(test, {"knn": columns}, "knn")


def synthetic(root: Path) -> Dataset:
    if not root.exists():
        for clip in plan(SECTIONS):
            audio.write(root / clip.path, render(clip, SECTIONS), SECTIONS.sample_rate)
    return open_dataset(root)


def random_wav2vec2(folder: Path) -> Path:
    """Write a wav2vec 2.0 of two small layers, never trained."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    small = Wav2Vec2Config(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    write_network(Wav2Vec2Model(small), folder)
    return folder


if __name__ == "__main__":
    main()
