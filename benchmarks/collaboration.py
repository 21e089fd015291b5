"""What does collaboration bring, machine by machine? Mean and deviation over seeds, as Markdown.

    python benchmarks/collaboration.py --data DIR --embedder yamnet --out runs/bench

Runs ``thrum collaborate simulate`` once a seed (resumable) and prints a table; what docs/results.md quotes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.evaluation.table import Result
from thrum.federation.inprocess import METHODS, simulate
from thrum.systems.embedding_sharing import preset_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--embedder", default="logmel")
    parser.add_argument("--preset", default="compact")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-machine-type", action="store_true")
    parser.add_argument("--centralised", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    name = "precomputed" if dataset.holds == "features" else arguments.embedder
    results: list[Result] = []
    for seed in range(arguments.seeds):
        started = time.monotonic()
        simulation = simulate(
            dataset,
            embedder=create_embedder(name),
            config=preset_config(arguments.preset, assignments=arguments.settings),
            folder=arguments.out / f"seed{seed}",
            seed=seed,
            per_machine_type=arguments.per_machine_type,
            centralised=arguments.centralised,
        )
        results += simulation.results
        seconds = time.monotonic() - started
        print(f"<!-- seed {seed}: {seconds:.0f} s, ID accuracy {simulation.id_accuracy:.4f} -->")
    for measure in ("auc", "pauc"):
        print(f"\n{measure.upper() if measure == 'auc' else 'partial AUC (p = 0.1)'}\n")
        print_table(results, measure)


def print_table(results: Iterable[Result], measure: str) -> None:
    rows = [row for row in results if row.auc is not None]
    methods = [method for method in METHODS if any(row.method == method for row in rows)]
    keys = sorted({(row.machine, row.machine_id) for row in rows})
    print("| machine | " + " | ".join(methods) + " |")
    print("|---|" + "---:|" * len(methods))
    for key in keys:
        own = [row for row in rows if (row.machine, row.machine_id) == key]
        print(f"| {' '.join(key)} | " + " | ".join(figure(own, m, measure) for m in methods) + " |")
    print("| **mean** | " + " | ".join(figure(rows, m, measure) for m in methods) + " |")


def figure(rows: Iterable[Result], method: str, measure: str) -> str:
    """Mean ± standard deviation over seeds of the mean over machine IDs."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row.method == method:
            by_seed.setdefault(row.seed, []).append(getattr(row, measure))
    means = [statistics.fmean(values) for values in by_seed.values()]
    deviation = statistics.pstdev(means)
    return f"{statistics.fmean(means):.3f}" + (f" ± {deviation:.3f}" if deviation >= 5e-4 else "")


if __name__ == "__main__":
    main()
