"""Does somebody speak, who, and what?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from thrum.privacy.audit.attack import Attack
from thrum.privacy.audit.judging import Finding, accuracy, auc, judged, not_measured
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.probes import Classes, Ridge, clip_features

WORDS = {
    "presence": "How well clips in which somebody speaks are told from others",
    "keyword": "How often the word that was said is named",
    "speaker": "How well women's voices are told from men's",
}


class Speech(Attack):
    """Linear readings of whole clips; the voices of the attacker's clips are not those of the attacked ones.

    What each clip knows stands in its truth: ``word`` (empty where nobody speaks), ``voice`` and
    ``woman``.
    """

    name = "speech"
    question = "Does somebody speak, who, and what?"

    def fit(self, auxiliary: Material) -> Self:
        """Learn on clips with voices mixed in."""
        self._missing = _missing(auxiliary)
        self._words = 0
        if self._missing:
            return self
        own = auxiliary.aside["speech"]
        features, machines = clip_features(own), own.machines
        said = _truth(own, "word")
        spoken = said != ""
        self._presence = Ridge().fit(features, spoken[:, None].astype(float), machines)
        self._keyword = Classes().fit(features[spoken], said[spoken], machines[spoken])
        self._words = len(self._keyword.classes_)
        women = _truth(own, "woman") == "True"
        self._speaker = Ridge().fit(
            features[spoken], women[spoken][:, None].astype(float), machines[spoken]
        )
        return self

    def attack(self, released: Material) -> Sequence[Finding]:
        """Listen to clips of other machines and other voices."""
        missing = self._missing or _missing(released)
        if missing:
            return [not_measured(self.name, q, missing, words=WORDS[q]) for q in WORDS]
        own = released.aside["speech"]
        features, machines = clip_features(own), own.machines
        said = _truth(own, "word")
        spoken = said != ""
        women = _truth(own, "woman") == "True"
        guesses: dict[str, tuple[Any, Any, Any]] = {
            "presence": (spoken, self._presence(features)[:, 0], machines),
            "keyword": (said[spoken], self._keyword(features[spoken]), machines[spoken]),
            "speaker": (women[spoken], self._speaker(features[spoken])[:, 0], machines[spoken]),
        }
        return [
            judged(
                self.name,
                quantity,
                *guesses[quantity],
                measure="accuracy" if quantity == "keyword" else "AUC",
                metric=accuracy if quantity == "keyword" else auc,
                chance=self.baseline()[quantity],
                words=WORDS[quantity],
            )
            for quantity in WORDS
        ]

    def baseline(self) -> dict[str, float]:
        """Return chance; of a word, one over how many there are."""
        return {"presence": 0.5, "keyword": 1 / max(self._words, 1), "speaker": 0.5}


def _missing(material: Material) -> str:
    own = material.aside.get("speech")
    if own is None or not own.samples:
        return (
            "no voices to mix in: install espeak-ng, or give recordings of words with --speech DIR"
        )
    return ""


def _truth(material: Material, name: str) -> Any:
    return np.array([str(sample.truth.get(name, "")) for sample in material.samples])
