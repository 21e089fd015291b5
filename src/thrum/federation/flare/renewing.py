"""A new certificate for one participant; the others keep theirs, and their kits."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from thrum import storage
from thrum.errors import ConfigError, StorageError

STATE = "state"
FILE = "cert.json"
"""What ``nvflare provision`` keeps of all that it has signed, and of what it signs with."""


def forget_certificate(kits: Path, name: str) -> datetime:
    """Forget a participant's certificate: the next provisioning makes a new one, of the same authority.

    Parameters
    ----------
    kits
        The project's folder of ``nvflare provision``, which holds ``state``.

    Returns
    -------
    datetime
        When the former certificate ends; until then it is valid. Who shall take part no more is struck off
        the list of sites.

    Raises
    ------
    ConfigError
        Where there is no such folder, or no certificate of that name.
    """
    from cryptography import x509

    path = kits / STATE / FILE
    try:
        state = storage.read_json(path)
        known = {one: own for one, own in state.items() if isinstance(own, dict) and "cert" in own}
    except (StorageError, OSError, AttributeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): wanted the folder that nvflare provision made, kits/thrum, "
            f"with its state in place (deploy/README.md)"
        ) from error
    if name not in known:
        raise ConfigError(
            f"{path} knows no certificate of {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
        )
    try:
        former = x509.load_pem_x509_certificate(str(known[name]["cert"]).encode())
    except ValueError as error:
        raise ConfigError(f"{path}: the certificate of {name!r} is damaged ({error})") from error
    del state[name]
    storage.write_json(path, state, private=True)
    return former.not_valid_after_utc
