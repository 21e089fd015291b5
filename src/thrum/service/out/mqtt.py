"""The broker: states and alarms go there, clips may come from there.

::

    <prefix>/v1/<site>/status              online or offline (Last Will), retained
    <prefix>/v1/<site>/<machine>/state     how a machine is, JSON, retained
    <prefix>/v1/<site>/<machine>/alarm     events of alarms, JSON; kept while the broker is away

Of several workers whoever lives takes back the "offline" that another one leaves: the site is offline when
the last one is gone. A message with sound is acknowledged once it is in the store: what a kill leaves
unacknowledged, the broker sends again, and the store knows it.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from thrum import storage
from thrum.errors import ConfigError, StorageError
from thrum.sentences import Sentence
from thrum.service import events
from thrum.service.config import InputSettings, Settings
from thrum.service.inputs.base import Input
from thrum.service.intake import FullError, Intake, RefusedError
from thrum.service.out import home_assistant
from thrum.service.out.base import NotTakenError, Sender
from thrum.service.store import views
from thrum.service.store.database import Database
from thrum.service.telling import MqttSettings
from thrum.service.troubles import trouble

KEEP_ALIVE_SECONDS = 30
TAKEN_SECONDS = 10.0
"""Until an event counts as not taken."""
RETRY_SECONDS = 2.0
NAME = "mqtt-name.txt"

_logger = logging.getLogger(__name__)


class Broker(Sender):
    """Speaks with the broker.

    Parameters
    ----------
    settings
        Of all.
    intake
        Where clips go.
    inputs
        By name; those of kind ``mqtt`` hear topics.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        intake: Intake,
        inputs: Mapping[str, Input],
        now: Callable[[], float],
    ) -> None:
        super().__init__("mqtt", database, now)
        assert settings.mqtt is not None
        self.settings = settings
        self.own: MqttSettings = settings.mqtt
        self.intake = intake
        self.inputs = inputs
        self.sources = [each for each in settings.inputs if each.kind == "mqtt"]
        self.status_topic = f"{self.own.prefix}/v1/{settings.service.site}/status"
        self._told: dict[str, str] = {}
        self._come: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._taking: threading.Thread | None = None
        self.client = self._client()

    @property
    def longest_wait(self) -> float:
        """A broker that is back is told at once."""
        return 5.0

    def run(self) -> None:
        """Connect, listen and send until `end`; a broker that is away is tried again and again."""
        self._taking = threading.Thread(target=self._take_all, name="mqtt clips", daemon=True)
        self._taking.start()
        self.client.connect_async(self.own.host, self.own.port, KEEP_ALIVE_SECONDS)
        self.client.loop_start()
        super().run()
        if self.client.is_connected():
            self.client.publish(self.status_topic, "offline", qos=1, retain=True).wait_for_publish(
                2
            )
        self.client.disconnect()
        self.client.loop_stop()

    def besides(self) -> None:
        """Tell how machines are, where that has changed; all of them after a new connection."""
        if not self.client.is_connected():
            raise self._away()
        with self.database.reading() as connection:
            fleet = views.fleet(connection, [each.name for each in self.settings.machines])
        for view in fleet:
            payload = json.dumps(self.state_of(view), ensure_ascii=False, sort_keys=True)
            if self._told.get(view.name) != payload:
                topic = events.topic(self.settings, view.name, "state")
                self.client.publish(topic, payload, qos=1, retain=True)
                self._told[view.name] = payload

    def send(self, event: RowMapping) -> None:
        """Send an event; it is taken when the broker says so."""
        if not self.client.is_connected():
            raise self._away()
        sending = self.client.publish(event["topic"], event["payload"], qos=1)
        try:
            sending.wait_for_publish(TAKEN_SECONDS)
        except (RuntimeError, ValueError) as error:
            raise NotTakenError(trouble(error)) from error
        if not sending.is_published():
            raise NotTakenError(Sentence("broker_silent"))

    def _away(self) -> NotTakenError:
        return NotTakenError(Sentence("broker_away", address=f"{self.own.host}:{self.own.port}"))

    def state_of(self, view: views.MachineView) -> dict[str, Any]:
        """Return what the broker is told of a machine."""
        return {
            "schema": events.SCHEMA,
            "site": self.settings.service.site,
            "machine": view.name,
            "title": self.settings.machine(view.name).title,
            "state": view.state,
            "since": round(view.since, 3),
            "score": view.score,
            "p": view.p,
            "drift": view.drift,
            "alarm": view.alarm,
            "heard_at": view.heard_at,
            "input": view.hearing,
        }

    def _client(self) -> paho.Client:
        # The same name after a restart: the broker keeps what came in between.
        name = _own_name(self.settings.service.folder)
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"thrum-{self.settings.service.site}-{name}",
            clean_session=False,
            manual_ack=True,
        )
        if self.own.username is not None:
            client.username_pw_set(self.own.username, _password(self.own))
        if self.own.tls:
            client.tls_set()
        client.will_set(self.status_topic, "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._connected
        client.on_message = self._message
        return client

    def _connected(
        self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            _logger.error("the broker refuses: %s", reason)
            return
        client.publish(self.status_topic, "online", qos=1, retain=True)
        client.subscribe(self.status_topic, qos=0)  # what was said while we were away is of no use
        for source in self.sources:
            share = f"$share/{self.own.share}/" if self.own.share else ""
            client.subscribe(f"{share}{source.topic}", qos=1)
        if self.own.home_assistant:
            for topic, payload in home_assistant.announcements(self.settings):
                client.publish(topic, payload, qos=1, retain=True)
        self._told.clear()

    def _message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic != self.status_topic:
            self._come.put(message)
            return
        client.ack(message.mid, message.qos)
        if message.payload == b"offline" and not self.ended.is_set():
            client.publish(self.status_topic, "online", qos=1, retain=True)

    def _take_all(self) -> None:
        while not self.ended.is_set():
            try:
                message = self._come.get(timeout=0.5)
            except queue.Empty:
                continue
            source = next(
                (
                    each
                    for each in self.sources
                    if paho.topic_matches_sub(str(each.topic), message.topic)
                ),
                None,
            )
            if source is not None and not self._take(source, message):
                return
            self.client.ack(message.mid, message.qos)

    def _take(self, source: InputSettings, message: paho.MQTTMessage) -> bool:
        """Take a clip in, however long the store is ill; return whether that was done before the end."""
        own = self.inputs[source.name]
        while not self.ended.is_set():
            try:
                try:
                    self.intake.recording(source, bytes(message.payload))
                except RefusedError as error:
                    self.intake.refused(source, error)
                own.heard()
                return True
            except (FullError, SQLAlchemyError, OSError) as error:
                own.lost = trouble(error)
                self.ended.wait(RETRY_SECONDS)
        return False


def _own_name(folder: Path) -> str:
    """Return what the broker knows this worker by: drawn once, and kept in its folder."""
    path = folder / NAME
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = secrets.token_hex(5)
        storage.write_bytes(path, name.encode())
        return name
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{path} holds the name that the broker knows this worker by, and cannot be read: {error}"
        ) from error


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"password_file {settings.password_file}: {error}") from error
