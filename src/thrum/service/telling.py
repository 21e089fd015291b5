"""Whom the monitor service tells, as ``monitor.toml`` says it: broker, webhooks, OPC UA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from thrum import config as configs
from thrum.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class MqttSettings:
    """The broker that clips may come from and that states and alarms go to.

    Parameters
    ----------
    host, port
        Where it is.
    username, password_file
        Who we are; the password stands alone in a file that others cannot read.
    tls
        Whether the connection is encrypted, the broker's certificate checked against the system's.
    prefix
        The first part of every topic.
    share
        Workers of one name share the clips of one topic: each clip comes to one of them
        (``$share/name/…``).
    home_assistant
        Whether machines announce themselves to Home Assistant.
    """

    host: str
    port: int = 1883
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    prefix: str = "thrum"
    share: str | None = None
    home_assistant: bool = False

    def __post_init__(self) -> None:
        named("prefix", self.prefix)
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"mqtt port is {self.port}, wanted 1 to 65535")


@dataclass(frozen=True)
class WebhookSettings:
    """An address that is told of every alarm.

    Parameters
    ----------
    url
        ``https://…`` or ``http://…``.
    secret_file
        The key of the signature (HMAC-SHA256), alone in a file; None signs nothing.
    timeout_seconds
        Until a try counts as failed.
    """

    url: str
    secret_file: Path | None = None
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        configs.require_positive(self, "timeout_seconds")
        if not re.fullmatch(r"https?://[^\s/]+\S*", self.url):
            raise ConfigError(f"webhook url is {self.url!r}, wanted http://… or https://…")


@dataclass(frozen=True)
class OpcUaSettings:
    """Where control systems read how machines are; without encryption, so keep it to a network of theirs.

    Parameters
    ----------
    host, port
        Where the server listens. Only this machine can open 127.0.0.1.
    """

    host: str = "127.0.0.1"
    port: int = 4840

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"opcua port is {self.port}, wanted 1 to 65535")


def named(key: str, name: str) -> None:
    """Refuse a name that cannot stand in topics, addresses and pages."""
    if not _NAME.fullmatch(name) or len(name) > 100:
        raise ConfigError(
            f"{key} is {name!r}, wanted up to 100 letters, digits, '_', '.', '-', parts joined by '/'"
        )
