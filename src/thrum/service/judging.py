"""Clips judged, each exactly once: judgement, standing, alarm and what must be told are one transaction."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from thrum.errors import ThrumError
from thrum.monitoring import Judgement
from thrum.service import answers, events, rules
from thrum.service.config import Settings
from thrum.service.store import clips, machines
from thrum.service.store.database import Database
from thrum.service.troubles import trouble
from thrum.service.watching import SNAPSHOT_EVERY, Watched

BATCH = 16
"""Clips of a machine that are judged in one transaction, where so many wait."""
IDLE_SECONDS = 0.5
AFTER_TROUBLE_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class Judging:
    """Takes clips from the store, machine by machine, and judges them.

    Parameters
    ----------
    database, audio
        Where clips are.
    settings
        Of all.
    watched
        The machines, by name.
    now
        The clock, seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        audio: Path,
        settings: Settings,
        watched: Mapping[str, Watched],
        *,
        now: Callable[[], float] = time.time,
        arrived: threading.Event | None = None,
    ) -> None:
        self.database = database
        self.audio = audio
        self.settings = settings
        self.watched = watched
        self.now = now
        self.arrived = arrived or threading.Event()
        self.trouble = ""
        self._ended = threading.Event()

    def run(self) -> None:
        """Judge until `end`; what the database or a disk is ill of is said, waited for, and tried again."""
        while not self._ended.is_set():
            try:
                judged = self.once()
                self.trouble = ""
            except (SQLAlchemyError, OSError, ThrumError) as error:
                for watched in self.watched.values():
                    watched.forget()
                told = trouble(error)
                if told != self.trouble:
                    _logger.error("judging waits: %s", error)
                self.trouble = told
                self._ended.wait(AFTER_TROUBLE_SECONDS)
                continue
            if not judged:
                self.arrived.wait(IDLE_SECONDS)
                self.arrived.clear()

    def end(self) -> None:
        """Let `run` end after the clips at hand."""
        self._ended.set()
        self.arrived.set()

    def once(self) -> int:
        """Judge what waits, a batch of each machine; return how many clips that were, and answers."""
        with self.database.reading() as connection:
            waiting = clips.machines_waiting(connection)
            asked = answers.machines_asked(connection)
        done = 0
        for name in dict.fromkeys([*asked, *waiting]):
            if name in self.watched and not self._ended.is_set():
                with self.database.holding(f"machine {name}") as held:
                    if held:
                        done += self._machine(self.watched[name])
        return done

    def _machine(self, watched: Watched) -> int:
        with self.database.writing() as connection:
            watched.catch_up(connection)
        try:
            done = answers.carry_out(self.database, watched, self.audio, self.settings, self.now)
            with self.database.reading() as connection:
                waiting = clips.waiting(connection, watched.settings.name, BATCH)
            if waiting:
                self._judge(watched, waiting)
        except BaseException:
            watched.forget()  # its stream may have heard what was not committed
            raise
        return done + len(waiting)

    def _judge(self, watched: Watched, waiting: Any) -> None:
        said: list[tuple[RowMapping, Judgement | str]] = []
        for clip in waiting:
            try:
                said.append((clip, watched.judge(clip, self.audio)))
            except (ThrumError, OSError, ValueError, RuntimeError) as error:
                _logger.warning("clip %s of %s is refused: %s", clip["id"], clip["machine"], error)
                said.append((clip, str(error)))
        with self.database.writing() as connection:
            for clip, judgement in said:
                if isinstance(judgement, str):
                    machines.refuse(connection, clip["id"], judgement)
                else:
                    self._write(connection, watched, clip, judgement)
            if watched.judged // SNAPSHOT_EVERY > (watched.judged - len(said)) // SNAPSHOT_EVERY:
                watched.keep(connection)

    def _write(
        self, connection: Connection, watched: Watched, clip: RowMapping, judgement: Judgement
    ) -> None:
        now, name = self.now(), watched.settings.name
        watched.judged += 1
        machines.add_judgement(connection, clip, judgement, number=watched.judged, now=now)
        heard_at = None if judgement.score is None else clip["started_at"] + clip["seconds"]
        machines.set_judged(connection, name, watched.judged, heard_at)
        before = watched.standing
        alarm = str(clip["key"])[:16]
        standing = rules.after(
            before,
            judgement,
            alarm=alarm,
            suspicious_of=watched.settings.suspicious_of,
            well_after=watched.settings.well_after,
        )
        around = self.settings.retention.around_alarm
        if standing.alarm is not None and before.alarm is None:
            from dataclasses import replace

            standing = replace(standing, keep=around)
            machines.raise_alarm(connection, name, alarm, clip["id"], judgement, now)
            machines.keep_audio(connection, name, clip["id"], around)
            events.tell(connection, self.settings, name, "raised", alarm, now, clip=clip["key"])
            _logger.warning("alarm %s: %s", alarm, name)
        elif before.keep:
            machines.keep_audio(connection, name, clip["id"], 0)
        if standing.alarm is None and before.alarm is not None:
            machines.close_alarm(connection, before.alarm, now)
            events.tell(connection, self.settings, name, "closed", before.alarm, now)
        machines.set_standing(connection, name, before, standing, now, clip["id"])
        watched.standing = standing
