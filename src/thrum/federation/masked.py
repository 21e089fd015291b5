"""One site's part in a sum of which the server sees no part (Bonawitz et al., 2017, figure 4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from thrum.errors import ProtocolError
from thrum.federation.mask_messages import Masked, MaskKeys, MaskShares, Unmasking
from thrum.privacy.mechanisms.masking import KeyPair, Words, mask, opened, sealed
from thrum.privacy.mechanisms.shares import SHARE_DIGITS, split

FEWEST_SITES = 3
"""Of a sum of two, each knows what the other's is."""
_SHARES = re.compile(rf"[0-9a-f]{{{2 * SHARE_DIGITS}}}")


class MaskedPart:
    """What a site keeps from one question of a secret sum to the next; made anew for each sum.

    Parameters
    ----------
    values
        Returns what the site adds, fixed-point, when it is first asked for.
    """

    def __init__(self, values: Callable[[], Words]) -> None:
        self._values = values
        self._sealing, self._masking, self._own = KeyPair(), KeyPair(), KeyPair()
        self._peers: Sequence[MaskKeys] = ()
        self._place = -1
        self._boxes: list[str] = []
        self._taken: list[int] = []
        self._kept: dict[int, tuple[str, str]] = {}
        self._present: list[int] | None = None
        self._masked: Masked | None = None

    def keys(self) -> MaskKeys:
        """Return the public keys, for sealing and for masks."""
        return MaskKeys(self._sealing.public.hex(), self._masking.public.hex())

    def shares(self, peers: Sequence[MaskKeys], place: int, needed: int) -> MaskShares:
        """Return, for each site, its sealed parts of this site's secrets; nothing for itself.

        Raises
        ------
        ProtocolError
            Where there are too few sites, too few are needed, or the keys are not this site's.
        """
        if len(peers) < FEWEST_SITES or not len(peers) // 2 < needed <= len(peers):
            raise ProtocolError(
                f"{len(peers)} sites, {needed} needed, would sum: wanted {FEWEST_SITES} or more, and more "
                f"than half of them"
            )
        if not 0 <= place < len(peers) or peers[place] != self.keys():
            raise ProtocolError("the server names keys as this site's that are not")
        if len({(own.sealing, own.masking) for own in peers}) < len(peers):
            raise ProtocolError("the server names the keys of one site twice")
        if self._boxes:
            if list(peers) != list(self._peers) or place != self._place:
                raise ProtocolError(
                    "the server asks again with other keys: one sum, one set of sites"
                )
            return MaskShares(self._boxes)
        own = split(self._own.private, parts=len(peers), needed=needed)
        masking = split(self._masking.private, parts=len(peers), needed=needed)
        boxes = []
        for number, peer in enumerate(peers):
            content = f"{own[number + 1]:0{SHARE_DIGITS}x}{masking[number + 1]:0{SHARE_DIGITS}x}"
            if number == place:
                self._kept[place] = content[:SHARE_DIGITS], content[SHARE_DIGITS:]
                boxes.append("")
                continue
            key = self._sealing.agreed(bytes.fromhex(peer.sealing), b"sealing")
            about = f"{place} {number}".encode()
            boxes.append(sealed(key, content.encode(), about=about).hex())
        self._peers, self._place, self._boxes = list(peers), place, boxes
        return MaskShares(boxes)

    def masked(self, boxes: Sequence[str]) -> Masked:
        """Return what the site adds, masked; `boxes` are what each site sealed for this one, or nothing.

        Raises
        ------
        ProtocolError
            Where a box was changed, or too few sites are left.
        """
        self._require(len(boxes) == len(self._peers) > 0, "boxes come before keys, or not as many")
        if self._masked is not None:
            return self._masked
        taken = [number for number, box in enumerate(boxes) if box or number == self._place]
        if len(taken) < FEWEST_SITES:
            raise ProtocolError(
                f"{len(taken)} sites would sum; of fewer than {FEWEST_SITES} a part could be told"
            )
        for number in taken:
            if number == self._place:
                continue
            key = self._sealing.agreed(bytes.fromhex(self._peers[number].sealing), b"sealing")
            about = f"{number} {self._place}".encode()
            text = opened(key, bytes.fromhex(boxes[number]), about=about).decode("ascii", "replace")
            self._require(_SHARES.fullmatch(text), "a peer sealed something else than shares")
            self._kept[number] = text[:SHARE_DIGITS], text[SHARE_DIGITS:]
        values = self._values()
        total = values + mask(self._own.private, len(values))
        for number in taken:
            if number != self._place:
                total = total + between(
                    self._masking, self._peers[number], self._place, number, len(values)
                )
        self._taken, self._masked = taken, Masked(total)
        return self._masked

    def unmask(self, present: Sequence[int]) -> Unmasking:
        """Return this site's parts of secrets: of who is present of their own mask, of others of their key.

        Never both of one site: with both, what it sent could be read.

        Raises
        ------
        ProtocolError
            Where the server asks a second time for others.
        """
        self._require(self._masked is not None, "unmasking comes before masking")
        if self._present is not None and sorted(present) != self._present:
            raise ProtocolError(
                "the server asks for the parts of other sites than before: with both, what a site sent "
                "could be read"
            )
        if len(set(present)) < FEWEST_SITES or not set(present) <= set(self._taken):
            raise ProtocolError(
                f"{len(set(present))} sites are present, wanted {FEWEST_SITES} of the sum's"
            )
        self._present = sorted(present)
        return Unmasking(
            [
                self._kept[number][0 if number in self._present else 1]
                if number in self._taken
                else ""
                for number in range(len(self._peers))
            ]
        )

    def _require(self, holds: object, what: str) -> None:
        if not holds:
            raise ProtocolError(f"the server goes on in a wrong order: {what}")


def between(own: KeyPair, peer: MaskKeys, place: int, number: int, count: int) -> Words:
    """Return the mask that the site at `place` adds for the one at `number`; the other adds its negative."""
    drawn = mask(own.agreed(bytes.fromhex(peer.masking), b"masks"), count)
    return drawn if place < number else -drawn
