"""Was this clip among those that the classifier was trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, auc, found_at, judged, not_measured
from thrum.privacy.audit.material import Material
from thrum.systems.embedding_sharing import FramePool, preset_config, train_classifier

TRAINED = ("members=4", "epochs=15")
"""Of the classifier that is attacked: the compact one, trained for fewer epochs than it would be."""
FALSE_POSITIVES = 0.01
WORDS = {
    "margin": "How well clips that the classifier was trained on are told from others",
    "found": "How many of them are found where one in a hundred others is taken for one",
}


class Membership(Attack):
    """How much surer the classifier is of a clip's machine than of the next (Yeom et al., 2018).

    The classifier is trained on half of each machine's training clips, drawn at random, of the attacked
    machines and the attacker's own together: that is a round. Whoever has the classifier can do this: every
    site, under Algorithm 1.
    """

    name = "membership"
    question = "Was this clip among those that were trained on?"

    def fit(self, auxiliary: Material) -> Self:
        """Keep the attacker's own clips: they take part in the round."""
        self._auxiliary = auxiliary
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Train on half, and tell the halves apart."""
        if self.round.algorithm != 1:
            reason = "under Algorithm 2 the classifier stays at the server, which has the clips' embeddings"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        random = np.random.default_rng(self.seed)
        clips: dict[tuple[str, str], list[np.ndarray]] = {}
        rows = []
        for material, attacked in ((self._auxiliary, False), (released, True)):
            for row, sample in enumerate(material.samples):
                if sample.split == "train":
                    member = bool(random.random() < 0.5)
                    if member:
                        clips.setdefault(sample.key, []).append(material.vectors[row])
                    if attacked:
                        rows.append((row, member))
        if len(clips) < 2 or len({sample.key for sample in released.samples} & clips.keys()) < 1:
            reason = "too few training clips to train on half of them"
            return [not_measured(self.name, q, reason, who="site", words=WORDS[q]) for q in WORDS]
        classifier = train_classifier(
            FramePool(clips),
            preset_config("compact", assignments=TRAINED),
            stack_frames=1,
            stack_hop=1,
            seed=self.seed,
        )
        kept = [(row, member) for row, member in rows if released.samples[row].key in clips]
        asked = [released.vectors[row] for row, _ in kept]
        own = np.array([classifier.keys.index(released.samples[row].key) for row, _ in kept])
        truth = np.array([member for _, member in kept])
        margins = np.zeros(len(asked))
        for member_network in classifier.members:
            cosines = classifier.cosines(member_network, classifier.embed(member_network, asked))
            mine = cosines[np.arange(len(own)), own]
            cosines[np.arange(len(own)), own] = -np.inf
            margins += mine - cosines.max(axis=1)
        machines = released.machines[[row for row, _ in kept]]
        return [
            judged(
                self.name,
                quantity,
                truth,
                margins,
                machines,
                measure="AUC" if quantity == "margin" else "TPR at 1 % FPR",
                metric=auc if quantity == "margin" else found_at(FALSE_POSITIVES),
                chance=self.baseline()[quantity],
                words=WORDS[quantity],
                who="site",
            )
            for quantity in WORDS
        ]

    def baseline(self) -> dict[str, float]:
        """Return chance."""
        return {"margin": 0.5, "found": FALSE_POSITIVES}
