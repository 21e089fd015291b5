"""From sound to a clip that will be judged: checked, measured, written, and only then acknowledged."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from thrum import audio, storage
from thrum.datasets.taking import Taking
from thrum.errors import AudioError, DataError, StorageError
from thrum.sentences import Sentence, said
from thrum.service.config import InputSettings, ServiceSettings
from thrum.service.health import Health, measure
from thrum.service.store import clips
from thrum.service.store.clips import NewClip
from thrum.service.store.database import Database
from thrum.service.troubles import trouble

FORMATS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "flac"}
"""What clients may send: formats that thrum reads itself, byte by byte."""
MOST_RATE = 48_000
"""Samples a second of the longest recording: silence packs well, and a small file is much memory."""


class RefusedError(DataError):
    """A recording that cannot be used; nothing of it is kept.

    Parameters
    ----------
    health
        What that says of its input.
    """

    def __init__(self, message: str, health: Health = "unreadable") -> None:
        super().__init__(message)
        self.health: Health = health


class FullError(StorageError):
    """There is no space to take anything in: the sender keeps it and comes again."""


@dataclass(frozen=True)
class Taken:
    """What became of a recording.

    Parameters
    ----------
    key
        Of its first clip.
    clips
        How many there are.
    new
        How many of them were not there before.
    """

    key: str
    clips: int
    new: int


@dataclass
class Intake:
    """Takes sound in; when a method returns, the clip is on disk and will be judged, whatever is killed.

    Parameters
    ----------
    database, folder
        Where clips and their audio go.
    settings
        Of the service.
    takings
        By the name of a machine, how its sound was read when it was learnt.
    now
        The clock, seconds since 1970.
    arrived
        Set when there is something to judge.
    """

    database: Database
    folder: Path
    settings: ServiceSettings
    takings: Mapping[str, Taking | None]
    now: Callable[[], float] = time.time
    arrived: threading.Event = field(default_factory=threading.Event)

    def recording(
        self,
        source: InputSettings,
        content: bytes,
        *,
        told_at: float | None = None,
        and_then: Callable[[Connection], None] | None = None,
        any_format: bool = False,
    ) -> Taken:
        """Take a whole recording in; a long one is cut into clips such as were learnt.

        Parameters
        ----------
        told_at
            When it began, as its sender says; None where nobody does. Then a recording of the same bytes
            is the
            same recording.
        and_then
            What else belongs into the transaction.
        any_format
            Whether every format that thrum reads will do, and not wav and flac alone.

        Raises
        ------
        RefusedError
            Where it cannot be used.
        FullError
            Where there is no space for it.
        """
        self.require_space(len(content))
        received = self.now()
        suffix = FORMATS.get(content[:4])
        if suffix is None and not any_format:
            raise RefusedError(Sentence("no_format", begins=repr(content[:4]), size=len(content)))
        told = "" if told_at is None else f"{told_at:.3f}"
        key = clips.key_of(storage.sha256_bytes(content), source.name, told)
        with self.database.reading() as connection:
            known = clips.is_known(connection, key) or clips.is_known(connection, _part(key, 0))
        if known:
            self._commit(source, [], and_then)
            return Taken(key, 1, 0)
        with TemporaryDirectory(prefix="incoming-", dir=self._made("incoming")) as temporary:
            path = Path(temporary) / f"clip.{suffix or 'sound'}"
            path.write_bytes(content)
            samples, rate = self._read(path, source)
        seconds = len(samples) / rate
        started = received - seconds if told_at is None else told_at
        taking = self.takings.get(source.machine)
        cutting = taking.cutting(seconds) if taking else None
        if source.clip_seconds or (cutting and cutting.clip_seconds):
            pieces = self._pieces(source, samples, rate, started, key)
        else:
            name = self._write(key, suffix or "wav", content, received)
            channel = _channel(source, taking)
            pieces = [self._new(source, key, samples, rate, started, name, channel)]
        return Taken(pieces[0].key, len(pieces), self._commit(source, pieces, and_then))

    def window(
        self, source: InputSettings, samples: NDArray[np.float32], rate: int, started_at: float
    ) -> Taken:
        """Take a clip (S,) of continuous sound in.

        Raises
        ------
        FullError
            Where there is no space for it.
        """
        content = _flac(samples, rate)
        self.require_space(len(content))
        key = clips.key_of(storage.sha256_bytes(content), source.name, f"{started_at:.3f}")
        name = self._write(key, "flac", content, self.now())
        new = self._new(source, key, samples, rate, started_at, name, None)
        return Taken(key, 1, self._commit(source, [new], None))

    def refused(self, source: InputSettings, error: RefusedError) -> None:
        """Note on an input that a recording of it could not be used."""
        from thrum.service.store.schema import inputs

        with self.database.writing() as connection:
            clips.set_health(
                connection,
                source.name,
                error.health,
                said(error),
                self.now(),
                refused=inputs.c.refused + 1,
            )

    def require_space(self, size: int) -> None:
        """Raise a `FullError` where so many bytes more would leave too little space."""
        free = shutil.disk_usage(self._made("")).free
        least = int(self.settings.least_free_mb * 2**20)
        if free - size < least:
            raise FullError(
                Sentence("full", folder=str(self.folder), free=free // 2**20, least=least // 2**20)
            )

    def _read(self, path: Path, source: InputSettings) -> tuple[NDArray[np.float32], int]:
        taking = self.takings.get(source.machine)
        channel = _channel(source, taking)
        try:
            described = audio.describe(path)
            if described.seconds > 60 * self.settings.longest_minutes:
                raise RefusedError(
                    Sentence(
                        "too_long",
                        minutes=described.seconds / 60,
                        most=self.settings.longest_minutes,
                    )
                )
            most = int(60 * self.settings.longest_minutes * MOST_RATE)
            if described.samples > most:
                raise RefusedError(
                    Sentence(
                        "too_many_samples", samples=described.samples, most=most, rate=MOST_RATE
                    )
                )
            samples, rate = audio.read(path, channel=channel)
        except AudioError as error:
            raise RefusedError(_unnamed(error, path)) from error
        try:
            if taking is not None:
                taking.require_alike(path)
        except AudioError as error:
            raise RefusedError(_unnamed(error, path), "wrong rate") from error
        return samples, rate

    def _pieces(
        self,
        source: InputSettings,
        samples: NDArray[np.float32],
        rate: int,
        started: float,
        key: str,
    ) -> list[NewClip]:
        taking = self.takings.get(source.machine)
        seconds = source.clip_seconds or (taking.seconds if taking else len(samples) / rate)
        hop = source.hop_seconds or (taking.hop_seconds if taking else None) or seconds
        size, step = round(seconds * rate), round(hop * rate)
        pieces = []
        for number, first in enumerate(range(0, max(1, len(samples) - size + 1), step)):
            piece = samples[first : first + size]
            own = _part(key, number)
            name = self._write(own, "flac", _flac(piece, rate), self.now())
            pieces.append(self._new(source, own, piece, rate, started + first / rate, name, None))
        return pieces

    def _new(
        self,
        source: InputSettings,
        key: str,
        samples: NDArray[np.float32],
        rate: int,
        started: float,
        name: str,
        channel: int | None,
    ) -> NewClip:
        seconds, measured = len(samples) / rate, measure(samples)
        return NewClip(
            *(
                key,
                source.name,
                source.machine,
                started,
                self.now(),
                seconds,
                name,
                channel,
                measured,
            )
        )

    def _write(self, key: str, suffix: str, content: bytes, now: float) -> str:
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        name = f"{day}/{key[:2]}/{key}.{suffix}"
        try:
            storage.write_bytes(self.folder / name, content)
        except StorageError as error:
            raise FullError(trouble(error)) from error
        return name

    def _commit(
        self,
        source: InputSettings,
        new: list[NewClip],
        and_then: Callable[[Connection], None] | None,
    ) -> int:
        with self.database.writing() as connection:
            added = clips.add(connection, new)
            if new:
                last = new[-1]
                ended = last.started_at + last.seconds
                clips.heard(connection, source.name, last.measured, ended, self.now(), added)
            if and_then is not None:
                and_then(connection)
        if new:
            self.arrived.set()
        return added

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def _channel(source: InputSettings, taking: Taking | None) -> int | None:
    """Return the one channel that is heard; None for the mean of all."""
    if source.channel is not None or taking is None:
        return source.channel
    return taking.channel


def _part(key: str, number: int) -> str:
    """Return the key of a clip cut from a recording."""
    return storage.sha256_bytes(f"{key} {number}".encode())


def _flac(samples: NDArray[np.float32], rate: int) -> bytes:
    """Return samples (S,) as FLAC of 24 bits: what microphones give is in it whole."""
    import soundfile

    held = io.BytesIO()
    soundfile.write(held, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_24")
    return held.getvalue()


def _unnamed(error: AudioError, path: Path) -> str:
    """Return what is wrong, without the temporary path."""
    told = said(error)
    if not isinstance(told, Sentence):
        return told.replace(str(path), "this recording")
    values = {**told.values, "path": Sentence("this_recording")}
    if type(reason := values.get("reason")) is str:
        values["reason"] = reason.replace(str(path), path.name)
    return Sentence(told.key, **values)
