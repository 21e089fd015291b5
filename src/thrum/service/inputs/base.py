"""What inputs share: a thread of their own, and a health of their own."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod

from sqlalchemy.exc import SQLAlchemyError

from thrum.errors import ThrumError
from thrum.service.config import InputSettings
from thrum.service.intake import Intake
from thrum.service.troubles import trouble

AFTER_TROUBLE_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class Input(ABC):
    """Brings the sound of one machine.

    Parameters
    ----------
    settings
        Of the input.
    intake
        Where sound goes.
    """

    def __init__(self, settings: InputSettings, intake: Intake) -> None:
        self.settings = settings
        self.intake = intake
        self.heard_at = time.monotonic()
        """When something came, by a clock that nobody sets."""
        self.lost = ""
        """Why nothing can come, where that is known."""
        self.ended = threading.Event()

    @abstractmethod
    def listen(self) -> None:
        """Bring sound until `ended`; what goes wrong is raised, and tried again later."""

    def run(self) -> None:
        """Listen until `end`, whatever goes wrong."""
        while not self.ended.is_set():
            try:
                self.listen()
                if not self.ended.is_set():
                    self.ended.wait(AFTER_TROUBLE_SECONDS)
            except (ThrumError, SQLAlchemyError, OSError, RuntimeError, ValueError) as error:
                told = trouble(error)
                if told != self.lost:
                    _logger.warning("input %s: %s", self.settings.name, error)
                self.lost = told
                self.ended.wait(AFTER_TROUBLE_SECONDS)

    def end(self) -> None:
        """Let `run` end."""
        self.ended.set()

    def heard(self) -> None:
        """Note that something came."""
        self.heard_at = time.monotonic()
        self.lost = ""


class Passive(Input):
    """An input that others bring sound to: nothing is to be done but to wait."""

    def listen(self) -> None:
        """Wait."""
        self.ended.wait()
