"""What senders share: events of the outbox in their order, each until its receiver has taken it."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from thrum.errors import ThrumError
from thrum.sentences import Sentence
from thrum.service.store import outbox
from thrum.service.store.database import Database
from thrum.service.troubles import trouble

LOOK_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 300.0

_logger = logging.getLogger(__name__)


class NotTakenError(ThrumError):
    """The receiver has not taken an event; it is sent again."""


class Sender(ABC):
    """Sends the events of a channel.

    Parameters
    ----------
    channel
        Its name in the outbox.
    database, now
        Where the outbox is, and the clock.
    """

    def __init__(self, channel: str, database: Database, now: Callable[[], float]) -> None:
        self.channel = channel
        self.database = database
        self.now = now
        self.trouble = ""
        self.ended = threading.Event()

    @abstractmethod
    def send(self, event: RowMapping) -> None:
        """Send an event; raise a `NotTakenError` where it was not taken."""

    def besides(self) -> None:  # noqa: B027 (most do nothing else)
        """Do what else this sender does."""

    def run(self) -> None:
        """Send until `end`; after a failure wait, each time twice as long, up to five minutes."""
        wait = LOOK_SECONDS
        while not self.ended.wait(wait):
            try:
                self.once()
                self.trouble, wait = "", LOOK_SECONDS
            except (ThrumError, SQLAlchemyError, OSError, ValueError) as error:
                told = Sentence("of_channel", channel=self.channel, said=trouble(error))
                if told != self.trouble:
                    _logger.warning("%s: %s", self.channel, error)
                self.trouble = told
                wait = min(2 * max(wait, 1.0), self.longest_wait)

    @property
    def longest_wait(self) -> float:
        """How long is waited at most until the next try, in seconds."""
        return LONGEST_WAIT_SECONDS

    def once(self) -> int:
        """Send what waits; return how many events that were. Of several workers one sends at a time."""
        self.besides()
        with self.database.holding(f"channel {self.channel}") as held:
            return self._send_all() if held else 0

    def _send_all(self) -> int:
        with self.database.reading() as connection:
            waiting = outbox.unsent(connection, self.channel)
        for event in waiting:
            try:
                self.send(event)
            except NotTakenError as error:
                with self.database.writing() as connection:
                    outbox.failed(connection, event["id"], str(error))
                raise
            with self.database.writing() as connection:
                outbox.sent(connection, event["id"], self.now())
        return len(waiting)

    def end(self) -> None:
        """Let `run` end."""
        self.ended.set()
