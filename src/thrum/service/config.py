"""What the monitor service watches and whom it tells: one TOML file, ``monitor.toml``.

All defaults are ours; each has its reason beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from thrum import config as configs
from thrum.errors import ConfigError, UsageError
from thrum.monitoring.alarms import AlarmSettings
from thrum.monitoring.asked import clips_between, seconds_of
from thrum.service.telling import MqttSettings, OpcUaSettings, WebhookSettings, named

InputKind = Literal["folder", "http", "mqtt", "stream", "microphone"]
Language = Literal["en", "de", "ja"]
_X_OF_Y = re.compile(r"([0-9]+) ?of ?([0-9]+)")
_WANTED: dict[str, tuple[str, ...]] = {
    "folder": ("folder",),
    "http": (),
    "mqtt": ("topic",),
    "stream": ("address",),
    "microphone": (),
}


@dataclass(frozen=True)
class ServiceSettings:
    """Where the service lives.

    Parameters
    ----------
    folder
        Database, audio and keys; relative to the file of settings.
    host, port
        Where the dashboard and the interface listen. Only this machine can open 127.0.0.1.
    audio
        The folder of audio, which all workers of one database must share; None for one in `folder`.
    database
        An address of SQLAlchemy, for instance ``postgresql+psycopg://thrum@localhost/thrum``; None for
        SQLite
        in `folder`.
    site
        The name of this site, in topics and messages.
    language
        Of the dashboard, until a person chooses.
    certificate, private_key
        PEM files for https; both or none.
    upload_mb
        The largest recording that is taken.
    longest_minutes
        The longest recording that is taken: a small file may hold hours of silence.
    requests_per_second
        That one address may ask of the interface, with bursts of ten times as many.
    session_hours
        A person is signed in so long.
    least_free_mb
        With less space on the disk nothing is taken in, so that what is there stays whole.
    """

    folder: Path = Path("monitor")
    audio: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8321
    database: str | None = None
    site: str = "site"
    language: Language = "en"
    certificate: Path | None = None
    private_key: Path | None = None
    upload_mb: float = 64.0
    longest_minutes: float = 60.0
    requests_per_second: float = 50.0
    session_hours: float = 12.0
    least_free_mb: float = 200.0

    def __post_init__(self) -> None:
        named("site", self.site)
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}, wanted 0 to 65535")
        configs.require_positive(
            self, "upload_mb", "longest_minutes", "requests_per_second", "session_hours"
        )
        if (self.certificate is None) != (self.private_key is None):
            raise ConfigError("certificate and private_key belong together: give both, or none")

    @property
    def audio_folder(self) -> Path:
        """The folder of audio."""
        return self.audio or self.folder / "audio"


@dataclass(frozen=True)
class MachineSettings:
    """One machine that is watched.

    Parameters
    ----------
    name
        In addresses and topics: letters, digits, ``_ . -``, parts joined by ``/``.
    run
        What knows its normal sound: the folder that ``thrum train`` or a round left.
    learnt_as
        Its ``machine/machine_id`` in the run; None where that is its name.
    title
        For people.
    false_alarms, every
        How seldom, and how often there is a clip: as of ``thrum score``.
    rule
        ``stream``, ``clip``, or for instance ``3of5``.
    suspicious_of
        (x, y): the machine is called suspicious where x of the last y clips are. One in twenty normal
        clips is
        suspicious by itself; of two in three that is one in 140.
    well_after
        So many clips that are well in a row end what was suspicious, and an alarm that was acknowledged.
    """

    name: str
    run: Path
    learnt_as: str | None = None
    title: str = ""
    false_alarms: str = "1 per week"
    every: str = "10s"
    rule: str = "stream"
    suspicious_of: tuple[int, int] = (2, 3)
    well_after: int = 5

    def __post_init__(self) -> None:
        named("name", self.name)
        configs.require_at_least(self, well_after=1)
        x, y = self.suspicious_of
        if not 1 <= x <= y <= 100:
            raise ConfigError(f"suspicious_of is [{x}, {y}], wanted 1 ≤ x ≤ y ≤ 100")
        _ = self.alarms

    @property
    def alarms(self) -> AlarmSettings:
        """When an alarm is raised."""
        try:
            between = clips_between(self.false_alarms, every=self.every)
        except UsageError as error:
            raise ConfigError(f"machine {self.name!r}: {error}") from error
        if self.rule in ("stream", "clip"):
            return AlarmSettings("stream" if self.rule == "stream" else "clip", between)
        counts = _X_OF_Y.fullmatch(self.rule)
        if not counts:
            raise ConfigError(
                f"machine {self.name!r}: rule is {self.rule!r}, wanted stream, clip, or for instance 3of5"
            )
        return AlarmSettings("x of y", between, x=int(counts[1]), y=int(counts[2]))


@dataclass(frozen=True)
class InputSettings:
    """One thing that brings the sound of one machine.

    Parameters
    ----------
    name
        Of the input: letters, digits, ``_ . -``.
    machine
        The name of the machine that it hears.
    kind
        ``folder``, ``http``, ``mqtt``, ``stream`` or ``microphone``.
    folder
        Of the kind ``folder``: where a recorder writes.
    topic
        Of the kind ``mqtt``: where audio files come as messages.
    address
        Of the kind ``stream``: anything that FFmpeg opens, for instance ``rtsp://camera/audio`` or a file.
    device
        Of the kind ``microphone``: its name or a part of it; None takes the system's.
    channel
        The one channel that is heard; None hears as the run did.
    every
        How often a clip is to come; without any for three times as long the input is late, for ten times
        gone.
    clip_seconds, hop_seconds
        How continuous sound is cut; None cuts into clips such as were learnt, end to end.
    settle_seconds
        A file in a folder is complete where it has not changed for so long.
    delete
        Whether a file in a folder is deleted once it is stored.
    """

    name: str
    machine: str
    kind: InputKind
    folder: Path | None = None
    topic: str | None = None
    address: str | None = None
    device: str | None = None
    channel: int | None = None
    every: str = "10s"
    clip_seconds: float | None = None
    hop_seconds: float | None = None
    settle_seconds: float = 1.0
    delete: bool = False

    def __post_init__(self) -> None:
        named("name", self.name)
        for key in _WANTED.get(self.kind, ()):
            if getattr(self, key) is None:
                raise ConfigError(
                    f"input {self.name!r} of kind {self.kind!r} has no {key}, wanted one"
                )
        configs.require_positive(self, "clip_seconds", "hop_seconds")
        configs.require_at_least(self, channel=0, settle_seconds=0)
        try:
            _ = self.every_seconds
        except UsageError as error:
            raise ConfigError(f"input {self.name!r}: every: {error}") from error

    @property
    def every_seconds(self) -> float:
        """How often a clip is to come."""
        return seconds_of(self.every)


@dataclass(frozen=True)
class RetentionSettings:
    """How long sound and figures are kept.

    Parameters
    ----------
    audio_days
        All audio is kept so long.
    around_alarm
        So many clips before and after the one that raised an alarm are kept for good.
    one_of
        Of older audio without an alarm one clip in so many is kept, for comparison.
    thinned_days
        And those so long.
    judgement_days
        Scores, p-values and states; by then a chart has what it needs.
    """

    audio_days: float = 7.0
    around_alarm: int = 6
    one_of: int = 360
    thinned_days: float = 365.0
    judgement_days: float = 730.0

    def __post_init__(self) -> None:
        configs.require_positive(self, "audio_days", "thinned_days", "judgement_days")
        configs.require_at_least(self, around_alarm=0, one_of=1)


@dataclass(frozen=True)
class Settings:
    """All of ``monitor.toml``."""

    service: ServiceSettings = field(default_factory=ServiceSettings)
    machines: tuple[MachineSettings, ...] = ()
    inputs: tuple[InputSettings, ...] = ()
    mqtt: MqttSettings | None = None
    opcua: OpcUaSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    retention: RetentionSettings = field(default_factory=RetentionSettings)

    def __post_init__(self) -> None:
        _once("machines", [machine.name for machine in self.machines])
        _once("inputs", [each.name for each in self.inputs])
        known = {machine.name for machine in self.machines}
        for each in self.inputs:
            if each.machine not in known:
                raise ConfigError(
                    f"input {each.name!r} hears the machine {each.machine!r}, wanted one of: "
                    f"{', '.join(sorted(known)) or 'none is set, add [[machines]]'}"
                )
            if each.kind == "mqtt" and self.mqtt is None:
                raise ConfigError(
                    f"input {each.name!r} is of kind mqtt: add [mqtt] with the host of the broker"
                )

    def machine(self, name: str) -> MachineSettings:
        """Return the machine of a name."""
        return next(machine for machine in self.machines if machine.name == name)


def load(path: Path) -> Settings:
    """Read ``monitor.toml``; relative paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        Where something is unknown, of the wrong kind, or nothing is watched: with key, value and what
        was wanted.
    """
    settings = configs.load(Settings, path)
    if not settings.machines:
        raise ConfigError(f"{path} names no machine: add [[machines]] with name and run")
    base = path.resolve().parent
    service = settings.service
    return replace(
        settings,
        service=replace(
            service,
            folder=base / service.folder,
            audio=_beside(base, service.audio),
            certificate=_beside(base, service.certificate),
            private_key=_beside(base, service.private_key),
        ),
        machines=tuple(replace(each, run=base / each.run) for each in settings.machines),
        inputs=tuple(replace(each, folder=_beside(base, each.folder)) for each in settings.inputs),
        mqtt=settings.mqtt
        and replace(settings.mqtt, password_file=_beside(base, settings.mqtt.password_file)),
        webhooks=tuple(
            replace(each, secret_file=_beside(base, each.secret_file)) for each in settings.webhooks
        ),
    )


def _beside(base: Path, path: Path | None) -> Path | None:
    return None if path is None else base / path


def _once(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{what}: the name {twice[0]!r} is given twice, wanted once")
