"""The contract of all attacks, and the table of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from thrum.federation.messages import Algorithm, Sharing
from thrum.privacy.audit.judging import Finding
from thrum.privacy.audit.material import Material
from thrum.registry import Registry
from thrum.systems.embedding_sharing import preset_config


@dataclass(frozen=True)
class Round:
    """The round that is imagined.

    Parameters
    ----------
    sharing, algorithm
        What is shared, and where the classifier goes.
    sites
        How many take part.
    settings
        Of the ID classifier, beside those of an audit, as ``key=value``.
    """

    sharing: Sharing = "embeddings"
    algorithm: Algorithm = 1
    sites: int = 10
    settings: tuple[str, ...] = ()

    @property
    def private(self) -> bool:
        """Whether the classifier is trained by DP-SGD; then nothing else comes back to the sites."""
        return preset_config("compact", assignments=self.settings).dp_epsilon is not None


class Attack(ABC):
    """Somebody who wants to know more than was meant.

    An attacker knows the embedder and the chain, and learns on machines of their own, released by that very
    chain: what is attacked is what leaves, and the attacker has adapted to it.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    """What it is after, as a question."""

    def __init__(self, round_: Round | None = None, *, seed: int = 0) -> None:
        self.round = round_ or Round()
        self.seed = seed

    @abstractmethod
    def fit(self, auxiliary: Material) -> Self:
        """Learn from released clips of the attacker's machines, whose truth is known."""

    @abstractmethod
    def attack(self, released: Material) -> Sequence[Finding]:
        """Attack released clips of other machines; their truth serves to judge the guesses, nothing else."""

    @abstractmethod
    def baseline(self) -> Mapping[str, float]:
        """Return, for each quantity, what is reached without anything that was released."""


ATTACKS: Registry[Attack] = Registry(
    "attack",
    {
        "reconstruct": "thrum.privacy.audit.attacks.reconstruct:Reconstruct",
        "attributes": "thrum.privacy.audit.attacks.attributes:Attributes",
        "rhythm": "thrum.privacy.audit.attacks.rhythm:Rhythm",
        "speech": "thrum.privacy.audit.attacks.speech:Speech",
        "linkage": "thrum.privacy.audit.attacks.linkage:Linkage",
        "membership": "thrum.privacy.audit.attacks.membership:Membership",
        "whitening": "thrum.privacy.audit.attacks.whitening:WhitenedBy",
        "hidden": "thrum.privacy.audit.attacks.hidden:Hidden",
        "statistics": "thrum.privacy.audit.attacks.statistics:SecondMoments",
    },
)
