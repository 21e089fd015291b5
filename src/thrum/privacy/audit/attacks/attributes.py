"""How is the machine run, what is it, and is it well?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, accuracy, auc, judged, not_measured, r2
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.probes import Classes, Ridge, clip_features, clip_means, within_whitening

CONTINUOUS = ("speed", "load")
WORDS = {
    "speed": "How much of a machine's speed is read off a clip",
    "load": "How much of a machine's load is read off a clip",
    "kind": "How often the kind of machine is named rightly",
    "fault": "How often a faulty clip is told from a normal one of the same machine",
}
NEIGHBOURS = 2


class Attributes(Attack):
    """Speed and load by regression, the kind by classes, faults by distance to the machine's normal clips.

    Faults are told by who has clips of both splits: the server under Algorithm 2.
    """

    name = "attributes"
    question = "How is the machine run, what is it, and is it well?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn what tells speed, load and kind."""
        features, machines = clip_features(auxiliary), auxiliary.machines
        self._regressions: dict[str, Ridge] = {}
        for name in CONTINUOUS:
            known = _numbers(auxiliary, name)
            if np.isfinite(known).all() and np.ptp(known) > 0:
                self._regressions[name] = Ridge().fit(features, known[:, None], machines)
        kinds = np.array([sample.key[0] for sample in auxiliary.samples])
        self._chance = 1 / max(len(np.unique(kinds)), 1)
        self._kinds = Classes().fit(features, kinds, machines)
        self._within = within_whitening(auxiliary)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Guess all four of clips of other machines."""
        features, machines = clip_features(released), released.machines
        found = []
        for name in CONTINUOUS:
            truth = _numbers(released, name)
            if name not in self._regressions or not np.isfinite(truth).all():
                reason = f"the recordings do not say their {name}"
                found.append(not_measured(self.name, name, reason, words=WORDS[name]))
                continue
            guess = self._regressions[name](features)[:, 0]
            found.append(
                judged(
                    self.name,
                    name,
                    truth,
                    guess,
                    machines,
                    measure="R²",
                    metric=r2,
                    chance=0.0,
                    words=WORDS[name],
                )
            )
        kinds = np.array([sample.key[0] for sample in released.samples])
        if len(self._kinds.classes_) < 2 or not set(kinds) <= set(self._kinds.classes_):
            reason = "kinds of machine are attacked of which the attacker has none"
            found.append(not_measured(self.name, "kind", reason, words=WORDS["kind"]))
        else:
            found.append(
                judged(
                    self.name,
                    "kind",
                    kinds,
                    self._kinds(features),
                    machines,
                    measure="accuracy",
                    metric=accuracy,
                    chance=self._chance,
                    words=WORDS["kind"],
                )
            )
        return [*found, self._faults(released)]

    def baseline(self) -> dict[str, float]:
        """Return chance."""
        return {"speed": 0.0, "load": 0.0, "kind": self._chance, "fault": 0.5}

    def _faults(self, released: Material) -> Finding:
        scores = np.full(len(released.samples), np.nan)
        means = clip_means(released) @ self._within
        machines = released.machines
        for machine in np.unique(machines):
            own = np.flatnonzero(machines == machine)
            split = np.array([released.samples[int(row)].split for row in own])
            normal, test = own[split == "train"], own[split == "test"]
            if len(normal) > NEIGHBOURS and len(test):
                apart = np.linalg.norm(means[test, None] - means[None, normal], axis=2)
                level = np.linalg.norm(means[normal, None] - means[None, normal], axis=2)
                nearest = np.sort(apart, axis=1)[:, :NEIGHBOURS].mean(axis=1)
                scores[test] = nearest / np.sort(level, axis=1)[:, 1 : 1 + NEIGHBOURS].mean()
        labels = [sample.label for sample in released.samples]
        known = np.isfinite(scores) & np.array([label is not None for label in labels])
        truth = np.array([label == "anomaly" for label in labels])
        if not known.any():
            reason = "there are no labelled test clips"
            return not_measured(self.name, "fault", reason, words=WORDS["fault"])
        return judged(
            self.name,
            "fault",
            truth[known],
            scores[known],
            machines[known],
            measure="AUC",
            metric=auc,
            chance=0.5,
            words=WORDS["fault"],
        )


def _numbers(material: Material, name: str) -> NDArray[np.float64]:
    """Return an attribute of each clip as a number; NaN where it is none."""
    found = []
    for sample in material.samples:
        text = str(sample.truth.get(name, "")).rstrip("V%")  # "28V"
        try:
            found.append(float(text))
        except ValueError:
            found.append(float("nan"))
    return np.array(found)
