"""Who is told: every event, in order, under one name, however often broker or receiver are away."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from thrum.errors import ConfigError
from thrum.service import answers
from thrum.service.config import InputSettings
from thrum.service.out.base import NotTakenError
from thrum.service.out.mqtt import Broker
from thrum.service.out.webhook import Webhook
from thrum.service.store import outbox, views
from thrum.service.telling import MqttSettings, WebhookSettings
from watched import MACHINE, MakeService, Sounds, bring, judge_all, view


class Receiver(BaseHTTPRequestHandler):
    """Answers as it is told and keeps what came."""

    answers: list[int]
    came: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((dict(self.headers), body))
        self.send_response(self.answers.pop(0) if self.answers else 204)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    class Own(Receiver):
        answers: list[int] = []  # noqa: RUF012
        came: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012

    server = HTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", Own
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_signed_and_tried_until_it_is_taken(
    make_service: MakeService, sounds: Sounds, receiver: tuple[str, type[Receiver]], tmp_path: Path
) -> None:
    url, own = receiver
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    service = make_service(webhooks=(WebhookSettings(url, tmp_path / "secret"),))
    bring(service, sounds("wwffffff"))
    judge_all(service)
    hook = service.senders[0]
    assert isinstance(hook, Webhook)
    own.answers += [500, 302]
    for _ in range(2):  # a redirect is not followed, and is no "taken"
        with pytest.raises(NotTakenError, match="answered"):
            hook.once()
    assert hook.once() == 1
    assert hook.once() == 0
    assert len(own.came) == 3
    assert len({headers["Thrum-Event"] for headers, _ in own.came}) == 1
    headers, body = own.came[-1]
    at, mac = (part.partition("=")[2] for part in headers["Thrum-Signature"].split(","))
    wanted = hmac.new(b"0123456789abcdef", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert mac == wanted
    told = json.loads(body)
    assert (told["kind"], told["machine"], told["schema"]) == ("raised", MACHINE, 1)
    assert told["alarm"] == view(service).alarm


def test_a_short_secret_is_refused(make_service: MakeService, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("abc")
    with pytest.raises(ConfigError, match="wanted 16 or more"):
        make_service(webhooks=(WebhookSettings("http://x.example/", tmp_path / "secret"),))


BROKER = """
import asyncio, sys
from amqtt.broker import Broker

async def serve():
    plugin = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    bind = f"127.0.0.1:{sys.argv[1]}"
    await Broker({"listeners": {"default": {"type": "tcp", "bind": bind}}, "plugins": plugin}).start()
    await asyncio.Event().wait()

