"""One machine that is watched: its monitor, its stream and its standing, as the database has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection, RowMapping

from thrum import config as configs
from thrum.datasets.taking import Taking
from thrum.errors import ConfigError, StorageError, UsageError
from thrum.monitoring import Judgement, Monitor, Stream, open_monitor
from thrum.monitoring.states import SILENT, UNKNOWN
from thrum.sentences import Sentence
from thrum.service.config import MachineSettings
from thrum.service.health import DEAF
from thrum.service.rules import Standing
from thrum.service.store import machines
from thrum.types import Clip

SNAPSHOT_EVERY = 200
"""Judgements after which a stream is kept whole; at most so many are heard again after a kill."""


class Watched:
    """One machine that is watched.

    Parameters
    ----------
    settings
        Of the machine.
    device
        Where its scores are computed.
    """

    def __init__(self, settings: MachineSettings, *, device: str = "cpu") -> None:
        self.settings = settings
        self.device = device
        self.monitor: Monitor = self._opened()
        self.stream: Stream = self.monitor.stream()
        self.standing = Standing()
        self.judged = 0
        self._of = ""
        self._kept: bytes | None = None  # as the database has it: another worker may change it
        self._current = False

    @property
    def taking(self) -> Taking | None:
        """How its sound was read when it was learnt."""
        return self.monitor.takings.get(self.monitor.name)

    @property
    def fingerprint(self) -> str:
        """Which baseline and which settings a stream belongs to."""
        told = f"{self.settings.run.resolve()} {self.monitor.name} {self.monitor.history.current} "
        told += repr(sorted(asdict(self.monitor.alarms).items()))
        return hashlib.sha256(told.encode()).hexdigest()

    def catch_up(self, connection: Connection) -> None:
        """Bring monitor, stream and standing to what the database says, whoever wrote it.

        What another worker judged is heard again, which costs little; only where the baseline, the settings
        or the kept stream are others than before is more made anew.
        """
        row = machines.get(connection, self.settings.name)
        self.standing = Standing.from_json(row["standing"])
        # a baseline changes by command, too
        known = self._current and self.fingerprint == self._of == row["stream_of"]
        if not known:
            self.monitor = self._opened()
            self._of = self.fingerprint
        judged = int(row["judged"])
        if known and row["stream"] == self._kept and self.judged <= judged:
            self._hear_since(connection, self.judged)
        elif row["stream"] is not None and row["stream_of"] == self._of:
            self.stream = self.monitor.stream()
            try:
                self.stream.restore(machines.kept_stream(row))
            except StorageError:
                self.stream = self.monitor.stream()
            self._kept = row["stream"]
            self._hear_since(connection, int(row["stream_judged"]))
        else:  # a new baseline or other settings: the stream begins here
            self.stream = self.monitor.stream()
            self._kept = machines.keep_stream(
                connection, self.settings.name, self.stream.state(), judged, self._of
            )
        self.judged = judged
        self._current = True

    def forget(self) -> None:
        """Say that what is in memory is no longer what the database says."""
        self._current = False

    def keep(self, connection: Connection) -> None:
        """Keep the stream whole, as it is now."""
        self._of = self.fingerprint
        self._kept = machines.keep_stream(
            connection, self.settings.name, self.stream.state(), self.judged, self._of
        )

    def judge(self, clip: RowMapping, audio: Path) -> Judgement:
        """Judge a clip; sound from an input that is deaf says nothing of the machine."""
        sound = Clip(
            audio / str(clip["path"]),
            *self.monitor.key,
            "test",
            channel=clip["channel"],
            name=f"clip {clip['id']}",
        )
        if clip["health"] in DEAF:
            note = Sentence("deaf", name=clip["input"], health=clip["health"])
            return Judgement(sound, None, None, SILENT, SILENT, notes=(note,))
        judged = self.monitor.judge(sound, stream=self.stream)
        if judged.refused:
            raise StorageError(judged.refused[0][1])
        return judged[0]

    def sounds(self, rows: Sequence[RowMapping], audio: Path) -> list[Path | Clip]:
        """Return stored clips as those of the machine."""
        return [
            Clip(
                audio / str(row["path"]),
                *self.monitor.key,
                "test",
                channel=row["channel"],
                name=f"clip {row['id']}",
            )
            for row in rows
        ]

    def _hear_since(self, connection: Connection, number: int) -> None:
        """Hear the judgements after the `number` first again."""
        for row in machines.judgements_since(connection, self.settings.name, number):
            if row["among"] and row["score"] is not None:
                known = row["state"] != UNKNOWN
                self.stream.hear(float(row["score"]), state=row["among"], known=known)

    def _opened(self) -> Monitor:
        settings = self.settings
        learnt_as = settings.learnt_as or settings.name
        try:
            return open_monitor(settings.run, learnt_as, alarms=settings.alarms, device=self.device)
        except UsageError as error:  # its advice is for a command
            raise ConfigError(
                f"machine {settings.name!r} cannot be watched as {learnt_as!r} (learnt_as says what it is in "
                f"the run): {error}"
            ) from error


def described(settings: MachineSettings) -> str:
    """Return the settings of a machine as text, for the audit log."""
    return configs.to_toml(settings)
