"""Is this the same machine as that one, in the same hall?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Self

import numpy as np

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, accuracy, auc, judged, not_measured
from thrum.privacy.audit.material import Material, Sample
from thrum.privacy.audit.probes import clip_means, within_whitening

AT_ONCE = 4
"""Clips that are compared together: a site sends more than one."""
WORDS = {
    "machine": "How often a machine is found again among the others, at another speed, load and place",
    "hall": "How well pairs of machines that stand in one hall are told from other pairs",
}


class Linkage(Attack):
    """Means of a few clips, compared after what varies within machines is taken out."""

    name = "linkage"
    question = "Is this the same machine, or the same hall?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn what varies within machines."""
        self._within = within_whitening(auxiliary)
        self._machines = len(auxiliary.keys)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Find each machine again by clips of other conditions, and the halls."""
        means = clip_means(released) @ self._within
        machines = released.machines
        self._machines = len(released.keys)
        usual = np.array([_usual(sample, released) for sample in released.samples])
        normal = np.array([sample.label != "anomaly" for sample in released.samples])
        known, asked, truth = [], [], []
        for machine in np.unique(machines):
            own = (machines == machine) & normal
            gallery, probes = np.flatnonzero(own & usual), np.flatnonzero(own & ~usual)
            if len(gallery) and len(probes):
                known.append((machine, means[gallery].mean(axis=0)))
                for start in range(0, len(probes) - len(probes) % AT_ONCE or len(probes), AT_ONCE):
                    asked.append(means[probes[start : start + AT_ONCE]].mean(axis=0))
                    truth.append(machine)
        hall = self._halls(released)
        if len(known) < 2:
            reason = "fewer than two machines have clips of two conditions"
            return [not_measured(self.name, "machine", reason, words=WORDS["machine"]), hall]
        gallery_means = np.stack([mean for _, mean in known])
        names = np.array([machine for machine, _ in known])
        apart = np.linalg.norm(np.stack(asked)[:, None] - gallery_means, axis=2)
        found = judged(
            self.name,
            "machine",
            np.array(truth),
            names[apart.argmin(axis=1)],
            np.array(truth),
            measure="accuracy",
            metric=accuracy,
            chance=1 / len(known),
            words=WORDS["machine"],
        )
        return [found, hall]

    def baseline(self) -> dict[str, float]:
        """Return chance: one machine among those that are attacked."""
        return {"machine": 1 / max(self._machines, 1), "hall": 0.5}

    def _halls(self, released: Material) -> Finding:
        own = released.aside.get("halls")
        if own is None:
            reason = "nobody knows which machines stand in one hall"
            return not_measured(self.name, "hall", reason, words=WORDS["hall"])
        means, machines = clip_means(own) @ self._within, own.machines
        halls = [str(sample.truth["hall"]) for sample in own.samples]
        places = np.unique(machines)
        centres = [means[machines == place].mean(axis=0) for place in places]
        of = [halls[int(np.flatnonzero(machines == place)[0])] for place in places]
        pairs = list(combinations(range(len(places)), 2))
        truth = np.array([of[a] == of[b] for a, b in pairs])
        guess = np.array([-float(np.linalg.norm(centres[a] - centres[b])) for a, b in pairs])
        return judged(
            self.name,
            "hall",
            truth,
            guess,
            np.array([a for a, _ in pairs]),
            measure="AUC",
            metric=auc,
            chance=0.5,
            words=WORDS["hall"],
        )


def _usual(sample: Sample, released: Material) -> bool:
    """Whether a clip is of the slower half, where speeds are known; else of the training clips."""
    speeds = [one.truth.get("speed") for one in released.samples]
    if all(isinstance(speed, float) for speed in speeds):
        return bool(float(sample.truth["speed"]) <= float(np.median(speeds)))  # type: ignore[arg-type]
    return sample.split == "train"
