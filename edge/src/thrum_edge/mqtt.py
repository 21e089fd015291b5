"""Judgements to a broker, under the topic and in the words of ``thrum monitor``.

::

    <prefix>/v1/<site>/<machine>/state     how a machine is, JSON, retained
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from thrum_edge.errors import EdgeError
from thrum_edge.outbox import Message

SCHEMA = 1
"""Of the payload, as thrum's."""
STATES = {"unknown state": "unknown", "no sound": "unheard"}
"""As thrum's monitor calls them, where it has another word."""
CONNECT_SECONDS = 10
TAKEN_SECONDS = 10.0
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Address:
    """``mqtt://user@host:port/prefix``; ``mqtts`` is encrypted.

    Parameters
    ----------
    prefix
        The first part of every topic.
    """

    host: str
    port: int
    encrypted: bool = False
    user: str | None = None
    prefix: str = "thrum"

    @classmethod
    def of(cls, text: str) -> Address:
        """Return the address that a text says; an `EdgeError` where it says none."""
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            port = -1
        more = parts.password or parts.query or parts.fragment
        if parts.scheme not in PORTS or not parts.hostname or port == -1 or more:
            raise EdgeError(
                f"{text.rpartition('@')[2]!r} is no broker: wanted mqtt://host or "
                f"mqtts://user@host:port/prefix, the password in a file (--mqtt-password-file)"
            )
        user = unquote(parts.username) if parts.username else None
        prefix = parts.path.strip("/") or "thrum"
        if set("#+$") & set(prefix):
            raise EdgeError(f"{prefix!r} is no prefix of topics: wanted words, with / between them")
        return cls(
            parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts", user, prefix
        )


class Broker:
    """Speaks with a broker; connects when there is something to say.

    Raises
    ------
    EdgeError
        Where the package paho-mqtt is not installed, or the password cannot be read.
    """

    def __init__(self, address: Address, *, password_file: Path | None = None) -> None:
        if importlib.util.find_spec("paho") is None:
            raise EdgeError("a broker wants the package paho-mqtt: pip install 'thrum-edge[mqtt]'")
        self._address = address
        self._password = _password(password_file)
        self._answered = threading.Event()
        self._refused = ""
        self._client: Any = None

    def deliver(self, message: Message) -> None:
        """Publish a message.

        Raises
        ------
        EdgeError
            Where the broker cannot be reached, or has not acknowledged it.
        """
        where = f"the broker {self._address.host}:{self._address.port}"
        try:
            if self._client is None:
                self._connect()
            if not self._answered.wait(CONNECT_SECONDS) or not self._client.is_connected():
                raise EdgeError(f"{where} {self._refused or 'cannot be reached'}")
            sending = self._client.publish(
                message.topic, message.payload, qos=1, retain=message.retain
            )
            sending.wait_for_publish(TAKEN_SECONDS)
        except (OSError, ValueError, RuntimeError) as error:
            raise EdgeError(f"{where} cannot be reached: {error}") from error
        if not sending.is_published():
            raise EdgeError(f"{where} has not acknowledged a judgement")

    def close(self) -> None:
        """Take leave."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connect(self) -> None:
        """Connect; from then on the client itself connects again where the broker was away."""
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        name = f"thrum-edge-{secrets.token_hex(5)}"
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.connect_timeout = CONNECT_SECONDS
        client.reconnect_delay_set(1, 30)
        if self._address.user is not None:
            client.username_pw_set(self._address.user, self._password)
        if self._address.encrypted:
            client.tls_set()
        client.on_connect = self._connected
        self._answered.clear()
        client.connect(self._address.host, self._address.port)
        client.loop_start()
        self._client = client

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        self._refused = f"refuses: {reason}" if reason.is_failure else ""
        self._answered.set()


def state_message(
    address: Address, site: str, judgement: Mapping[str, Any], *, since: float, now: float
) -> Message:
    """Return what a broker is told of a machine after a judgement: what ``thrum monitor`` tells of one.

    Parameters
    ----------
    since, now
        When its state began, and when it was heard, in seconds since 1970.
    """
    machine = judgement["machine"]
    told = {
        "schema": SCHEMA,
        "site": site,
        "machine": machine,
        "title": machine,
        "state": STATES.get(judgement["state"], judgement["state"]),
        "since": round(since, 3),
        "score": judgement["score"],
        "p": judgement["p_value"],
        "drift": None,  # is not told here
        "alarm": None,  # has no number here
        "heard_at": round(now, 3),
        "input": "silent" if judgement["state"] == "no sound" else "well",
    }
    payload = json.dumps(told, ensure_ascii=False, sort_keys=True).encode()
    return Message(payload, f"{address.prefix}/v1/{site}/{machine}/state", retain=True)


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"the password in {path} cannot be read: {error}") from error
