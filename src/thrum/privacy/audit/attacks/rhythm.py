"""When is the machine on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, auc, judged, not_measured
from thrum.privacy.audit.material import CELL_SECONDS, Material
from thrum.privacy.audit.probes import Ridge, between

WORDS = (
    "How well the quarter seconds in which a machine is on are told from those in which it is off"
)
AROUND_SECONDS = (-0.5, 0.0, 0.5)


class Rhythm(Attack):
    """A linear reading of what was released around each quarter second."""

    name = "rhythm"
    question = "When is the machine on?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn on clips of machines that go on and off."""
        own = auxiliary.aside.get("rhythm", auxiliary)
        self._probe = None
        if _known(own):
            rows, truth, machines = _cells(own)
            self._probe = Ridge().fit(rows, truth[:, None].astype(float), machines)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Tell on from off at other machines."""
        own = released.aside.get("rhythm", released)
        if self._probe is None or not _known(own):
            reason = "nobody knows when these machines were on: simulated ones do"
            return [not_measured(self.name, "on", reason, words=WORDS)]
        rows, truth, machines = _cells(own)
        guess = self._probe(rows)[:, 0]
        return [
            judged(
                self.name,
                "on",
                truth,
                guess,
                machines,
                measure="AUC",
                metric=auc,
                chance=0.5,
                words=WORDS,
            )
        ]

    def baseline(self) -> dict[str, float]:
        """Return chance."""
        return {"on": 0.5}


def _known(material: Material) -> bool:
    samples = material.samples
    return bool(samples) and all(sample.active is not None for sample in samples)


def _cells(
    material: Material,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return what was released around each cell (C, P), whether the machine was on, and which it was."""
    rows, truth, machines = [], [], []
    for number, sample in enumerate(material.samples):
        active = sample.active
        assert active is not None
        vectors = material.vectors[number].astype(np.float64)
        vectors = vectors - vectors.mean(axis=0)  # what changes within a clip tells, not what it is
        centres = (np.arange(len(active)) + 0.5) * CELL_SECONDS
        rows.append(
            np.concatenate(
                [between(material.at[number], vectors, centres + s) for s in AROUND_SECONDS], axis=1
            )
        )
        truth.append(active)
        machines.append(np.full(len(active), material.machines[number]))
    return np.concatenate(rows), np.concatenate(truth), np.concatenate(machines)
