"""A copy of all that the service knows, while it runs; and back again.

The copy is one ``.tar.gz``: the database as it is at one moment, the audio that is kept for good or not
judged yet,
and the baselines of the machines. Other audio is left out: it would go with time anyway.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import or_, select

from thrum import storage
from thrum.errors import StorageError, UsageError
from thrum.service import stopping
from thrum.service.config import Settings
from thrum.service.running import locked
from thrum.service.store.database import Database
from thrum.service.store.schema import clips

FORMAT = 1
DATABASE, DESCRIPTION, AUDIO, BASELINES = "monitor.sqlite", "backup.json", "audio", "baselines"


def back_up(settings: Settings, path: Path) -> int:
    """Write a copy; return how many recordings are in it.

    Raises
    ------
    StorageError
        Where there is nothing to copy, or it cannot be written.
    UsageError
        Where the database is PostgreSQL, which has its own way.
    """
    if settings.service.database:
        raise UsageError(
            "the database is PostgreSQL: copy it with pg_dump, and the folder of the service with tar"
        )
    folder = settings.service.folder
    if not (folder / DATABASE).exists():
        raise StorageError(f"there is no database in {folder}: has the service ever run?")
    with TemporaryDirectory(prefix="backup-", dir=folder) as temporary:
        copy = Path(temporary) / DATABASE
        _copy_database(folder / DATABASE, copy)
        with storage.replacing(path, private=True) as written, tarfile.open(written, "w:gz") as tar:
            description = {"format": FORMAT, "machines": [each.name for each in settings.machines]}
            _add_bytes(tar, DESCRIPTION, json.dumps(description).encode())
            tar.add(copy, DATABASE)
            count = 0
            for name in _kept(copy):
                if (settings.service.audio_folder / name).is_file():
                    tar.add(settings.service.audio_folder / name, f"{AUDIO}/{name}")
                    count += 1
            for number, run in enumerate(_runs(settings)):
                if (run / "monitors").is_dir():
                    tar.add(run / "monitors", f"{BASELINES}/{number}")
    return count


def restore(settings: Settings, path: Path, *, replace: bool = False) -> list[str]:
    """Bring a copy back into the folder of the service; return what a person must know.

    Parameters
    ----------
    replace
        Whether a database that is there already is exchanged: the service that runs is asked to end, what it
        had is kept in a folder beside it, and whoever restarts it (systemd) starts it on the copy.

    Raises
    ------
    StorageError
        Where the copy is none, the folder holds a database that is not to be replaced, or a service that runs
        in it does not end.
    UsageError
        Where the database is PostgreSQL, which has its own way.
    """
    if settings.service.database:
        raise UsageError(
            "the database is PostgreSQL: bring it back with pg_restore, and the folder with tar"
        )
    folder = storage.private_folder(settings.service.folder)
    with TemporaryDirectory(prefix="restore-", dir=folder) as temporary:
        _unpack(path, Path(temporary))  # a copy that is none stops nobody
        handle = stopping.stopped(folder) if replace else locked(folder)
        try:
            there = (folder / DATABASE).exists()
            if there and not replace:
                raise StorageError(
                    f"{folder} holds a database already: say --replace, which keeps it beside the new one"
                )
            notes = []
            before = folder / f"before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
            if there:
                storage.private_folder(before)
                _copy_database(folder / DATABASE, before / DATABASE)
                notes.append(f"what was there is kept in {before}")
            notes += _restore_baselines(
                settings, Path(temporary) / BASELINES, before if replace else None
            )
            if (Path(temporary) / AUDIO).is_dir():
                shutil.copytree(
                    Path(temporary) / AUDIO, settings.service.audio_folder, dirs_exist_ok=True
                )
            # Last: where this is killed before, what was there is there, and it can be done again.
            for more in (
                "-wal",
                "-shm",
            ):  # all that was in them is copied, and they are not the new one's
                (folder / f"{DATABASE}{more}").unlink(missing_ok=True)
            (Path(temporary) / DATABASE).replace(folder / DATABASE)
            storage.fsync(folder)
        finally:
            os.close(handle)
    return notes


def _unpack(path: Path, into: Path) -> None:
    try:
        with tarfile.open(path, "r:gz") as tar:
            tar.extractall(into, filter="data")
        told = storage.read_json(into / DESCRIPTION)
        if told["format"] != FORMAT:
            raise StorageError(f"{path} is of another version: {told['format']}")
        if not (into / DATABASE).is_file():
            raise StorageError(f"{path} holds no database")
    except (tarfile.TarError, OSError, EOFError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no whole copy of thrum monitor backup: {error}") from error


def _restore_baselines(settings: Settings, saved: Path, before: Path | None) -> list[str]:
    """Bring baselines back; those that are there go to `before`, or stay where there is none."""
    notes = []
    for number, run in enumerate(_runs(settings)):
        own = saved / str(number)
        if not own.is_dir():
            continue
        if (run / "monitors").exists():
            if before is None:
                notes.append(f"{run / 'monitors'} is there already and stays as it is")
                continue
            (before / BASELINES).mkdir(parents=True, exist_ok=True)
            shutil.move(run / "monitors", before / BASELINES / str(number))
        shutil.copytree(own, run / "monitors")
    return notes


def _runs(settings: Settings) -> list[Path]:
    return list(dict.fromkeys(machine.run for machine in settings.machines))


def _copy_database(source: Path, target: Path) -> None:
    try:
        reading, writing = sqlite3.connect(source), sqlite3.connect(target)
        try:
            reading.backup(writing)
        finally:
            reading.close()
            writing.close()
    except sqlite3.Error as error:
        raise StorageError(f"the database {source} cannot be copied: {error}") from error


def _kept(copy: Path) -> list[str]:
    database = Database(copy)
    try:
        with database.reading() as connection:
            wanted = select(clips.c.path).where(
                clips.c.path.is_not(None), or_(clips.c.kept.is_(True), clips.c.status == "waiting")
            )
            return [str(name) for name in connection.execute(wanted).scalars()]
    finally:
        database.close()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    described = tarfile.TarInfo(name)
    described.size = len(content)
    tar.addfile(described, io.BytesIO(content))