asyncio.run(serve())
"""


class OwnBroker:
    """A broker that can be away: a process that is killed, for amqtt's own way to end hangs at times."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        quiet = subprocess.DEVNULL
        words = [sys.executable, "-c", BROKER, str(self.port)]
        self.process = subprocess.Popen(words, stdout=quiet, stderr=quiet)
        until(self.answers, 60)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker() -> Iterator[OwnBroker]:
    if importlib.util.find_spec("amqtt") is None:
        pytest.skip("the broker amqtt is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = OwnBroker(port)
    made.begin()
    yield made
    made.stop()


class Listener:
    """Hears everything that goes over the broker."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_connect = lambda client, *_: client.subscribe("thrum/#", qos=1)
        self.client.on_message = lambda _c, _d, message: self.heard.append(
            (message.topic, message.payload, message.retain)
        )
        self.client.reconnect_delay_set(1, 1)
        self.subscribed = 0
        self.client.on_subscribe = self._subscribed
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: self.subscribed == 1)

    def _subscribed(self, *_: Any) -> None:
        self.subscribed += 1

    def events(self) -> list[dict[str, Any]]:
        """Events in their order; one that was sent again, for want of an answer in time, counts once."""
        told = [json.loads(body) for topic, body, _ in self.heard if topic.endswith("/alarm")]
        return list({event["event"]: event for event in told}.values())

    def last(self, what: str) -> bytes:
        return next((body for topic, body, _ in reversed(self.heard) if topic.endswith(what)), b"")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_states_alarms_and_clips_go_over_a_broker_that_is_away_at_times(
    make_service: MakeService, sounds: Sounds, broker: OwnBroker
) -> None:
    mqtt = MqttSettings("127.0.0.1", broker.port, home_assistant=True)
    before = make_service()
    sources = (
        *before.settings.inputs,
        InputSettings("air", MACHINE, "mqtt", topic="plant/+/clip", every="60s"),
    )
    before.stop()
    service = make_service(mqtt=mqtt, inputs=sources)
    listener = Listener(broker.port)
    thread = threading.Thread(target=service.senders[-1].run, daemon=True)
    thread.start()
    try:
        until(lambda: listener.last("/status") == b"online")
        until(lambda: b'"state": "waiting"' in listener.last("id_00/state"))
        listener.client.publish("thrum/v1/site/status", b"offline", qos=1, retain=True)
        until(
            lambda: (
                [body for topic, body, _ in listener.heard if topic.endswith("/status")][-2:]
                == [b"offline", b"online"]
            )
        )  # another worker is gone, this one lives
        for path in sounds("www"):
            listener.client.publish("plant/7/clip", path.read_bytes(), qos=1)
        listener.client.publish("plant/7/clip", b"no sound at all", qos=1)

        def taken() -> tuple[int, int]:
            with service.database.reading() as connection:
                row = views.all_inputs(connection, ["air"])[0]
            return row["clips"], row["refused"]

        until(lambda: taken() == (3, 1))
        judge_all(service)
        until(lambda: b'"state": "well"' in listener.last("id_00/state"))
        broker.stop()
        bring(service, sounds("ffffff"))
        judge_all(service)
        with service.database.reading() as connection:
            assert len(outbox.unsent(connection, "mqtt")) == 1
        until(lambda: "cannot be reached" in service.senders[-1].trouble)
        assert not service.ills
        with service.database.holding(
            "channel mqtt"
        ) as held:  # events are of use to who hears them
            assert held
            broker.begin()
            until(lambda: listener.subscribed == 2, 40)
        until(lambda: [event["kind"] for event in listener.events()] == ["raised"], 40)
        until(lambda: b'"state": "alarm"' in listener.last("id_00/state"), 40)
        assert listener.events()[0]["alarm"] == view(service).alarm
    finally:
        service.senders[-1].end()
        thread.join(10)
        listener.close()
    assert listener.last("/status") in (b"offline", b"online")


def test_a_broker_that_is_away_for_an_hour_is_told_all_of_it_in_order(
    make_service: MakeService,
    sounds: Sounds,
    broker: OwnBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = make_service(mqtt=MqttSettings("127.0.0.1", broker.port))
    sender = service.senders[-1]
    broker.stop()
    begun = service.intake.now()
    clock = [begun]
    for each in (service.intake, service.judging, sender):
        monkeypatch.setattr(each, "now", lambda: clock[0])
    source = service.settings.inputs[1]
    for path in sounds("w" * 6 + ("f" * 6 + "w" * 4) * 3):  # two minutes apart
        clock[0] += 120
        service.intake.recording(source, path.read_bytes(), told_at=clock[0] - 2)
        judge_all(service)
        alarm = view(service).alarm
        if alarm is not None and view(service).state == "alarm":
            with service.database.writing() as connection:
                answers.ask(
                    connection, MACHINE, "false alarm", who="Ada", now=clock[0], alarm=alarm
                )
            judge_all(service)
        with pytest.raises(NotTakenError, match="cannot be reached"):
            sender.once()
    assert clock[0] - begun > 3600
    with service.database.reading() as connection:
        wanted = [row["event"] for row in outbox.unsent(connection, "mqtt", limit=1000)]
    assert len(wanted) >= 6  # raised, acknowledged, closed, and so on
    broker.begin()
    listener = Listener(broker.port)
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    try:
        until(lambda: len(listener.events()) >= len(wanted), 40)
        time.sleep(0.5)
        assert [event["event"] for event in listener.events()] == wanted
        with service.database.reading() as connection:
            assert not outbox.unsent(connection, "mqtt")
        assert json.loads(listener.last("id_00/state"))["state"] == view(service).state
    finally:
        sender.end()
        thread.join(10)
        listener.close()


def test_home_assistant_is_told_topics_that_there_are(make_service: MakeService) -> None:
    from thrum.service.out.home_assistant import announcements

    service = make_service()
    settings = replace(service.settings, mqtt=MqttSettings("127.0.0.1"))
    told = dict(announcements(settings))
    topic = "homeassistant/binary_sensor/thrum_site_machine0_id_00/config"
    assert json.loads(told[topic])["state_topic"] == "thrum/v1/site/machine0/id_00/state"
    assert len(told) == 2


def test_the_page_says_every_key_of_a_payload(make_service: MakeService, sounds: Sounds) -> None:
    page = (Path(__file__).parents[2] / "docs/operation.md").read_text(encoding="utf-8")
    rows = {
        what: set(re.findall(r"`(\w+)`", row.split("|")[3]))
        for what in ("state", "alarm")
        for row in page.splitlines()
        if row.startswith(f"| `<prefix>/v1/<site>/<machine>/{what}`")
    }
    service = make_service(mqtt=MqttSettings("127.0.0.1", 9))
    broker = service.senders[0]
    assert isinstance(broker, Broker)
    bring(service, sounds("wwffffff"))
    judge_all(service)
    with service.database.writing() as connection:
        answers.ask(
            connection, MACHINE, "false alarm", who="ada", now=1.0, alarm=view(service).alarm
        )
    judge_all(service)
    with service.database.reading() as connection:
        told = [json.loads(row["payload"]) for row in outbox.unsent(connection, "mqtt")]
    assert [each["kind"] for each in told] == ["raised", "acknowledged", "closed"]
    assert rows["alarm"] == set().union(*told)
    assert rows["state"] == set(broker.state_of(view(service)))
