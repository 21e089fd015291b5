"""A server's store belongs to one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thrum import storage
from thrum.errors import FederationError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; an orphan of a killed server must not write beside us."""
    import fcntl

    storage.private_folder(folder)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FederationError(
                f"another process works in {folder}; wait for it, or end it"
            ) from error
        file.write(str(os.getpid()))
        file.flush()
        yield
