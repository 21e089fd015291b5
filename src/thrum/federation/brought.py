"""What rounds have brought to a site: in force until something of a later round is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

from thrum import storage
from thrum.errors import StorageError

MOST_REFUSALS = 20
RECEIVED = "received"
"""What a round of Algorithm 2 has brought."""
_FOLDERS = ("classifiers", RECEIVED, "pools")


class Brought:
    """Pools, classifiers and scores that came down, and what was refused of the present round.

    Parameters
    ----------
    folder
        The site's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._refusals = folder / "refused.json"
        self._waiting = folder / "nothing-brought-yet"
        """There from the beginning of a round until something is accepted, also if the site is killed."""

    def begin(self) -> None:
        """Begin a round: what an earlier one brought stays in force for the time being."""
        storage.write_text(self._waiting, "")
        self._refusals.unlink(missing_ok=True)

    def make_room(self) -> None:
        """Remove what an earlier round brought; to be called when the first thing of this one is accepted."""
        if self._waiting.exists():
            self._remove()
            self._waiting.unlink()

    def end(self) -> None:
        """End a round that is done: where nothing was meant for the site, nothing stays in force."""
        if self._waiting.exists() and not self.refused:
            self._remove()
        self._waiting.unlink(missing_ok=True)

    def forget(self) -> None:
        """Forget all of it."""
        self._remove()
        self.begin()

    @property
    def refused(self) -> list[str]:
        """What was refused in this round, and why."""
        try:
            return list(storage.read_json(self._refusals)) if self._refusals.exists() else []
        except (StorageError, TypeError):
            return [f"{self._refusals} is damaged: what was refused is not known"]

    def refuse(self, why: str) -> None:
        """Note that something was refused."""
        storage.write_json(self._refusals, [*self.refused, why][-MOST_REFUSALS:])

    def _remove(self) -> None:
        for name in _FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
