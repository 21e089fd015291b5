"""The service: everything started, and stopped in the order in which nothing is lost."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from thrum import storage
from thrum.errors import StorageError
from thrum.service.config import InputSettings, Settings
from thrum.service.inputs.base import Input, Passive
from thrum.service.intake import Intake
from thrum.service.judging import Judging
from thrum.service.keeping import Keeping
from thrum.service.out.base import Sender
from thrum.service.retention import Retention
from thrum.service.store import clips, machines
from thrum.service.store.database import Database
from thrum.service.watching import Watched

MakeInput = Callable[[InputSettings, Intake], Input]

HOUR_SECONDS = 3600.0

_logger = logging.getLogger(__name__)


class Service:
    """Watches machines.

    Parameters
    ----------
    settings
        Of all.
    makes
        By kind, what makes an input that is not one of ours: simulated ones, in the demonstration.

    Raises
    ------
    StorageError
        Where the folder is in use by another service, or cannot be written.
    """

    def __init__(self, settings: Settings, *, makes: Mapping[str, MakeInput] | None = None) -> None:
        self.settings = settings
        self.folder = storage.private_folder(settings.service.folder)
        self._lock = locked(self.folder)
        self.started_at = time.time()
        self.database = Database(settings.service.database or self.folder / "monitor.sqlite")
        self.audio = settings.service.audio_folder
        self.watched = {each.name: Watched(each) for each in settings.machines}
        self.intake = Intake(
            self.database,
            self.audio,
            settings.service,
            {name: watched.taking for name, watched in self.watched.items()},
        )
        self.inputs = {each.name: _made(each, self.intake, makes or {}) for each in settings.inputs}
        with self.database.writing(alone=True) as connection:  # workers may start together
            for machine in settings.machines:
                machines.ensure(connection, machine.name, self.started_at)
            if self.database.is_sqlite:  # else other workers may have inputs of their own
                clips.forget_inputs(connection, {source.name for source in settings.inputs})
            for source in settings.inputs:
                clips.add_input(connection, source.name, source.machine, self.started_at)
        self.judging = Judging(
            self.database, self.audio, settings, self.watched, arrived=self.intake.arrived
        )
        self.retention = Retention(self.database, self.audio, settings.retention, self.intake.now)
        self.keeping = Keeping(
            self.inputs,
            self.intake,
            {self.retention.once: HOUR_SECONDS, self.retention.sweep: 24 * HOUR_SECONDS},
        )
        self.senders = self._made_senders()
        self.ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to listen and to judge."""
        runs: dict[str, Callable[[], None]] = {
            "judging": self.judging.run,
            "keeping": self.keeping.run,
            **{f"input {name}": source.run for name, source in self.inputs.items()},
            **{sender.channel: sender.run for sender in self.senders},
        }
        for name, run in runs.items():
            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        _logger.info("watching %d machines, %d inputs", len(self.watched), len(self.inputs))

    def stop(self, *, wait_seconds: float = 20.0) -> None:
        """Stop listening, judge what is at hand, close."""
        self.ended.set()
        for source in self.inputs.values():
            source.end()
        self.keeping.end()
        self.judging.end()
        for sender in self.senders:
            sender.end()
        until = time.monotonic() + wait_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.database.close()
        os.close(self._lock)
        _logger.info("stopped")

    @property
    def troubles(self) -> list[str]:
        """What the service is ill of, in words."""
        return [*self.ills, *(sender.trouble for sender in self.senders if sender.trouble)]

    @property
    def ills(self) -> list[str]:
        """Which of these lie here, and not with those who are told."""
        return [each for each in (self.judging.trouble, self.keeping.trouble) if each]

    def _made_senders(self) -> list[Sender]:
        from thrum.service.out.webhook import Webhook

        made: list[Sender] = [
            Webhook(f"webhook {number}", each, self.database, self.intake.now)
            for number, each in enumerate(self.settings.webhooks)
        ]
        if self.settings.mqtt is not None:
            from thrum.service.out.mqtt import Broker

            now = self.intake.now
            made.append(Broker(self.settings, self.database, self.intake, self.inputs, now))
        if self.settings.opcua is not None:
            from thrum.service.out.opcua import OpcUa

            made.append(OpcUa(self.settings, self.database, self.intake.now))
        return made


def _made(settings: InputSettings, intake: Intake, makes: Mapping[str, MakeInput]) -> Input:
    if settings.kind in makes:
        return makes[settings.kind](settings, intake)
    if settings.kind == "folder":
        from thrum.service.inputs.folder import Folder

        return Folder(settings, intake)
    if settings.kind == "stream":
        from thrum.service.inputs.stream import Stream

        return Stream(settings, intake)
    if settings.kind == "microphone":
        from thrum.service.inputs.microphone import Microphone

        return Microphone(settings, intake)
    return Passive(settings, intake)


def locked(folder: Path) -> int:
    """Hold a folder for this process alone, until it ends."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StorageError(
            f"another thrum monitor runs in {folder}: stop it (restore --replace does), or name another "
            f"folder"
        ) from error
    os.truncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)  # whom `thrum monitor restore` asks to end
    return handle
