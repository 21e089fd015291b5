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
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from thrum import config as configs
from thrum import storage
from thrum.bench.scores import measures
from thrum.bench.tables import load_table
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import write_dataset
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
from thrum.types import Dataset

VARIANT = "OE-Flow"
TABLE = Path(__file__).parent / "tables" / "outlier_flow.toml"
PARTS = {"/flow": "flow", "/machine": "-g_machine", "/gmm": "GMM", "/knn": "k-NN", "": VARIANT}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    marks = [0, *(2**power for power in range(int(math.log2(arguments.epochs)) + 1))]
    table = load_table(str(TABLE))
    run, machines = table.runs["longer"], table.sources["machines"].synthetic
    config = replace(
        configs.from_mapping(Config, run.settings, where="run"), epochs=arguments.epochs
    )
    found: dict[tuple[int, str], list[float]] = {}
    with TemporaryDirectory() as temporary:
        write_dataset(machines, Path(temporary) / "machines")
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
    records = records_of(
        found, arguments, run.shortened.replace("120 of", f"{arguments.epochs} of")
    )
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
    clips = ClipScores(
        tuple(clip.name for clip in test),
        tuple(clip.label for clip in test),
        tuple(clip.domain for clip in test),
        scores.columns,
    )
    return {
        f"{domain} domain: {name}": measures(clips, f"{VARIANT}{part}")[f"auc_{domain}"]
        for domain in ("source", "target")
        for part, name in PARTS.items()
    }


def records_of(
    found: dict[tuple[int, str], list[float]], arguments: Any, shortened: str
) -> list[dict[str, Any]]:
    """Return the means over the machines, for docs/results.md."""
    return [
        {
            "table": "flow_curve",
            "row": f"{steps:,}",
            "column": column,
            "mean": 100 * statistics.fmean(values),
            "deviation": None,
            "seeds": [arguments.seed],
            "shortened": shortened,
            "command": f"python benchmarks/flow_curve.py --seed {arguments.seed} --epochs {arguments.epochs}",
        }
        for (steps, column), values in found.items()
    ]


if __name__ == "__main__":
    main()
