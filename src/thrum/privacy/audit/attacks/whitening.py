"""What does the classifier's whitening say of one other site?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, judged, not_measured
from thrum.privacy.audit.material import MachineKey, Material
from thrum.systems.embedding_sharing.whitening import Whitening

WORDS = {
    "one round": "How much of another machine's mean is worked out from the mean that a classifier carries",
    "two rounds": "The same from two classifiers, where that machine joined or left between the rounds",
}


class WhitenedBy(Attack):
    """Subtraction: the mean of all, without one's own.

    What is whitened by holds the mean over all training embeddings. A site knows its own; of a round of
    `sites` machines it works out the mean of the others, and guesses the victim's by it. From two rounds
    that differ by the victim it works out the victim's alone, however many take part.
    """

    name = "whitening"
    question = "What does the classifier's whitening say of one other site?"

    def fit(self, auxiliary: Material) -> Self:
        """Take a public mean to compare with: that of the attacker's machines."""
        self._public = np.mean(list(_means(auxiliary).values()), axis=0)
        self._auxiliary = auxiliary
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Work out the mean of each machine attacked."""
        if self.round.algorithm != 1:
            reason = "under Algorithm 2 the classifier, and what it whitens by, stay at the server"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        if self.round.private:
            reason = "under DP-SGD nothing is standardised: the classifier carries nobody's mean"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        others, victims = _frames(self._auxiliary), _frames(released)
        pool = list({**others, **victims})
        random = np.random.default_rng(self.seed)
        truth, once, twice = [], [], []
        for victim, own in victims.items():
            rest = [key for key in pool if key != victim]
            drawn = random.permutation(len(rest))[: min(self.round.sites - 1, len(rest))]
            sites = [rest[int(place)] for place in drawn]
            frames = {key: {**others, **victims}[key] for key in sites}
            mine = frames[sites[0]]
            whole, without = _mean([*frames.values(), own]), _mean(list(frames.values()))
            count = len(own) + sum(map(len, frames.values()))
            all_but_mine = (count * whole - len(mine) * mine.mean(axis=0, dtype=np.float64)) / (
                count - len(mine)
            )
            alone = (count * whole - (count - len(own)) * without) / len(own)
            truth.append(own.mean(axis=0, dtype=np.float64))
            once.append(all_but_mine)
            twice.append(alone)
        machines = np.arange(len(truth))
        return [
            judged(
                self.name,
                quantity,
                np.stack(truth),
                np.stack(guess),
                machines,
                measure="R²",
                metric=self._explained,
                chance=0.0,
                words=WORDS[quantity],
                who="site",
            )
            for quantity, guess in (("one round", once), ("two rounds", twice))
        ]

    def baseline(self) -> dict[str, float]:
        """Return what the public mean explains: nothing."""
        return dict.fromkeys(WORDS, 0.0)

    def _explained(self, truth: NDArray[Any], guess: NDArray[Any]) -> float:
        whole = float(np.square(truth - self._public).sum())
        return 1 - float(np.square(truth - guess).sum()) / whole if whole > 0 else float("nan")


def _frames(material: Material) -> dict[MachineKey, NDArray[np.float32]]:
    """Return the released training frames (N, D) of each machine."""
    found: dict[MachineKey, list[NDArray[Any]]] = {}
    for sample, own in zip(material.samples, material.vectors, strict=True):
        if sample.split == "train":
            found.setdefault(sample.key, []).append(own)
    return {key: np.concatenate(own).astype(np.float32) for key, own in sorted(found.items())}


def _means(material: Material) -> dict[MachineKey, NDArray[np.float64]]:
    return {key: own.mean(axis=0, dtype=np.float64) for key, own in _frames(material).items()}


def _mean(classes: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the mean in a classifier that was trained on these, in the precision in which it travels."""
    whitening = Whitening(classes[0].shape[1]).fit_within(classes)
    return whitening.mean.numpy().astype(np.float64)
