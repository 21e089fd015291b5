"""How well an attack did: a figure, an interval by bootstrap over machines, and chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[Any]
Metric = Callable[[Values, Values], float]
Who = Literal["server", "site", "outsider"]

RESAMPLES = 200
COVERED = 95.0


@dataclass(frozen=True)
class Finding:
    """What one attack found.

    Parameters
    ----------
    attack, quantity
        Which attack, and what it was after.
    who
        Who can do it: the ``server``, another ``site``, or an ``outsider`` who gets at what is sent.
    measure
        What `value` is: ``R²``, ``AUC``, ``accuracy`` ...
    value
        How well it did; None where it was not measured.
    low, high
        A 95 % interval by bootstrap over the machines attacked; None of a single machine.
    chance
        What somebody reaches who was sent nothing.
    machines
        How many were attacked.
    words
        What the quantity means, as a sentence without its figure.
    reason
        Why it was not measured.
    """

    attack: str
    quantity: str
    who: Who
    measure: str
    value: float | None
    low: float | None
    high: float | None
    chance: float
    machines: int
    words: str
    reason: str = ""

    @property
    def leak(self) -> float | None:
        """How far from chance to certainty, 0 to 1."""
        if self.value is None:
            return None
        return float(np.clip((self.value - self.chance) / (1 - self.chance), 0.0, 1.0))


def judged(
    attack: str,
    quantity: str,
    truth: Values,
    guess: Values,
    machines: Values,
    *,
    measure: str,
    metric: Metric,
    chance: float,
    words: str,
    who: Who = "server",
    seed: int = 0,
) -> Finding:
    """Return a finding of guesses (B, …) against the truth (B, …) of clips of some machines (B,)."""
    rows = [np.flatnonzero(machines == machine) for machine in np.unique(machines)]
    value = metric(truth, guess)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES if len(rows) > 1 else 0):
        drawn = np.concatenate([rows[one] for one in random.integers(len(rows), size=len(rows))])
        again = metric(truth[drawn], guess[drawn])
        if np.isfinite(again):
            found.append(again)
    low, high = None, None
    if found:
        edge = (100 - COVERED) / 2
        low, high = (float(one) for one in np.percentile(found, [edge, 100 - edge]))
    if not np.isfinite(value):
        return not_measured(
            attack,
            quantity,
            "all clips are of one kind: nothing to tell apart",
            who=who,
            words=words,
        )
    return Finding(
        attack, quantity, who, measure, float(value), low, high, chance, len(rows), words
    )


def not_measured(
    attack: str, quantity: str, reason: str, *, who: Who = "server", words: str = ""
) -> Finding:
    """Return that something was not measured, and why: which does not say that it is safe."""
    return Finding(attack, quantity, who, "", None, None, None, 0.0, 0, words, reason)


def r2(truth: Values, guess: Values) -> float:
    """Return the share of the variance of truth (B, …) over clips, that guesses have."""
    rest = float(np.square(truth - guess).sum())
    whole = float(np.square(truth - truth.mean(axis=0)).sum())
    return 1 - rest / whole if whole > 0 else float("nan")


def share_of_energy(truth: Values, guess: Values) -> float:
    """Return R² where the truth's mean is nought by its making."""
    whole = float(np.square(truth).sum())
    return 1 - float(np.square(truth - guess).sum()) / whole if whole > 0 else float("nan")


def accuracy(truth: Values, guess: Values) -> float:
    """Return how many are right."""
    return float(np.mean(truth == guess))


def auc(truth: Values, guess: Values) -> float:
    """Return the area under the ROC curve; NaN where all are alike."""
    if truth.all() or not truth.any():
        return float("nan")
    positive = np.asarray(truth, bool)
    ranks = rankdata(guess)
    count = int(positive.sum())
    above = float(ranks[positive].sum()) - count * (count + 1) / 2
    return above / (count * (len(positive) - count))


def found_at(false_positives: float) -> Metric:
    """Return a metric: how many are found where so many false ones are allowed."""

    def metric(truth: Values, guess: Values) -> float:
        if truth.all() or not truth.any():
            return float("nan")
        threshold = np.quantile(guess[~truth.astype(bool)], 1 - false_positives, method="higher")
        return float(np.mean(guess[truth.astype(bool)] > threshold))

    return metric
