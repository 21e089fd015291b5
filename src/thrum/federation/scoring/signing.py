"""Signatures of questions by the key of a site's certificate: RSA-PSS or ECDSA, with SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thrum.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import padding

_PREFIX = b"thrum: scores of new clips, 1\n"
"""So that a signature is of a question of this kind and of nothing else that the key signs."""


def signed(body: bytes, key: Path) -> bytes:
    """Return the signature of a question by the private key in a PEM file.

    Raises
    ------
    ConfigError
        Where the file holds no key that signs.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{key} holds no private key ({error}): ask for a new kit") from error
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(_PREFIX + body, _pss(), hashes.SHA256())
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(_PREFIX + body, ec.ECDSA(hashes.SHA256()))
    raise ConfigError(f"{key} is a {type(private).__name__}, wanted RSA or an elliptic curve")


def require_signed(body: bytes, signature: bytes, certificate: bytes) -> None:
    """Raise a `ProtocolError` where a question was not signed by the key of a certificate (DER)."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    public = x509.load_der_x509_certificate(certificate).public_key()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, _PREFIX + body, _pss(), hashes.SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, _PREFIX + body, ec.ECDSA(hashes.SHA256()))
        else:
            raise InvalidSignature
    except InvalidSignature as error:
        raise ProtocolError("the question was not signed by the key of its certificate") from error


def _pss() -> padding.PSS:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
