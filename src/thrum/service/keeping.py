"""What is looked after beside the clips: inputs that fall silent, space on the disk, sound that is
thinned.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

from thrum.errors import ThrumError
from thrum.sentences import Sentence
from thrum.service.health import Health, by_silence
from thrum.service.inputs.base import Input
from thrum.service.intake import FullError, Intake
from thrum.service.store import clips
from thrum.service.troubles import trouble

LOOK_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Keeping:
    """Looks after inputs and space.

    Parameters
    ----------
    inputs
        By name.
    intake
        Whose disk it is.
    jobs
        What else is done, each with how often in seconds.
    """

    def __init__(
        self,
        inputs: Mapping[str, Input],
        intake: Intake,
        jobs: Mapping[Callable[[], object], float] | None = None,
    ) -> None:
        self.inputs = inputs
        self.intake = intake
        self.jobs = dict(jobs or {})
        self.trouble = ""
        self._told: dict[str, tuple[Health, str]] = {}
        self._came: dict[str, int] = {}
        self._ended = threading.Event()
        self._due = dict.fromkeys(self.jobs, 0.0)

    def run(self) -> None:
        """Look until `end`."""
        while not self._ended.is_set():
            try:
                self.once()
                self.trouble = ""
            except (SQLAlchemyError, OSError, ThrumError) as error:
                told = trouble(error)
                if told != self.trouble:
                    _logger.error("%s", error)
                self.trouble = told
            self._ended.wait(LOOK_SECONDS)

    def end(self) -> None:
        """Let `run` end."""
        self._ended.set()

    def once(self) -> None:
        """Look once.

        Raises
        ------
        FullError
            Where there is too little space to take anything in.
        """
        now = time.monotonic()
        self._hear_of_others(now)
        for name, source in self.inputs.items():
            told = self._health(source, now)
            if told is not None and self._told.get(name) != told:
                with self.intake.database.writing() as connection:
                    clips.set_health(connection, name, *told, self.intake.now())
            if told is None:
                self._told.pop(name, None)
            else:
                self._told[name] = told
        for job, every in self.jobs.items():
            if now >= self._due[job]:
                self._due[job] = now + every
                job()
        try:
            self.intake.require_space(0)
        except FullError:
            raise
        except OSError as error:
            raise FullError(Sentence("no_audio_folder", said=str(error))) from error

    def _hear_of_others(self, now: float) -> None:
        """Note what came to other workers: of clips that they share, each comes to one of them."""
        with self.intake.database.reading() as connection:
            came = clips.came(connection)
        for name, source in self.inputs.items():
            if came.get(name, 0) != self._came.get(name, 0):
                source.heard_at = now
        self._came = came

    @staticmethod
    def _health(source: Input, now: float) -> tuple[Health, str] | None:
        if source.lost:
            return "gone", source.lost
        quiet = now - source.heard_at
        health = by_silence(quiet, source.settings.every_seconds)
        if health is None:
            return None
        return health, Sentence("overdue", every=source.settings.every)
