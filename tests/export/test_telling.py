"""Whom ``thrum-edge`` tells: a broker that is away, or an address, gets everything in the end, in order."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from thrum_edge import EdgeError
from thrum_edge.mqtt import Address, state_message
from thrum_edge.outbox import RETRY_SECONDS, Message, Outbox
from thrum_edge.telling import Telling

RATE = 16000
JUDGEMENT = {
    "machine": "fan/id_00",
    "file": "0.wav",
    "score": 1.5,
    "p_value": 0.25,
    "state": "well",
}


class Receiver:
    """Takes messages, but for the time that it is away."""

    def __init__(self) -> None:
        self.here, self.taken, self.asked = True, [], 0

    def __call__(self, message: Message) -> None:
        self.asked += 1
        if not self.here:
            raise EdgeError("nobody is there")
        self.taken.append(message.payload)


def message(number: int) -> Message:
    return Message(b"%d" % number, "a/b", retain=True)


def test_what_is_not_taken_waits_and_comes_in_order_from_one_start_to_the_next(
    tmp_path: Path,
) -> None:
    receiver, clock = Receiver(), SimpleNamespace(now=0.0)
    box = Outbox(receiver, tmp_path, clock=lambda: clock.now)
    box.send(message(0))
    receiver.here = False
    with pytest.raises(EdgeError, match="nobody is there"):
        box.send(message(1))
    box.send(message(2))  # too soon to try again
    assert (receiver.asked, box.waiting) == (2, 2)
    clock.now = RETRY_SECONDS
    with pytest.raises(EdgeError):
        box.send(message(3))
    later = Outbox(receiver, tmp_path)
    receiver.here = True
    sorted(tmp_path.glob("*.json"))[1].write_text('{"topic": "cut off')  # the power failed
    later.send(message(4))
    assert receiver.taken == [b"0", b"1", b"3", b"4"]
    assert later.waiting == 0


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    receiver = Receiver()
    box = Outbox(receiver, None)
    receiver.here = False
    with pytest.raises(EdgeError):
        box.send(message(0))
    receiver.here = True
    box.send(message(1))
    assert receiver.taken == [b"1"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="nothing can be kept in .*: name another folder"):
        Outbox(Receiver(), tmp_path / "file" / "spool")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mqtt://hall", Address("hall", 1883)),
        ("mqtts://me@hall/plant/a", Address("hall", 8883, True, "me", "plant/a")),
        ("mqtt://hall:99/", Address("hall", 99)),
    ],
)
def test_addresses_of_brokers(text: str, wanted: Address) -> None:
    assert Address.of(text) == wanted


@pytest.mark.parametrize(
    "text", ["hall", "http://hall", "mqtt://", "mqtt://a:x", "mqtt://m:pw@a", "mqtt://a/#b"]
)
def test_what_is_no_broker_is_said_without_its_password(text: str) -> None:
    with pytest.raises(EdgeError, match="is no broker: wanted mqtt://host") as error:
        Address.of(text)
    assert "pw" not in str(error.value)


def asked(port: int, **more: object) -> SimpleNamespace:
    words = {"post": None, "mqtt": f"mqtt://127.0.0.1:{port}", "mqtt_password_file": None}
    return SimpleNamespace(**words | {"site": "hall", "send_sound": None, "spool": None} | more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"site": ""}, "--mqtt wants a site"),
        ({"site": "a/b"}, "--mqtt wants a site"),
        ({"mqtt": None, "send_sound": "x"}, "--send-sound sends to a broker: say which one"),
        ({"mqtt": "mqtt://a/b+"}, "is no prefix of topics"),
        ({"mqtt": None, "post": "ftp://x"}, "is no address to post to"),
    ],
)
def test_words_that_do_not_fit(more: dict, said: str) -> None:
    with pytest.raises(EdgeError, match=said):
        Telling(asked(1, **more), RATE)


def test_a_broker_is_told_what_thrums_monitor_tells() -> None:
    from thrum.service.out.mqtt import Broker
    from thrum.service.store.views import WORST_FIRST

    view = SimpleNamespace(name="fan/id_00", state="well", since=5.0, score=1.5, p=0.25, drift=None)
    view.alarm, view.heard_at, view.hearing = None, 9.0, "well"
    settings = SimpleNamespace(
        service=SimpleNamespace(site="hall"), machine=lambda name: SimpleNamespace(title=name)
    )
    theirs = Broker.state_of(SimpleNamespace(settings=settings), view)  # type: ignore[arg-type]
    ours = state_message(Address("x", 1), "hall", JUDGEMENT, since=5.0, now=9.0)
    assert json.loads(ours.payload) == theirs
    assert (ours.topic, ours.retain) == ("thrum/v1/hall/fan/id_00/state", True)
    for state in ("well", "suspicious", "alarm", "unknown state", "off", "no sound"):
        told = state_message(Address("x", 1), "hall", {**JUDGEMENT, "state": state}, since=0, now=0)
        assert json.loads(told.payload)["state"] in WORST_FIRST


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_broker_that_was_away_gets_everything_in_the_end(port: int, tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="the broker in process, amqtt, is not installed")
    from service.test_out import Listener, OwnBroker, until

    sound = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)
    telling = Telling(asked(port, spool=tmp_path, send_sound="clips/fan"), RATE)
    errors = [*telling.tell(JUDGEMENT, sound), *telling.end()]
    assert [str(error).partition(" cannot")[0] for error in errors] == (
        [f"the broker 127.0.0.1:{port}"] * 2
    )
    assert "what waits (2) is sent at the next start" in str(errors[-1])
    broker = OwnBroker(port)
    broker.begin()
    listener = Listener(port)
    listener.client.subscribe("clips/#", qos=1)
    telling = Telling(asked(port, spool=tmp_path), RATE)
    assert list(telling.tell({**JUDGEMENT, "state": "alarm"}, sound)) == []
    until(lambda: len(listener.heard) == 3)
    broker.stop()
    errors = [*telling.tell(JUDGEMENT, sound), *telling.end()]  # it goes away in between
    assert errors
    broker.begin()
    assert list(telling.end()) == []
    until(lambda: len(listener.heard) >= 4)
    listener.close()
    broker.stop()
    topics = [topic for topic, *_ in listener.heard]
    assert topics[:3] == ["thrum/v1/hall/fan/id_00/state", "clips/fan", topics[0]]
    states = [json.loads(body)["state"] for topic, body, _ in listener.heard if "state" in topic]
    assert states[:3] == ["well", "alarm", "well"]
    came, rate = soundfile.read(io.BytesIO(listener.heard[1][1]), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(came, sound, atol=2**-15)


def test_a_broker_wants_its_package(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgeError, match=r"pip install 'thrum-edge\[mqtt\]'"):
        Telling(asked(port), RATE)
