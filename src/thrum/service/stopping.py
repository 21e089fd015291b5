"""A service that runs asked to end, and its folder held, so that nobody starts another one meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from thrum.errors import StorageError
from thrum.service.running import locked

END_SECONDS = 60.0
"""A service judges what is at hand before it ends."""


def stopped(folder: Path, *, seconds: float = END_SECONDS) -> int:
    """Ask the service that runs in a folder to end, where one does, and hold the folder; return the handle.

    Raises
    ------
    StorageError
        Where it cannot be asked, or does not end.
    """
    asked, until = False, time.monotonic() + seconds
    while True:
        with contextlib.suppress(StorageError):
            return locked(folder)
        if not asked:
            _ask(folder / ".lock")
            asked = True
        if time.monotonic() > until:
            raise StorageError(
                f"the thrum monitor that runs in {folder} was asked to end and has not in {seconds:g} s: "
                f"stop it, then say this again"
            )
        time.sleep(0.05)


def _ask(lock: Path) -> None:
    """Ask the holder of a lock to end; a number that is another process here is not believed."""
    try:
        number = int(lock.read_text(encoding="ascii"))
        held = {os.path.realpath(each) for each in Path(f"/proc/{number}/fd").iterdir()}
        if os.path.realpath(lock) not in held:
            raise ProcessLookupError("another process has that number")
        os.kill(number, signal.SIGTERM)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"a thrum monitor runs in {lock.parent} and cannot be asked to end from here ({error}): stop it, "
            f"then say this again"
        ) from error
