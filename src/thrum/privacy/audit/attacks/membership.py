"""Was this clip among those that the classifier was trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, auc, found_at, judged, not_measured
from thrum.privacy.audit.material import MachineKey, Material
from thrum.systems.embedding_sharing import (
    FramePool,
    IDClassifier,
    preset_config,
    train_classifier,
)

TRAINED = ("members=4", "epochs=15")
"""Of the classifier that is attacked: the compact one, trained for fewer epochs than it would be."""
REFERENCE = ("members=2", "epochs=15")
PAIRS = 2
"""Of reference classifiers: one of each pair has seen a clip, the other has not."""
FALSE_POSITIVES = 0.01
WORDS = {
    "margin": "How well clips that the classifier was trained on are told from others",
    "found": "How many of them are found where one in a hundred others is taken for one",
    "reference": "How well the same are told by who has trained classifiers like it, to compare with",
    "reference found": "How many of them are found so, where one in a hundred others is taken for one",
}

Clip = tuple[MachineKey, NDArray[np.float16]]


class Membership(Attack):
    """How sure the classifier is of a clip's machine, by itself and beside classifiers of one's own.

    The classifier is trained on half of each machine's training clips, drawn at random, of the attacked
    machines and the attacker's own together: that is a round. Whoever has the classifier can do this: every
    site, under Algorithm 1. By itself: how much surer it is of a clip's machine than of the next, its margin
    (Yeom et al., 2018). Beside references: whether that margin is more like those of classifiers that were
    trained with the clip or of those without it, as normal distributions with means of the clip's own and a
    deviation of all clips (LiRA; Carlini et al., 2022). That an attacker has the clips in question to train
    references with is theirs, too.
    """

    name = "membership"
    question = "Was this clip among those that were trained on?"

    def fit(self, auxiliary: Material) -> Self:
        """Keep the attacker's own clips: they take part in the round."""
        self._own = _training(auxiliary)
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Train on half, and tell the halves apart."""
        if self.round.algorithm != 1:
            reason = "under Algorithm 2 the classifier stays at the server, which has the clips' embeddings"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        clips = [*self._own, *_training(released)]
        random = np.random.default_rng(self.seed)
        members = random.random(len(clips)) < 0.5
        known = {key for (key, _), member in zip(clips, members, strict=True) if member}
        attacked = [row for row in range(len(self._own), len(clips)) if clips[row][0] in known]
        if len(known) < 2 or not attacked:
            reason = "too few training clips to train on half of them"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        questions = [clips[row] for row in attacked]
        margins = self._margins(clips, members, questions, TRAINED, 0)
        seen, compared = [], []
        for _ in range(PAIRS):
            half = random.random(len(clips)) < 0.5
            for trained in (half, ~half):
                seen.append(trained[attacked])
                number = len(seen)
                compared.append(self._margins(clips, trained, questions, REFERENCE, number))
        ratios = likelihood_ratios(margins, np.array(compared), np.array(seen))
        guesses = {"margin": margins, "found": margins}
        machines = np.unique([f"{key}" for key, _ in questions], return_inverse=True)[1]
        return [
            judged(
                self.name,
                quantity,
                members[attacked],
                guesses.get(quantity, ratios),
                machines,
                measure="TPR at 1 % FPR" if quantity.endswith("found") else "AUC",
                metric=found_at(FALSE_POSITIVES) if quantity.endswith("found") else auc,
                chance=self.baseline()[quantity],
                words=WORDS[quantity],
                who="site",
            )
            for quantity in WORDS
        ]

    def baseline(self) -> dict[str, float]:
        """Return chance."""
        return {
            quantity: FALSE_POSITIVES if quantity.endswith("found") else 0.5 for quantity in WORDS
        }

    def _margins(
        self,
        clips: Sequence[Clip],
        members: NDArray[np.bool_],
        questions: Sequence[Clip],
        settings: Sequence[str],
        number: int,
    ) -> NDArray[np.float64]:
        """Return the margins (B,) of clips in question by a classifier that is trained on `members`."""
        trained: dict[MachineKey, list[NDArray[np.float16]]] = {}
        for (key, own), member in zip(clips, members, strict=True):
            if member:
                trained.setdefault(key, []).append(own)
        classifier = train_classifier(
            FramePool(trained),
            preset_config("compact", assignments=[*settings, *self.round.settings]),
            stack_frames=1,
            stack_hop=1,
            seed=1000 * number + self.seed,
        )
        return _margins(classifier, questions)


def likelihood_ratios(
    margins: NDArray[np.float64], compared: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how much more likely margins (B,) are with the clip among those trained on than without it.

    Parameters
    ----------
    compared, seen
        (R, B), margins by reference classifiers, and whether each was trained on the clip; of every clip at
        least one was, and one was not.
    """
    likely = []
    for chosen in (~seen, seen):
        means = (compared * chosen).sum(axis=0) / chosen.sum(axis=0)
        variance = float(((compared - means)[chosen] ** 2).mean())
        likely.append((margins - means) ** 2 / max(variance, 1e-12))
    ratios: NDArray[np.float64] = likely[0] - likely[1]
    return ratios


def _margins(classifier: IDClassifier, questions: Sequence[Clip]) -> NDArray[np.float64]:
    """Return by how much clips (B,) are nearer to their machine than to the next; 0 of one not known."""
    margins = np.zeros(len(questions))
    places = {key: place for place, key in enumerate(classifier.keys)}
    rows = np.array([row for row, (key, _) in enumerate(questions) if key in places], int)
    own = np.array([places[questions[row][0]] for row in rows], int)
    at = np.arange(len(rows))
    for network in classifier.members:
        embedded = classifier.embed(network, [questions[row][1] for row in rows])
        cosines = classifier.cosines(network, embedded)
        mine = cosines[at, own]
        cosines[at, own] = -np.inf
        margins[rows] += mine - cosines.max(axis=1)
    return margins / len(classifier.members)


def _training(material: Material) -> list[Clip]:
    return [
        (sample.key, own)
        for sample, own in zip(material.samples, material.vectors, strict=True)
        if sample.split == "train"
    ]
