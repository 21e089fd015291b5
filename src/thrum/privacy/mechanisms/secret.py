"""Secrets that sites share among themselves, and the server does not have."""

from __future__ import annotations

import hmac
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ConfigError
from thrum.privacy.mechanisms.noise import normals

SHORTEST_BYTES = 16
"""Below, the fingerprint that the server sees could be searched through."""
FINGERPRINT_DIGITS = 16


def read_secret(path: Path) -> bytes:
    """Return the secret in a file.

    Raises
    ------
    ConfigError
        Where there is none, or it is too short to be one.
    """
    try:
        secret = path.expanduser().read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"the secret {path} cannot be read ({error.strerror}): all sites need one file of "
            f"{SHORTEST_BYTES} random bytes or more, handed round among them and not to the server"
        ) from error
    if len(secret) < SHORTEST_BYTES:
        raise ConfigError(
            f"the secret {path} has {len(secret)} bytes, wanted {SHORTEST_BYTES} or more: write it with "
            f"'openssl rand -hex 32'"
        )
    return secret


def fingerprint(secret: bytes) -> str:
    """Return what tells whether two sites have the same secret, without saying which."""
    return hmac.digest(secret, b"thrum fingerprint", "sha256").hex()[:FINGERPRINT_DIGITS]


def is_fingerprint(text: str) -> bool:
    """Whether a text is what `fingerprint` gives: by it, who has no secret names the others' chain."""
    return len(text) == FINGERPRINT_DIGITS and all(c in "0123456789abcdef" for c in text)


@lru_cache(maxsize=8)
def rotation(secret: bytes, dimensions: int) -> NDArray[np.float64]:
    """Return an orthogonal matrix (D, D), uniformly drawn by the secret."""
    key = hmac.digest(secret, f"thrum rotation {dimensions}".encode(), "sha256")
    drawn = normals(key, dimensions * dimensions).reshape(dimensions, dimensions)
    directions, triangle = np.linalg.qr(drawn)
    # Without the signs the result is not uniform (Mezzadri, 2007).
    return np.asarray(directions * np.sign(np.diagonal(triangle)))
