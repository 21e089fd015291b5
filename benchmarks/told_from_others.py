"""Whether failing machines sound like themselves or like others, to the simplest classifier there is.

    python benchmarks/told_from_others.py DATA [--records FILE]

A system that asks whether a clip is of its own machine ranks below chance where anomalous clips are more
like the machine's normal training clips than its normal test clips are. Here a logistic regression on the
mean log-mel spectrum, less its mean, so that gain says nothing, tells each machine ID from other types and
from its sisters; the AUC of its log-odds is printed. Where it is below chance too, that is in the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from thrum.datasets import open_dataset
from thrum.evaluation.metrics import auc
from thrum.systems.self_supervised.inputs import Inputs

PENALTY = 1e-2
"""On squared weights: there are more bands than clips of some machines."""

Matrix = NDArray[np.float64]


def main() -> None:
    """Print a line for each machine ID with normal and anomalous test clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--records", type=Path, help="a file to write the table to, as JSON")
    told = parser.parse_args()
    clips = list(open_dataset(told.data))
    with TemporaryDirectory() as folder:
        inputs = Inputs(
            clips, features=("logmel",), folder=Path(folder), device=torch.device("cpu")
        )
        levels = np.asarray(inputs.mean_levels(), np.float64)
    levels -= levels.mean(axis=1, keepdims=True)
    train = np.array([clip.split == "train" for clip in clips])
    levels = (levels - levels[train].mean(axis=0)) / levels[train].std(axis=0).clip(1e-6)
    machines = np.array([clip.machine for clip in clips])
    anomalous = np.array([clip.label == "anomaly" for clip in clips])
    table = [["machine ID", "told from other types, AUC", "told from its sisters, AUC"]]
    for key in sorted({clip.machine_key for clip in clips}):
        own = np.array([clip.machine_key == key for clip in clips])
        test = own & ~train
        if len(set(anomalous[test])) < 2:
            continue
        found = []
        for others in (machines != key[0], (machines == key[0]) & ~own):
            strange = train & others
            if not strange.any():
                found.append("–")
                continue
            odds = log_odds(levels[train & own], levels[strange], levels[test])
            found.append(f"{100 * auc(anomalous[test], -odds):.1f}")
        table.append([f"{key[0]} {key[1]}", *found])
    for line in table:
        print(" | ".join(line))
    if told.records is not None:
        text = json.dumps({"audio": table}, indent=2, ensure_ascii=False)
        told.records.write_text(f"{text}\n", encoding="utf-8")


def log_odds(own: Matrix, others: Matrix, new: Matrix) -> Matrix:
    """Return the log-odds (B,) that new vectors (B, D) are like own (N, D) and not others (M, D).

    Own and others weigh alike.
    """
    vectors = np.concatenate([own, others])
    signs = np.repeat([1.0, -1.0], [len(own), len(others)])
    shares = np.repeat([0.5 / len(own), 0.5 / len(others)], [len(own), len(others)])

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        margins = signs * (vectors @ weights[1:] + weights[0])
        slopes = -shares * signs * expit(-margins)  # (N + M,)
        value = shares @ np.logaddexp(0, -margins) + PENALTY / 2 * weights[1:] @ weights[1:]
        gradient = np.concatenate([[slopes.sum()], slopes @ vectors + PENALTY * weights[1:]])
        return float(value), gradient

    weights = minimize(loss, np.zeros(1 + vectors.shape[1]), jac=True, method="L-BFGS-B").x
    found: Matrix = new @ weights[1:] + weights[0]
    return found


if __name__ == "__main__":
    main()
