"""What does it give away how a machine's clips vary?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.federation.secure import covariance
from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, accuracy, auc, judged, not_measured
from thrum.privacy.audit.material import MachineKey, Material
from thrum.privacy.audit.probes import Classes, clip_means
from thrum.systems.embedding_sharing import moments_of

WORDS = {
    "member": "How well the clips that a machine's statistics are of are told from its other clips",
    "member of the sum": "The same by who sees only the sum over all sites",
    "kind": "How often the kind of machine is named from its statistics",
}
FLOOR = 1e-4


class SecondMoments(Attack):
    """A clip is a member where the matrix has room for it: by its distance from the mean, so measured.

    A matrix of few clips has no room at all beside the directions in which these differ.
    """

    name = "statistics"
    question = "What does it give away how a machine's clips vary?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn what matrices of each kind look like."""
        moments = _moments(auxiliary)
        self._kinds: Classes | None = None
        self._others = [covariance(own) for own in moments.values()]
        kinds = np.array([key[0] for key in moments])
        self._chance = 1 / max(len(np.unique(kinds)), 1)
        if len(np.unique(kinds)) > 1:
            rows = np.stack([_features(one) for one in self._others])
            self._kinds = Classes().fit(rows, kinds, np.arange(len(rows)))
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Tell members, from each machine's matrix and from a sum; and the kinds."""
        moments = {key: covariance(own) for key, own in _moments(released).items()}
        if not moments:
            reason = "no machine has as many clips as its statistics must be of"
            return [not_measured(self.name, q, reason, words=WORDS[q]) for q in WORDS]
        others = sum(self._others[: max(self.round.sites - 1, 0)])
        summed = {key: one + others for key, one in moments.items()}
        found = []
        if released.secure:
            reason = "the server sees no machine's statistics, only their sum"
            found.append(not_measured(self.name, "member", reason, words=WORDS["member"]))
        else:
            found.append(self._members(released, moments, "member"))
        found.append(self._members(released, summed, "member of the sum"))
        return [*found, self._kind(released, moments)]

    def baseline(self) -> dict[str, float]:
        """Return chance."""
        return {"member": 0.5, "member of the sum": 0.5, "kind": self._chance}

    def _members(
        self, released: Material, matrices: dict[MachineKey, NDArray[np.float64]], quantity: str
    ) -> Finding:
        # The clips in question are the attacker's own copies, which no mechanism has touched.
        means = np.stack([one.frames.mean(axis=0, dtype=np.float64) for one in released.samples])
        machines = released.machines
        normal = np.array([sample.label != "anomaly" for sample in released.samples])
        scores, rows = [], []
        for number, key in enumerate(released.keys):
            if key not in matrices:
                continue
            own = np.flatnonzero((machines == number) & normal)
            matrix = matrices[key] / np.trace(matrices[key])
            floor = FLOOR / len(matrix)
            inverse = np.linalg.inv(matrix + floor * np.eye(len(matrix)))
            deviations = means[own] - means[own].mean(axis=0)
            lengths = np.maximum(np.square(deviations).sum(axis=1), 1e-12)
            scores.append(-np.einsum("nd,de,ne->n", deviations, inverse, deviations) / lengths)
            rows.append(own)
        every = np.concatenate(rows)
        truth = np.array([released.samples[int(row)].split == "train" for row in every])
        if truth.all():
            reason = "there are no normal clips beside those that the statistics are of"
            return not_measured(self.name, quantity, reason, words=WORDS[quantity])
        return judged(
            self.name,
            quantity,
            truth,
            np.concatenate(scores),
            machines[every],
            measure="AUC",
            metric=auc,
            chance=0.5,
            words=WORDS[quantity],
            who="server" if quantity == "member" else "site",
        )

    def _kind(self, released: Material, moments: dict[MachineKey, NDArray[np.float64]]) -> Finding:
        kinds = np.array([key[0] for key in moments])
        known = self._kinds is not None and set(kinds) <= set(self._kinds.classes_)
        if self._kinds is None or not known or released.secure:
            reason = (
                "the server sees no machine's statistics, only their sum"
                if released.secure
                else "the attacker has no machines of these kinds"
            )
            return not_measured(self.name, "kind", reason, words=WORDS["kind"])
        guess = self._kinds(np.stack([_features(one) for one in moments.values()]))
        return judged(
            self.name,
            "kind",
            kinds,
            guess,
            np.arange(len(kinds)),
            measure="accuracy",
            metric=accuracy,
            chance=self._chance,
            words=WORDS["kind"],
        )


def _features(matrix: NDArray[np.float64]) -> NDArray[Any]:
    """Return what a matrix (D, D) is told by: the variance in each dimension, and along its leading axes."""
    spectrum = np.linalg.eigvalsh(matrix)[::-1][:16]
    return np.log(
        np.concatenate([np.diagonal(matrix), np.pad(spectrum, (0, 16 - len(spectrum)))]) + 1e-9
    )


def _moments(material: Material) -> Any:
    """Return how machines vary, as it was released; of released embeddings, as the server works it out."""
    if material.moments:
        return material.moments
    means, found = clip_means(material), {}
    for number, key in enumerate(material.keys):
        train = np.array([sample.split == "train" for sample in material.samples])
        own = means[(material.machines == number) & train]
        if len(own) > 1 and np.ptp(own, axis=0).any():
            found[key] = moments_of(own)
    return found
