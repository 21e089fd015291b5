"""Many scores of a clip made one: over attributes, over inlier models, over variants, each standardised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.fusion import Fusion
from thrum.errors import DataError
from thrum.evaluation import metrics
from thrum.systems.outlier_flow.variants import ENSEMBLES, VARIANTS
from thrum.types import Clip

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """The same score of a machine ID's training clips (N,) and of the clips to be scored (B,)."""

    training: Scores
    new: Scores


Members = dict[str, Pair]
"""By inlier model, ``flow`` or ``machine``."""


def fused(pairs: Mapping[str, Pair]) -> Pair:
    """Return the mean of scores, each by the mean and deviation that it has on the training clips."""
    training = {name: pair.training for name, pair in pairs.items()}
    fusion = Fusion().fit(training)
    return Pair(
        fusion.combine(training), fusion.combine({name: pair.new for name, pair in pairs.items()})
    )


def over_conditions(networks: Sequence[Members]) -> Members:
    """Return each inlier model's score over the networks of several attributes (section 4.1)."""
    return {
        member: fused({str(number): own[member] for number, own in enumerate(networks)})
        for member in networks[0]
    }


def in_families(variant: str, member: str) -> bool:
    """Whether a variant's score is made of this inlier model, or of the flow (table 1)."""
    return member.partition("-")[0] in VARIANTS[variant].families


def columns_of(
    variants: Mapping[str, Members], chosen: Callable[[str, str], bool]
) -> dict[str, Pair]:
    """Return every score offered of one machine ID: of variants, their parts, and ensembles.

    Parameters
    ----------
    variants
        The members of each variant.
    chosen
        Whether a member of a variant enters the variant's score.
    """
    columns: dict[str, Pair] = {}
    for variant, members in variants.items():
        entering = {m: pair for m, pair in members.items() if chosen(variant, m)}
        columns[variant] = fused(entering)
        for family in sorted({member.partition("-")[0] for member in members}):
            own = {m: pair for m, pair in members.items() if m.partition("-")[0] == family}
            if own.keys() != entering.keys():
                columns[f"{variant}/{family}"] = fused(own)
    for ensemble, parts in ENSEMBLES.items():
        if set(parts) <= variants.keys():
            columns[ensemble] = fused({part: columns[part] for part in parts})
    return columns


def best_by_test_labels(
    machines: Mapping[tuple[str, str], Mapping[str, Members]],
    clips: Mapping[tuple[str, str], Sequence[Clip]],
    *,
    count: int,
) -> dict[str, set[str]]:
    """Return the `count` members of each variant that tell the labelled test clips apart best.

    By the harmonic mean of the AUC of each domain and the partial AUC, over all machine IDs: the
    challenge's official score. The paper chooses so on its development set (section 4.1).

    Raises
    ------
    DataError
        Where no machine ID has normal and anomalous clips.
    """
    labelled = {
        key: own
        for key, own in clips.items()
        if {clip.label for clip in own} >= {"normal", "anomaly"}
    }
    if not labelled:
        raise DataError(
            "choice 'best_by_test_labels' wants clips with labels, normal and anomalous ones, got none: "
            "choose 'all', which looks at no label"
        )
    best: dict[str, set[str]] = {}
    for variant in next(iter(machines.values())):
        merits = {}
        shared = set.intersection(*({*machines[key][variant]} for key in labelled))
        for member in sorted(shared):
            if in_families(variant, member):
                merits[member] = metrics.harmonic_mean(
                    value
                    for key, own in labelled.items()
                    for value in _official(own, machines[key][variant][member].new)
                )
        best[variant] = set(sorted(merits, key=lambda m: -merits[m])[:count])
    return best


def _official(clips: Sequence[Clip], scores: Scores) -> list[float]:
    """Return the AUC of each domain's normal clips against all anomalies, and the partial AUC."""
    anomalous = np.array([clip.label == "anomaly" for clip in clips])
    known = np.array([clip.label is not None for clip in clips])
    values = [metrics.partial_auc(anomalous[known], scores[known])]
    for domain in sorted({str(c.domain) for c in clips if c.label == "normal"}):
        own = known & (anomalous | np.array([str(clip.domain) == domain for clip in clips]))
        values.append(metrics.auc(anomalous[own], scores[own]))
    return values
