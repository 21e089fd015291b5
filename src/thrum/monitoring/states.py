"""The operating states of a machine: idling, working, off; found in its normal clips, or told.

A state is a place in the spectrum in the large, the levels of sixteen groups of mel bands. States are far
apart there, by ten decibels and more on the mean over the groups; a fault changes some of them, or by less.
Both are facts of machines, not of mathematics: how often a fault is taken for a state never heard is measured
in docs/monitoring.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from thrum.monitoring.heard import Heard

APART_DB = 10.0
"""States are at least so far apart, and a sound so far from all of them is of none."""
OFF_DB = 15.0
"""A machine that is off is so much quieter than the quietest normal clips."""
FEWEST_CLIPS = 10
"""Fewer do not make a state that is found: what begins and ends work stays with its neighbour."""
REACH_QUANTILE, REACH_FACTOR = 0.95, 2.0
GROUPS = 16
CLUSTERED = 2000  # of more clips, so many stand for all

Bands = NDArray[np.floating]

OFF: Literal["off"] = "off"
UNKNOWN: Literal["unknown state"] = "unknown state"
SILENT: Literal["no sound"] = "no sound"
"""What a machine does where it is in none of the known states."""


@dataclass(frozen=True)
class States:
    """The states that a monitor knows.

    Parameters
    ----------
    centres
        By name, the levels (16,) in the middle of each state.
    reaches
        By name, how far from it a sound may be in dB.
    quietest_db
        The level of the quietest normal clips; None of features, for which nothing is ever unknown.
    """

    centres: Mapping[str, NDArray[np.float64]]
    reaches: Mapping[str, float]
    quietest_db: float | None

    @classmethod
    def of(cls, bands: Bands, names: Sequence[str], levels_db: NDArray[np.float64] | None) -> Self:
        """Learn the states of normal clips from their `bands` (N, F), state names and levels."""
        grouped, own = _grouped(bands), np.array(names)
        centres = {name: np.median(grouped[own == name], axis=0) for name in sorted(set(names))}
        reaches = {
            name: max(
                APART_DB,
                REACH_FACTOR
                * float(np.quantile(_distances(grouped[own == name], centre), REACH_QUANTILE)),
            )
            for name, centre in centres.items()
        }
        quietest = None if levels_db is None else float(np.quantile(levels_db, 0.05))
        return cls(centres, reaches, quietest)

    def nearest(self, heard: Heard) -> str:
        """Return the known state that a clip is nearest to."""
        if len(self.centres) == 1:
            return next(iter(self.centres))
        grouped = _grouped(heard.bands[None])[0]
        return min(self.centres, key=lambda name: float(_distances(grouped, self.centres[name])))

    def recognised(self, heard: Heard) -> str:
        """Return the state that a clip is in: a known one, `OFF`, `UNKNOWN` or `SILENT`."""
        nearest = self.nearest(heard)
        if self.quietest_db is None or heard.level_db is None:
            return nearest
        if heard.is_silent:
            return SILENT
        distance = _distances(_grouped(heard.bands[None])[0], self.centres[nearest])
        if distance <= self.reaches[nearest]:
            return nearest
        return OFF if heard.level_db < self.quietest_db - OFF_DB else UNKNOWN


def found_states(bands: Bands) -> list[str]:
    """Return the name of the state of each normal clip, from their `bands` (N, F): ``normal`` where one.

    Clips are joined as long as the mean distance between groups is below `APART_DB` (average linkage).
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    grouped = _grouped(bands)
    if len(grouped) < 2 * FEWEST_CLIPS:
        return ["normal"] * len(grouped)
    chosen = np.random.default_rng(0).permutation(len(grouped))[:CLUSTERED]
    scaled = grouped[chosen] / np.sqrt(
        grouped.shape[1]
    )  # so that distances are those of `_distances`
    labels = fcluster(linkage(scaled, method="average"), APART_DB, criterion="distance")
    counts = {label: int((labels == label).sum()) for label in np.unique(labels)}
    fewest = FEWEST_CLIPS * len(chosen) / len(grouped)
    large = sorted(
        (label for label in counts if counts[label] >= fewest), key=lambda own: -counts[own]
    )
    if len(large) < 2:
        return ["normal"] * len(grouped)
    centres = np.stack([np.median(grouped[chosen[labels == label]], axis=0) for label in large])
    nearest = _distances(grouped[:, None], centres[None]).argmin(axis=1)
    return [f"state {number + 1}" for number in nearest]


def _grouped(bands: Bands) -> NDArray[np.float64]:
    """Return bands (N, F) as means over at most `GROUPS` groups (N, G) of neighbours."""
    parts = np.array_split(np.arange(bands.shape[1]), min(GROUPS, bands.shape[1]))
    return np.stack([np.asarray(bands, np.float64)[:, part].mean(axis=1) for part in parts], axis=1)


def grouped_matrix(bands: int) -> NDArray[np.float64]:
    """Return the matrix (F, G) by which bands become the groups of `States`."""
    return _grouped(np.eye(bands)).copy()


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root of the mean squared difference over groups, in dB."""
    return np.asarray(np.sqrt(np.mean((one - other) ** 2, axis=-1)))
