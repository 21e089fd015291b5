"""A secret in parts, of which so many give it back and fewer say nothing (Shamir, 1979)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from thrum.errors import ProtocolError

PRIME = 2**521 - 1
"""A Mersenne prime: 32 bytes fit, and arithmetic is quick."""
SECRET_BYTES = 32
SHARE_DIGITS = 132  # of 521 bits in hexadecimal


def split(secret: bytes, *, parts: int, needed: int) -> dict[int, int]:
    """Return the parts of a secret of 32 bytes, numbered from 1, of which `needed` give it back.

    Raises
    ------
    ValueError
        Where more are needed than there are, or the secret is of another size.
    """
    if not 1 <= needed <= parts or len(secret) != SECRET_BYTES:
        raise ValueError(f"cannot split {len(secret)} bytes into {parts} parts, {needed} needed")
    polynomial = [int.from_bytes(secret), *(secrets.randbelow(PRIME) for _ in range(needed - 1))]
    return {x: _at(polynomial, x) for x in range(1, parts + 1)}


def joined(parts: Mapping[int, int]) -> bytes:
    """Return the secret that enough parts, by their numbers, are of.

    Raises
    ------
    ProtocolError
        Where they are not of one secret of 32 bytes.
    """
    total = 0
    for x, y in parts.items():
        above = below = 1
        for other in parts:
            if other != x:
                above = above * -other % PRIME
                below = below * (x - other) % PRIME
        total = (total + y * above * pow(below, -1, PRIME)) % PRIME
    if total >= 1 << (8 * SECRET_BYTES):
        raise ProtocolError("the shares of a secret do not fit together: a site sent a wrong one")
    return total.to_bytes(SECRET_BYTES)


def _at(polynomial: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % PRIME
    return value
