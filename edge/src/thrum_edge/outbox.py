"""Messages to one receiver, in the order in which they came to be; what is not taken waits in a folder."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thrum_edge.errors import EdgeError

RETRY_SECONDS = 30.0
"""After a receiver was away: trying at every clip would hold up the microphone."""
MOST = 100_000
"""Messages that wait; beyond, the oldest go."""


@dataclass(frozen=True)
class Message:
    """What is told.

    Parameters
    ----------
    payload
        As it is sent.
    topic
        Of a broker; empty for an address.
    retain
        Whether a broker keeps it for those who come later.
    """

    payload: bytes
    topic: str = ""
    retain: bool = False


class Outbox:
    """Sends to one receiver.

    Parameters
    ----------
    deliver
        Brings one message there; raises an `EdgeError` where it is not taken.
    folder
        Where messages wait, also from one start to the next; None keeps none.
    """

    def __init__(
        self,
        deliver: Callable[[Message], None],
        folder: Path | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliver = deliver
        self._folder = folder
        self._clock = clock
        self._not_before = -float("inf")
        if folder is not None:
            with _as_edge_error(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def send(self, message: Message) -> None:
        """Send a message after those that wait.

        Raises
        ------
        EdgeError
            Where it was not taken; then it waits, where there is a folder.
        """
        if self._folder is None:
            self._deliver(message)
            return
        with _as_edge_error(self._folder):
            self._keep(message)
        if self._clock() >= self._not_before:
            self.flush()

    def flush(self) -> None:
        """Send what waits, oldest first; an `EdgeError` where it is not taken."""
        for path in self._waiting():
            message = _read(path)
            if message is not None:
                try:
                    self._deliver(message)
                except EdgeError:
                    self._not_before = self._clock() + RETRY_SECONDS
                    raise
            path.unlink(missing_ok=True)

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._waiting())

    def _waiting(self) -> list[Path]:
        return sorted(self._folder.glob("*.json")) if self._folder else []

    def _keep(self, message: Message) -> None:
        assert self._folder is not None
        told = {
            "topic": message.topic,
            "retain": message.retain,
            "payload": base64.b64encode(message.payload).decode(),
        }
        path = self._folder / f"{time.time_ns():020d}.json"
        while path.exists():
            path = path.with_name(f"{int(path.stem) + 1:020d}.json")
        temporary = path.with_suffix(".part")
        with temporary.open("w", encoding="ascii") as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        for oldest in self._waiting()[:-MOST]:
            oldest.unlink(missing_ok=True)


def _read(path: Path) -> Message | None:
    """Return a message that waits; None where its file is damaged: then nothing of it can be saved."""
    try:
        told = json.loads(path.read_text(encoding="ascii"))
        return Message(base64.b64decode(told["payload"]), told["topic"], bool(told["retain"]))
    except (ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _as_edge_error(folder: Path):  # type: ignore[no-untyped-def]
    try:
        yield
    except OSError as error:
        raise EdgeError(
            f"nothing can be kept in {folder} ({error}): name another folder with --spool"
        ) from error
