"""Does the flow learn? The AUC of OE-Flow's scores against the steps of its optimiser, in both domains.

    python benchmarks/flow_curve.py [--seed N] [--epochs N] [--json docs/results/flow_curve.json]

The machines and the settings are those of `benchmarks/tables/outlier_flow.toml`; one training a machine,
looked at after 0, 1, 2, 4, … epochs. What is looked at is a copy, with batch norm's means taken anew as at a
training's end.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from thrum import storage
from thrum.bench.scores import measures
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.evaluation.table import ClipScores
from thrum.systems.outlier_flow import Config, OutlierFlow
from thrum.systems.outlier_flow.batches import steps_of
from thrum.systems.outlier_flow.fitting import fit_network, labelled, renew_means
from thrum.systems.outlier_flow.frontend import Spectrograms
from thrum.systems.outlier_flow.learnt import Learnt
from thrum.systems.outlier_flow.network import OutlierFlowNetwork
from thrum.systems.outlier_flow.roles import targets_of
from thrum.systems.outlier_flow.system import Heard
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.types import Dataset, Scores

VARIANT = "OE-Flow"
MACHINES = SyntheticConfig(
    kinds=("fan", "gearbox", "valve"),
    individuals=1,
    train_clips=100,
    target_train_clips=10,
    test_normal_clips=60,
    test_anomaly_clips=60,
    domains=True,
    duration_seconds=4.0,
    naming=2022,
)
SETTINGS: dict[str, Any] = {
    "variant": VARIANT,
    "width": 16,
    "mel_bands": 128,
    "hop_seconds": 0.032,
    "segment_seconds": 2.0,
    "batch_size": 32,
    "learning_rate": 3e-4,
    "flow_weight": 3.5e-6,
}
SHORTENED = (
    "width 16 of 64, 128 of 224 bands, hop 32 of 16 ms, segments of 2 of 5 s, batches of 32 of 128, "
    "at 3e-4 instead of 1e-4, λ_Flow 3.5e-6"
)
PARTS = {"/flow": "flow", "/machine": "-g_machine", "/gmm": "GMM", "/knn": "k-NN", "": VARIANT}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    marks = [0, *(2**power for power in range(int(math.log2(arguments.epochs)) + 1))]
    config = Config(epochs=arguments.epochs, **SETTINGS)
    found: dict[tuple[int, str], list[float]] = {}
    with TemporaryDirectory() as temporary:
        write_dataset(MACHINES, Path(temporary) / "machines")
        dataset = open_dataset(Path(temporary) / "machines")
        train = sorted(dataset.where(split="train"), key=lambda clip: clip.machine_key)
        spectrograms = Spectrograms(
            train, config, folder=Path(temporary), device=torch.device("cpu")
        )
        for target in targets_of(train, ()):
            shape, labels = labelled(train, target, VARIANT, "", config)
            torch.manual_seed(arguments.seed)
            network = OutlierFlowNetwork(config, VARIANTS[VARIANT], shape)

            def look(
                _: str, done: int, __: int, own: Any = (target, shape, labels, network)
            ) -> None:
                if done not in marks:
                    return
                target, shape, labels, network = own
                looked_at = copy.deepcopy(network)
                renew_means(looked_at, spectrograms, labels, config, seed=arguments.seed)
                learnt = Learnt(VARIANT, "", shape, looked_at.eval(), {}, {}, [])
                learnt.know(target, spectrograms, config, seed=arguments.seed)
                steps = done * steps_of(labels.target, config.batch_size, config.least_steps)
                for column, auc in aucs(learnt, spectrograms, dataset, config).items():
                    found.setdefault((steps, column), []).append(auc)
                told = ", ".join(f"{c} {v[-1]:.3f}" for (s, c), v in found.items() if s == steps)
                print(f"{target.name} after {steps} steps: {told}", flush=True)

            network.standardise_by(*spectrograms.usual)
            look("", 0, 0)
            fit_network(
                network,
                spectrograms,
                labels,
                config,
                seed=arguments.seed,
                stage=target.name,
                progress=look,
            )
    records = records_of(found, arguments)
    for one in records:
        print(f"{one['row']:>6} {one['column']:>24} {one['mean']:6.1f}")
    if arguments.json:
        storage.write_json(arguments.json, records)


def aucs(
    learnt: Learnt, spectrograms: Spectrograms, dataset: Dataset, config: Config
) -> dict[str, float]:
    """Return the AUC of each part of the score, by domain, by the rules of 2022."""
    (key,) = learnt.training
    system = OutlierFlow(config, device="cpu")
    system.learnt_ = [learnt]
    system.heard_ = Heard(True, spectrograms.bands, spectrograms.segment_frames)
    test = [clip for clip in dataset.where(split="test") if clip.machine_key == key]
    scores = system.score(test)
    return {
        f"{domain} domain: {name}": measures(as_written(scores), f"{VARIANT}{part}")[
            f"auc_{domain}"
        ]
        for domain in ("source", "target")
        for part, name in PARTS.items()
    }


def as_written(scores: Scores) -> ClipScores:
    """Return scores as they would be read from a run's folder."""
    from thrum.evaluation.table import read_scores, write_scores

    with TemporaryDirectory() as folder:
        write_scores(Path(folder), scores)
        (written,) = Path(folder).iterdir()
        return read_scores(written)


def records_of(found: dict[tuple[int, str], list[float]], arguments: Any) -> list[dict[str, Any]]:
    """Return the means over the machines, for docs/results.md."""
    return [
        {
            "table": "flow_curve",
            "row": f"{steps:,}",
            "column": column,
            "mean": 100 * statistics.fmean(values),
            "deviation": None,
            "seeds": [arguments.seed],
            "shortened": SHORTENED,
            "command": f"python benchmarks/flow_curve.py --seed {arguments.seed} --epochs {arguments.epochs}",
        }
        for (steps, column), values in found.items()
    ]


if __name__ == "__main__":
    main()
