"""Does the flow learn, and is OE without it as good? AUC against the steps of the optimiser, in both domains.

    python benchmarks/flow_curve.py [--seeds N …] [--epochs N] [--variants NAME …] [--json FILE]

The machines and the settings are those of `benchmarks/tables/outlier_flow.toml`; one training a machine of
OE-Flow and one of OE, looked at after 0, 1, 2, 4, … epochs. What is looked at is a copy, with batch norm's
means taken anew as at a training's end. The rate of OE goes up and down once (section 4.2), so that its
last row alone is a whole training.
"""

from __future__ import annotations

import argparse
import copy
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
from thrum.systems.outlier_flow.roles import Target, targets_of
from thrum.systems.outlier_flow.system import Heard
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.types import Dataset

TABLE = Path(__file__).parent / "tables" / "outlier_flow.toml"
SIZES = (
    "width 16 of 64, 128 of 224 bands, hop 32 of 16 ms, segments of 2 of 5 s, batches of 32 of 128, "
    "OE-Flow at 3e-4 instead of 1e-4, λ_Flow 3.5e-6"
)
PARTS = {
    "OE-Flow/flow": "flow",
    "OE-Flow/machine": "-g_machine",
    "OE-Flow/gmm": "GMM",
    "OE-Flow/knn": "k-NN",
    "OE-Flow": "OE-Flow",
    "OE/machine": "OE: -g_machine",
    "OE": "OE",
}
"""Columns of scores, and what they are called here."""

Found = dict[tuple[int, str], dict[int, list[float]]]
"""AUC by steps and column, then by seed: one of each machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--variants", nargs="+", default=["OE-Flow", "OE"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = load_table(str(TABLE))
    config = replace(
        configs.from_mapping(Config, table.runs["all"].settings, where="run"),
        epochs=arguments.epochs,
        oe_epochs=arguments.epochs,
    )
    found: Found = {}
    with TemporaryDirectory() as temporary:
        write_dataset(table.sources["machines"].synthetic, Path(temporary) / "machines")
        dataset = open_dataset(Path(temporary) / "machines")
        train = sorted(dataset.where(split="train"), key=lambda clip: clip.machine_key)
        spectrograms = Spectrograms(
            train, config, folder=Path(temporary), device=torch.device("cpu")
        )
        for seed in arguments.seeds:
            for variant in arguments.variants:
                for target in targets_of(train, ()):
                    follow(variant, target, spectrograms, dataset, config, seed, found)
    records = records_of(found, arguments)
    for one in records:
        print(f"{one['row']:>6} {one['column']:>24} {one['mean']:6.1f}")
    if arguments.json:
        storage.write_json(arguments.json, records)


def follow(
    variant: str,
    target: Target,
    spectrograms: Spectrograms,
    dataset: Dataset,
    config: Config,
    seed: int,
    found: Found,
) -> None:
    """Train a network of one machine; put into `found` what it ranks after 0, 1, 2, 4, … epochs."""
    shape, labels = labelled(spectrograms.clips, target, variant, "", config)
    torch.manual_seed(seed)
    network = OutlierFlowNetwork(config, VARIANTS[variant], shape)

    def look(_: str, done: int, __: int) -> None:
        if done & (done - 1):  # neither 0 nor a power of two
            return
        looked_at = copy.deepcopy(network)
        renew_means(looked_at, spectrograms, labels, config, seed=seed)
        learnt = Learnt(variant, "", shape, looked_at.eval(), {}, {}, [])
        learnt.know(target, spectrograms, config, seed=seed)
        steps = done * steps_of(labels.target, config.batch_size, config.least_steps)
        told = [f"{variant} of {target.name}, seed {seed}, after {steps} steps:"]
        for column, auc in aucs(learnt, spectrograms, dataset, config).items():
            found.setdefault((steps, column), {}).setdefault(seed, []).append(auc)
            told.append(f"{column} {auc:.3f}")
        print(" ".join(told), flush=True)

    network.standardise_by(*spectrograms.usual)
    look("", 0, 0)
    fit_network(network, spectrograms, labels, config, seed=seed, stage=target.name, progress=look)


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
        f"{domain} domain: {name}": measures(clips, part)[f"auc_{domain}"]
        for domain in ("source", "target")
        for part, name in PARTS.items()
        if part.partition("/")[0] == learnt.variant
    }


def records_of(found: Found, arguments: Any) -> list[dict[str, Any]]:
    """Return the means over the machines, and over seeds, for docs/results.md."""
    told = f"--seeds {' '.join(map(str, arguments.seeds))} --epochs {arguments.epochs}"
    told += f" --variants {' '.join(arguments.variants)}"
    records = []
    for (steps, column), by_seed in found.items():
        means = [100 * statistics.fmean(values) for values in by_seed.values()]
        records.append(
            {
                "table": "flow_curve",
                "row": f"{steps:,}",
                "column": column,
                "mean": statistics.fmean(means),
                "deviation": statistics.pstdev(means) if len(means) > 1 else None,
                "seeds": sorted(by_seed),
                "shortened": f"{SIZES}, {arguments.epochs} epochs",
                "command": f"python benchmarks/flow_curve.py {told}",
            }
        )
    return records


if __name__ == "__main__":
    main()
