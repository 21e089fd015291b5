"""Which clips travel together: pieces that hardly change when a clip is added, deleted or changed.

Clips are leaves of a binary tree that branches by the bits of their digests; a piece is the largest subtree
of no more clips than a piece may hold. Where a clip goes depends on nothing but its own content, so a clip
more or less changes one piece (which may fall in two, or two become one), whatever names and order are.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from thrum import storage
from thrum.federation.messages import MachineKey
from thrum.federation.piece_messages import Piece
from thrum.federation.secret import Secret
from thrum.systems.embedding_sharing.pool import Frames

CLIPS_PER_PIECE = 16


class Cutter:
    """Cuts a site's embeddings into pieces and gives each its fingerprint.

    Digests are keyed with a secret of the site, so that nobody can try out which content gives them.

    Parameters
    ----------
    secret
        The site's.
    """

    def __init__(self, secret: Secret) -> None:
        self.secret = secret

    def pieces(
        self, key: MachineKey, clips: Sequence[Frames], settings: Mapping[str, Any]
    ) -> list[Piece]:
        """Return the pieces of the clips (T, D) of one machine ID.

        Parameters
        ----------
        settings
            Of what embedded them.
        """
        secret = self.secret.read()
        digests = [_digest(frames, settings, secret) for frames in clips]
        pieces = []
        for places in cut(digests, most=CLIPS_PER_PIECE):
            told = json.dumps([key, [digests[place].hex() for place in places]])
            if len(places) > len({digests[place] for place in places}):
                told += json.dumps(places)  # copies of one clip may fill several pieces
            fingerprint = hmac.digest(secret, told.encode(), "sha256").hex()
            n_bytes = 2 * sum(clips[place].size for place in places)  # in half precision
            pieces.append(Piece(key, places, n_bytes, fingerprint))
        return pieces


def cut(digests: Sequence[bytes], *, most: int) -> list[list[int]]:
    """Return the places of the clips of every piece, `most` at most.

    Parameters
    ----------
    digests
        Of each clip's content, of one length; equal ones stay side by side.

    Returns
    -------
    list
        Pieces in the order of the digests of their clips, and so are the clips of each.
    """
    ordered = sorted(range(len(digests)), key=lambda place: (digests[place], place))
    bits = 8 * len(digests[0]) if digests else 0
    numbers = [int.from_bytes(digest) for digest in digests]
    pieces: list[list[int]] = []
    waiting = [(ordered, bits)]
    while waiting:
        places, left = waiting.pop()
        if len(places) <= most:
            pieces.extend([places] if places else [])
        elif left == 0:  # copies of one clip
            pieces.extend(places[start : start + most] for start in range(0, len(places), most))
        else:
            ones = [place for place in places if numbers[place] >> (left - 1) & 1]
            zeros = places[: len(places) - len(ones)]
            waiting += [(ones, left - 1), (zeros, left - 1)]
    return pieces


def _digest(frames: Frames, settings: Mapping[str, Any], secret: bytes) -> bytes:
    """Return what tells the embeddings (T, D) of a clip from all others."""
    told = f"{dict(settings)} {frames.dtype} {frames.shape}".encode()
    keyed = hmac.new(secret, told, "sha256")
    keyed.update(storage.content_of(frames))
    return keyed.digest()
