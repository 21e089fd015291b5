"""Sound that is thinned: first the database forgets a file, then the file goes; a kill between leaves a
file alone.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, or_, select, update

from thrum.service.config import RetentionSettings
from thrum.service.store.database import Database
from thrum.service.store.schema import alarms, clips, judgements

BATCH = 500
DAY = 86400.0
HALF_TAKEN_SECONDS = 3600.0
"""No recording is taken in for so long: what is older was left by a kill."""

_logger = logging.getLogger(__name__)


class Retention:
    """Keeps the store within what was asked for.

    Parameters
    ----------
    database, audio
        The store.
    settings
        What is kept how long.
    now
        The clock.
    """

    def __init__(
        self, database: Database, audio: Path, settings: RetentionSettings, now: Callable[[], float]
    ) -> None:
        self.database = database
        self.audio = audio
        self.settings = settings
        self.now = now

    def once(self) -> int:
        """Thin audio and old judgements; return how many files went."""
        gone = 0
        while True:
            count = self._thin()
            gone += count
            if count < BATCH:
                break
        self._forget()
        if gone:
            _logger.info("the audio of %d clips is no longer kept", gone)
        return gone

    def sweep(self) -> int:
        """Remove files that no clip names, of days before yesterday, and what kills left half taken in;
        return how many.
        """
        swept = self._sweep_incoming()
        last = (datetime.fromtimestamp(self.now(), UTC) - timedelta(days=1)).date().isoformat()
        for day in sorted(self.audio.glob("[0-9]*-[0-9]*-[0-9]*")):
            if day.name >= last or not day.is_dir():
                continue
            for folder in sorted(day.iterdir()):
                names = [path for path in folder.iterdir() if path.is_file()]
                own = [str(path.relative_to(self.audio)) for path in names]
                with self.database.reading() as connection:
                    wanted = select(clips.c.path).where(clips.c.path.in_(own))
                    known = set(connection.execute(wanted).scalars())
                for path, name in zip(names, own, strict=True):
                    if name not in known:
                        path.unlink(missing_ok=True)
                        swept += 1
        return swept

    def _sweep_incoming(self) -> int:
        swept = 0
        for folder in self.audio.glob("incoming/incoming-*"):
            if folder.stat().st_mtime < self.now() - HALF_TAKEN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
                swept += 1
        return swept

    def _thin(self) -> int:
        now, settings = self.now(), self.settings
        wanted = (
            select(clips.c.id, clips.c.path)
            .where(
                clips.c.kept.is_(False),
                clips.c.path.is_not(None),
                clips.c.status != "waiting",
                clips.c.received_at < now - DAY * settings.audio_days,
                or_(
                    clips.c.id % settings.one_of != 0,
                    clips.c.received_at < now - DAY * settings.thinned_days,
                ),
            )
            .limit(BATCH)
            .with_for_update()  # an alarm that is raised meanwhile keeps its sound
        )
        with self.database.writing() as connection:
            rows = connection.execute(wanted).all()
            numbers = [row.id for row in rows]
            connection.execute(update(clips).where(clips.c.id.in_(numbers)).values(path=None))
        for row in rows:
            (self.audio / row.path).unlink(missing_ok=True)
        return len(rows)

    def _forget(self) -> None:
        """Forget judgements and clips that are too old, but for those of alarms."""
        before = self.now() - DAY * self.settings.judgement_days
        with self.database.writing() as connection:
            raised = select(alarms.c.clip)
            old = select(clips.c.id).where(
                clips.c.received_at < before,
                clips.c.kept.is_(False),
                clips.c.status != "waiting",
                clips.c.id.not_in(raised),
            )
            connection.execute(delete(judgements).where(judgements.c.clip.in_(old)))
            connection.execute(delete(clips).where(clips.c.id.in_(old)))
