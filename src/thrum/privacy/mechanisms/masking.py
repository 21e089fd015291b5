"""Numbers that only their sum over all sites says anything of (Bonawitz et al., 2017, section 4).

Every two sites agree on a mask by X25519; one adds it, the other takes it away, and in the sum all are gone.
A mask of its own covers what a site sends in case it is taken for lost and is only late. All is arithmetic
modulo 2^64 on fixed-point numbers.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from thrum.errors import ProtocolError

Words = NDArray[np.uint64]
FRACTION_BITS = 40
"""Steps of 1e-12; what a million sites add up to still fits."""
LARGEST = float(1 << 22)
NONCE_BYTES = 12


class KeyPair:
    """A private key and what others may know of it."""

    def __init__(self, private: bytes | None = None) -> None:
        self.private = private or secrets.token_bytes(32)
        self._key = X25519PrivateKey.from_private_bytes(self.private)
        self.public = self._key.public_key().public_bytes_raw()

    def agreed(self, theirs: bytes, purpose: bytes) -> bytes:
        """Return the 32 bytes that this key and another's public one agree on.

        Raises
        ------
        ProtocolError
            Where the other is no key.
        """
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError as error:
            raise ProtocolError(f"a peer's key is none: {error}") from error
        return HKDF(SHA256(), 32, salt=None, info=b"thrum " + purpose).derive(shared)


def mask(seed: bytes, count: int) -> Words:
    """Return numbers (count,) modulo 2^64 that nobody can tell from chance without the seed."""
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(8 * count)), "<u8").astype(np.uint64)


def encoded(values: NDArray[Any]) -> Words:
    """Return real numbers as fixed-point ones modulo 2^64.

    Raises
    ------
    ProtocolError
        Where they are not finite or too large.
    """
    if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > LARGEST:
        raise ProtocolError(f"only finite numbers up to {LARGEST:g} can be summed in secret")
    whole = np.rint(np.asarray(values, np.float64) * float(1 << FRACTION_BITS))
    return whole.astype(np.int64).view(np.uint64)


def decoded(words: Words) -> NDArray[np.float64]:
    """Return the real numbers that a sum of fixed-point ones stands for."""
    return words.view(np.int64).astype(np.float64) / float(1 << FRACTION_BITS)


def sealed(key: bytes, content: bytes, *, about: bytes) -> bytes:
    """Return content that only who has the key can read, and nobody can change."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, content, about)


def opened(key: bytes, box: bytes, *, about: bytes) -> bytes:
    """Return what was sealed.

    Raises
    ------
    ProtocolError
        Where it was changed on the way, or is of somebody else.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:
        raise ProtocolError(
            "what a peer sealed cannot be opened: it was changed on the way"
        ) from error
