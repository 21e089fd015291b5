"""Whether the service could run as it is set up: settings, runs, inputs, disk, database, those who are
told.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from thrum.errors import StorageError, ThrumError
from thrum.service.config import InputSettings, Settings
from thrum.service.store.database import Database
from thrum.service.watching import Watched

REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well, and what was found."""

    what: str
    well: bool
    detail: str


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each thing that the service needs."""
    yield _found("folder and disk", lambda: _disk(settings))
    yield _found("database", lambda: _database(settings))
    for machine in settings.machines:

        def promised(machine: object = machine) -> str:
            promises = Watched(machine).monitor.promises  # type: ignore[arg-type]
            return "; ".join(promises.values())

        yield _found(f"machine {machine.name}", promised)
    for source in settings.inputs:
        yield _found(
            f"input {source.name}",
            lambda source=source: _input(source, settings),  # type: ignore[misc]
        )
    if settings.mqtt is not None:
        mqtt = settings.mqtt
        yield _found("mqtt", lambda: _reach(mqtt.host, mqtt.port))
    for hook in settings.webhooks:
        parts = urlsplit(hook.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        yield _found(
            f"webhook {parts.hostname}",
            lambda parts=parts, port=port: _reach(str(parts.hostname), port),  # type: ignore[misc]
        )
    for path in (settings.service.certificate, settings.service.private_key):
        if path is not None:
            yield _found("TLS", lambda path=path: _readable(path))  # type: ignore[misc]


def _found(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (ThrumError, OSError, ValueError) as error:
        return Finding(what, False, str(error))


def _disk(settings: Settings) -> str:
    folder = settings.service.folder
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        raise StorageError(f"{there} cannot be written")
    free = shutil.disk_usage(there).free >> 20
    if free < settings.service.least_free_mb:
        raise StorageError(
            f"{free} MB free, wanted {settings.service.least_free_mb:g} at least (least_free_mb)"
        )
    return f"{free} MB free at {there}"


def _database(settings: Settings) -> str:
    path = settings.service.folder / "monitor.sqlite"
    if settings.service.database is None and not path.exists():
        return "will be made at the first start"
    database = Database(settings.service.database or path)
    name = database.engine.dialect.name
    database.close()
    return f"{name} answers, its schema is that of today"


def _input(source: InputSettings, settings: Settings) -> str:
    if source.kind == "folder":
        from thrum.service.inputs.folder import require_there

        assert source.folder is not None
        require_there(source.folder)
        count = sum(1 for _ in os.scandir(source.folder))
        return f"{source.folder}, {count} things in it"
    if source.kind == "microphone":
        from thrum.service.inputs.microphone import sound_device

        found = sound_device().query_devices(source.device, "input")
        return f"{found['name']}, {found['default_samplerate']:g} samples per second"
    if source.kind == "stream":
        from thrum.service.inputs.stream import opened

        with opened(str(source.address)) as container:
            return f"{source.address}: {container.streams.audio[0].codec_context.name}"
    if source.kind == "http":
        where = f"http://{settings.service.host}:{settings.service.port}"
        return f"POST {where}/api/v1/clips?input={source.name}"
    return f"topic {source.topic}"


def _reach(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), REACH_SECONDS).close()
    except OSError as error:
        raise StorageError(f"{host}:{port} cannot be reached: {error}") from error
    return f"{host}:{port} answers"


def _readable(path: Path) -> str:
    with path.open("rb") as file:
        file.read(1)
    return str(path)
