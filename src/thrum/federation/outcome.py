"""What a round of collaboration came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thrum.federation.members import Member
from thrum.federation.messages import MachineKey
from thrum.systems.embedding_sharing import IDClassifier


@dataclass(frozen=True)
class Outcome:
    """What a round of collaboration came to.

    Parameters
    ----------
    members
        The sites whose embeddings were learnt from.
    classifiers
        For each group of machines that learnt together, its classifier. The group is ``all``, or a
        machine type.
    alone
        Machine IDs that had no others to learn from.
    remarks
        What was found damaged and made again, and which machines are odd, in words.
    refused
        Sites that refused what they were sent.
    lost
        Sites that were left out, and why.
    """

    members: Sequence[Member]
    classifiers: Mapping[str, IDClassifier]
    alone: Sequence[MachineKey]
    remarks: Sequence[str] = ()
    refused: Sequence[str] = ()
    lost: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of what went wrong in a round that was finished all the same."""
        return [
            *self.remarks,
            *(f"site {name!r} was left out: {why}" for name, why in self.lost.items()),
            *(
                f"site {name!r} refused what it was sent; why is shown there"
                for name in self.refused
            ),
        ]
