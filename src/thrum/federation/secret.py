"""The secret of a site: from it come the fingerprints of its pieces and the noise on what leaves."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from thrum import storage
from thrum.errors import DamagedError

_log = logging.getLogger(__name__)


class Secret:
    """Random bytes in a file of their own, which never leaves.

    Parameters
    ----------
    path
        Where they lie.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, *, noise: bool) -> None:
        """Make the secret where there is none; where it is damaged, another if nothing is lost by that.

        Parameters
        ----------
        noise
            Whether noise is drawn from it: drawn anew it could be averaged away, and no budget counts it.

        Raises
        ------
        StorageError
            Where it is damaged and noise is drawn from it, or it cannot be read or written.
        """
        try:
            storage.kept_secret(self.path, _new)
        except DamagedError as error:
            if noise:
                raise DamagedError(
                    f"{error}: restore it from a backup. Where there is none, remove it; the noise on what "
                    f"leaves is then drawn anew, beside that of what has left already"
                ) from error
            _log.warning("%s: another is made, and all pieces are sent again", error)
            storage.write_secret(self.path, _new())

    def read(self) -> bytes:
        """Return it; a `StorageError` where it is not there, or damaged."""
        return storage.read_secret(self.path)


def _new() -> bytes:
    return secrets.token_bytes(storage.SECRET_BYTES)
