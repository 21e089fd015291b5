"""Who takes part in a round: asked side by side, and left out who fails while enough others are left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from thrum.errors import FederationError
from thrum.federation.messages import printable
from thrum.types import Progress

PARALLEL_SITES = 8
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Roll:
    """The sites of one round.

    Parameters
    ----------
    names
        All that have come.
    quorum
        How many must be left; None wants all, so that whoever fails ends the round.
    progress
        Told how many have been asked.
    """

    def __init__(
        self, names: Iterable[str], *, quorum: int | None, progress: Progress | None
    ) -> None:
        self.names = sorted(names)
        self.quorum = len(self.names) if quorum is None else quorum
        self.lost: dict[str, str] = {}
        """Who was left out, and why."""
        self._progress = progress
        self._lock = threading.Lock()

    @property
    def present(self) -> list[str]:
        """Who is left, sorted."""
        return [name for name in self.names if name not in self.lost]

    def ask(
        self, call: Callable[[str], T], stage: str, *, at_once: int = PARALLEL_SITES
    ) -> dict[str, T]:
        """Call for every site that is left; return what it gave for each that is left after.

        Raises
        ------
        FederationError
            Where a call failed so and too few sites would be left.
        """
        names = self.present
        answers: dict[str, T] = {}
        with ThreadPoolExecutor(at_once) as executor:
            asked = executor.map(lambda name: self._asked(name, call), names)
            for number, (name, answer) in enumerate(zip(names, asked, strict=True), start=1):
                if answer:
                    answers[name] = answer[0]
                if self._progress is not None:
                    self._progress(stage, number, len(names))
        return answers

    def _asked(self, name: str, call: Callable[[str], T]) -> tuple[T, ...]:
        """Return the answer; nothing where the site is left out."""
        try:
            return (call(name),)
        except FederationError as error:
            with self._lock:
                if len(self.present) <= self.quorum:
                    raise
                self.lost[name] = printable(str(error))
            _log.warning("site %r is left out of this round: %s", name, error)
            return ()
