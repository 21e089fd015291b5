"""The messages of a sum of which the server sees no part; see `thrum.federation.messages`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from thrum.federation.messages import Count, Sha256

MOST_SITES = 1000
"""Of one sum: each makes as many parts of its secrets, with as many products a part."""
Box = Annotated[str, Meta(pattern=r"\A([0-9a-f]{2}){0,512}\Z")]
Part = Annotated[str, Meta(pattern=r"\A[0-9a-f]{0,132}\Z")]


class MaskKeysQuestion(msgspec.Struct, frozen=True):
    """Make new keys for a sum of which nobody sees a part."""


class MaskKeys(msgspec.Struct, frozen=True):
    """A site's public keys (X25519) for one sum.

    Parameters
    ----------
    sealing
        With which others seal what is for this site alone.
    masking
        With which every two sites agree on a mask.
    """

    sealing: Sha256
    masking: Sha256


class MaskSharesQuestion(msgspec.Struct, frozen=True):
    """Hand out parts of your secrets, so that the sum survives if you are lost.

    Parameters
    ----------
    peers
        The keys of all sites of the sum.
    place
        Which of them are yours.
    needed
        How many parts give a secret back; more than half.
    """

    peers: Annotated[list[MaskKeys], Meta(min_length=1, max_length=MOST_SITES)]
    place: Count
    needed: Count


class MaskShares(msgspec.Struct, frozen=True):
    """Parts of a site's secrets, each sealed for one other.

    Parameters
    ----------
    boxes
        One for each site, in the order of the keys; empty for itself.
    """

    boxes: Annotated[list[Box], Meta(max_length=MOST_SITES)]


class MaskValuesQuestion(msgspec.Struct, frozen=True):
    """What do you add to the sum, masked?

    Parameters
    ----------
    boxes
        What each site sealed for you; empty of those who are lost.
    """

    boxes: Annotated[list[Box], Meta(max_length=MOST_SITES)]


class Masked(msgspec.Struct, frozen=True):
    """What a site adds, masked: how its machines' clips vary, how many machines and clips there are.

    Parameters
    ----------
    values
        (N,) uint64, fixed-point modulo 2^64: an upper triangle of a matrix (D, D), and two counts.
    """

    values: np.ndarray[Any, Any]


class UnmaskQuestion(msgspec.Struct, frozen=True):
    """Hand over your parts of the secrets: of who is present of their own mask, of others of their key.

    Parameters
    ----------
    present
        Whose masked values have come.
    """

    present: Annotated[list[Count], Meta(min_length=1, max_length=MOST_SITES)]


class Unmasking(msgspec.Struct, frozen=True):
    """A site's parts of the others' secrets, one of each site.

    Parameters
    ----------
    parts
        In hexadecimal, in the order of the keys; empty of who had no part in the sum.
    """

    parts: Annotated[list[Part], Meta(max_length=MOST_SITES)]


class Total(msgspec.Struct, frozen=True):
    """The sum over all sites.

    Parameters
    ----------
    values
        (D (D + 1) / 2,) float64: the upper triangle of the sum of all machines' covariances.
    machines, clips
        How many they are of.
    """

    values: np.ndarray[Any, Any]
    machines: Annotated[int, Meta(ge=1, le=1_000_000)]
    clips: Annotated[int, Meta(ge=1, le=1_000_000_000)]


class TotalQuestion(msgspec.Struct, frozen=True):
    """Keep this sum; take your own part out of it.

    Parameters
    ----------
    total
        Of all sites, this one among them.
    """

    total: Total
