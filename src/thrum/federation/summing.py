"""A site's side of a sum of which the server sees no part: what it answers, and what it makes of the sum."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from thrum import storage
from thrum.errors import ProtocolError
from thrum.federation.ledger import Ledger
from thrum.federation.mask_messages import (
    MaskKeysQuestion,
    MaskSharesQuestion,
    MaskValuesQuestion,
    UnmaskQuestion,
)
from thrum.federation.masked import MaskedPart
from thrum.federation.messages import MachineKey, Message, parse, plain
from thrum.federation.releasing import Releasing
from thrum.federation.secure import covariance, read_total, values_of
from thrum.privacy.mechanisms.masking import Words
from thrum.systems.embedding_sharing import Moments
from thrum.systems.embedding_sharing.moments import moments_from


class Summing:
    """Answers the server's questions of a secret sum.

    Parameters
    ----------
    name
        The site.
    machines
        Its machines.
    releasing
        Its chains.
    ledger
        Where all that leaves is written down.
    moments
        Returns how the clips of its machines vary, as they leave.
    dimensions
        Returns D.
    """

    def __init__(
        self,
        name: str,
        machines: Sequence[MachineKey],
        releasing: Releasing,
        ledger: Ledger,
        moments: Callable[[], dict[MachineKey, Moments]],
        dimensions: Callable[[], int],
    ) -> None:
        self.name = name
        self.machines = machines
        self.releasing = releasing
        self.ledger = ledger
        self._moments = moments
        self._dimensions = dimensions
        self._part: MaskedPart | None = None
        self._summed: dict[MachineKey, Moments] = {}

    def keys(self) -> Message:
        """Make new keys: a sum begins."""
        parse(MaskKeysQuestion, {}, what="the question for keys")
        if not self.releasing.statistics_chain.secure:
            raise ProtocolError(
                f"the server asked for masked statistics; site {self.name!r} says another --release"
            )
        self._part = MaskedPart(self._values)
        message = plain(self._part.keys())
        self._record("public keys for a secret sum", message)
        return message

    def shares(self, peers: Sequence[Message], place: int, needed: int) -> Message:
        """Hand out parts of this site's secrets, each sealed for another."""
        given = {"peers": peers, "place": place, "needed": needed}
        asked = parse(MaskSharesQuestion, given, what="the question for shares")
        message = plain(self._begun().shares(asked.peers, asked.place, asked.needed))
        self._record("parts of its secrets, sealed for the other sites", message)
        return message

    def values(self, boxes: Sequence[str]) -> Message:
        """Say how the clips of all machines together vary, masked."""
        asked = parse(MaskValuesQuestion, {"boxes": boxes}, what="the question for masked values")
        message = plain(self._begun().masked(asked.boxes))
        budgets = [self.releasing.budget.told("/".join(key)) for key in self._summed]
        self.ledger.record(
            "masked statistics",
            f"how the clips of {len(self._summed)} machines vary; only the sum of all sites can be read",
            clips=sum(own.count for own in self._summed.values()),
            n_bytes=message["values"].nbytes,
            sha256=storage.sha256_bytes(message["values"].tobytes()),
            chain=self.releasing.statistics_chain.told,
            budget="; ".join(dict.fromkeys(filter(None, budgets))),
        )
        return message

    def unmask(self, present: Sequence[int]) -> Message:
        """Hand over this site's parts of the others' secrets: never two of one site."""
        asked = parse(UnmaskQuestion, {"present": present}, what="the question for unmasking")
        message = plain(self._begun().unmask(asked.present))
        self._record("its parts of the others' secrets", message)
        return message

    def pools(self, total: object) -> tuple[dict[MachineKey, Moments], int]:
        """Return, for each machine, the mean of all others, and how many machines the sum is of."""
        self._begun()
        came = read_total(total, self._dimensions())
        pools = {}
        for key in self.machines:
            own = self._summed.get(key)
            others = came.machines - (own is not None)
            if others:
                matrix = came.matrix - covariance(own) if own is not None else came.matrix
                count = came.clips - (own.count if own is not None else 0)
                pools[key] = moments_from(max(count, 1), matrix / others)
        return pools, came.machines

    def _values(self) -> Words:
        self._summed = self._moments()
        return values_of(self._summed, self._dimensions())

    def _begun(self) -> MaskedPart:
        if self._part is None:
            raise ProtocolError("the server goes on with a sum that it has not begun: run again")
        return self._part

    def _record(self, detail: str, message: Message) -> None:
        content = json.dumps(message).encode()
        self.ledger.record(
            "masks", detail, clips=0, n_bytes=len(content), sha256=storage.sha256_bytes(content)
        )
