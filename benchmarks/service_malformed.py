"""Whether malformed requests do any harm to the monitor service: answers, log, memory.

    python benchmarks/service_malformed.py --requests 100000 --json malformed.json

The real service, a process of its own, is asked over the network: every path and method that its OpenAPI page
names and those that it does not name, with parameters that are odd, missing or unknown, with and without a
session or a token, with wav and FLAC files of which bytes were changed (most of them in the header), lost or
doubled; one request in twenty is no HTTP at all, and where Debian's mosquitto is installed one in ten is a
message of the broker. No answer may be 500 or more, or hold a stack trace or a path of this computer; no
line of the log may be a stack trace; and at the end recordings must be taken and judged as ever. Memory is
noted on the way.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import io
import json
import re
import shutil
import socket
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import soundfile
from paho.mqtt.enums import CallbackAPIVersion

import monitored
import servers
from service_load import PASSWORD, used
from thrum.service.store import people
from thrum.service.store.database import Database

SETTINGS = """
[service]
port = {port}
least_free_mb = 1
upload_mb = 0.5
requests_per_second = 100000
[[machines]]
name = "hum/0"
run = "run"
learnt_as = "hum/id_00"
[[inputs]]
name = "http"
machine = "hum/0"
kind = "http"
"""
MQTT = """
[[inputs]]
name = "mqtt"
machine = "hum/0"
kind = "mqtt"
topic = "clips/#"
[mqtt]
host = "127.0.0.1"
port = {port}
"""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "XYZZY")
UNNAMED = (
    "/login",
    "/setup",
    "/logout",
    "/sound/{number}.wav",
    "/sound/{number}.png",
    "/sound/{number}/normal.wav",
    "/machine/{name}",
    "/{name}",
)
ODD = (
    *("", "0", "-1", "1", "nan", "1e400", str(10**30), "2026-13-45T99:99Z", "http", "mqtt", "\0"),
    *(
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%ff%fe",
        "x" * 5000,
        "' OR 1=1--",
    ),
    *("{{7*7}}", "<script>alert(1)</script>", "\u202e\U0001f600", "[]", "{}", "null", "true"),
)
LOOKS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)


class Malformed:
    """Draws requests."""

    def __init__(self, seed: int, paths: list[str], token: str, cookie: str) -> None:
        self.random, self.paths = Random(seed), paths
        self.token, self.cookie = token, cookie
        samples = monitored.hum(np.random.default_rng(seed), seconds=0.25)
        held = io.BytesIO()
        soundfile.write(held, samples, monitored.RATE, format="FLAC", subtype="PCM_16")
        self.files = [monitored.wav(samples), held.getvalue()]

    def sound(self) -> bytes:
        """Return a recording in which something is wrong; now and then nothing is."""
        content = bytearray(self.random.choice(self.files))
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 4, 16])):
            most = len(content) if self.random.random() < 0.3 else min(60, len(content))
            at, length = self.random.randrange(most + 1), self.random.choice([1, 1, 2, 4, 64])
            kind = self.random.randrange(4)
            if kind == 0:
                content[at : at + length] = self.random.randbytes(length)
            elif kind == 1:
                content[at : at + length] = self.random.choice([b"\0", b"\xff"]) * length
            elif kind == 2:
                del content[at : at + length]
            else:
                content[at:at] = content[at : at + length]
        if self.random.random() < 0.2:
            del content[self.random.randrange(len(content) + 1) :]
        return bytes(content)

    def body(self) -> bytes:
        """Return a body."""
        kind = self.random.random()
        if kind < 0.6:
            return self.sound()
        if kind < 0.8:
            return self.random.randbytes(self.random.choice([0, 1, 12, 44, 300, 5000]))
        if kind < 0.99:
            told = {"name": self.odd(), "password": self.odd(), "code": self.odd()}
            return urllib.parse.urlencode(told, errors="replace").encode()
        return bytes(600_000)

    def odd(self) -> str:
        """Return a value that nobody means."""
        if self.random.random() < 0.8:
            return self.random.choice(ODD)
        drawn = [self.random.choice([33, 127, 255, 0x2000, 0xD7FF]) for _ in range(12)]
        return "".join(chr(self.random.randrange(32, most)) for most in drawn)

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Return method, address, body and headers."""
        if self.random.random() < 0.4:  # past the door
            path, method = "/api/v1/clips", "POST"
        else:
            path, method = self.random.choice(self.paths), self.random.choice(METHODS)
        path = re.sub(r"\{\w+\}", lambda _: urllib.parse.quote(self.odd(), safe=""), path)
        query = [
            (self.random.choice(["input", "input", "recorded_at", "code", "x"]), self.odd())
            for _ in range(self.random.choice([0, 1, 1, 2, 4]))
        ]
        if path == "/api/v1/clips" and self.random.random() < 0.6:
            query = [("input", "http"), *[each for each in query if each[0] != "input"]]
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers: dict[str, str] = {}
        if self.random.random() < 0.7:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.random.random() < 0.5:
            headers["Authorization"] = self._header()
        if self.random.random() < 0.4:
            headers["Cookie"] = f"thrum_session={self.cookie}"
        for name in ("Cookie", "Origin", "Accept-Language", "Content-Type", "Range", "Host"):
            if self.random.random() < 0.05:
                headers[name] = self._header()
        return method, path, self.body() if method not in ("GET", "HEAD") else None, headers

    def _header(self) -> str:
        odd = re.sub(r"[\r\n\0]", "", self.odd())
        return odd.encode("latin-1", "replace").decode("latin-1")

    def no_http(self) -> bytes:
        """Return bytes that are no request, or one whose lengths are lies."""
        begin = b"POST /api/v1/clips?input=http HTTP/1.1\r\nHost: x\r\n"
        end = f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        return self.random.choice(
            [
                self.random.randbytes(self.random.randrange(200)),
                begin + b"Content-Length: -5\r\n" + end + b"RIFF",
                begin + b"Content-Length: 99999999999\r\n" + end + b"RIFF",
                begin + b"Content-Length: 4000\r\n" + end + self.sound()[:100],
                begin + b"Transfer-Encoding: chunked\r\n" + end + b"fffffffff\r\nRIFF",
                begin
                + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"
                + end
                + b"1\r\nR\r\n0\r\n\r\n",
                b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
                begin + b"X: " + b"y" * 70_000 + b"\r\n" + end,
                b"GET / HTTP/9.9\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00",
            ]
        )


class Asking:
    """Asks the service, and keeps what was wrong with its answers."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, str(folder)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.codes: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Send a request of the protocol."""
        for last in (False, True):
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                told = answer.read()
                break
            except (ConnectionError, http.client.HTTPException, OSError) as error:
                self.connection.close()  # it was closed after a body that is too large
                if last:
                    self.codes[f"cut off ({type(error).__name__})"] += 1
                    return
        self._look(answer.status, told, f"{method} {path[:200]}")

    def raw(self, content: bytes) -> None:
        """Send bytes, and no more of them."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as stream:
            try:
                stream.sendall(content)
                stream.shutdown(socket.SHUT_WR)
                told = stream.recv(65536)
            except OSError:
                told = b""
        found = re.match(rb"HTTP/1\.[01] (\d+)", told)
        self._look(int(found[1]) if found else 0, told, f"{content[:60]!r}")

    def _look(self, status: int, told: bytes, what: str) -> None:
        self.codes[str(status) if status else "closed without an answer"] += 1
        if status >= 500:
            self.wrong.append(f"{what}: {status} {told[:200]!r}")
        if b"Traceback" in told or self.folder.encode() in told:
            self.wrong.append(f"{what} tells too much: {told[:500]!r}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--most-minutes", type=float, default=60.0, help="Then it ends early.")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="malformed-"))
    monitored.learn(folder, seconds=0.25)
    port = monitored.free_port()
    broker = servers.Mosquitto(folder) if servers.MOSQUITTO else None
    text = SETTINGS.format(port=port) + (MQTT.format(port=broker.port) if broker else "")
    (folder / "monitor.toml").write_text(text)
    log = folder / "log.txt"
    process = monitored.Process(folder / "monitor.toml", port, log, retention_seconds=3600)
    process.start()
    monitored.until(process.answers, 300, "the service answers")
    database = Database(folder / "monitor" / "monitor.sqlite")
    with database.writing() as connection:
        token = people.add_token(connection, "malformed", None, who="x", now=1.0)
        people.add(connection, "ada", PASSWORD, "administrator", who="x", now=1.0)
        cookie = people.begin_session(connection, "ada", hours=100, now=time.time())
    asking = Asking(port, folder)
    asking.connection.request("GET", "/api/v1/openapi.json")
    described: dict[str, Any] = json.loads(asking.connection.getresponse().read())
    drawn = Malformed(chosen.seed, [*described["paths"], *UNNAMED], token, cookie)
    air = _air(broker.port) if broker else None
    rows: dict[str, Any] = {"seed": chosen.seed}
    messages, looks, begun = 0, list(LOOKS), time.monotonic()
    sent = 0
    while sent < chosen.requests and time.monotonic() - begun < 60 * chosen.most_minutes:
        sent += 1
        kind = drawn.random.random()
        if air is not None and kind < 0.1:
            topic = drawn.random.choice(["clips/a", "clips", "clips/a/b/" + "c" * 500])
            air.publish(topic, drawn.body(), qos=drawn.random.choice([0, 1, 2]))
            messages += 1
        elif kind > 0.95:
            asking.raw(drawn.no_http())
        else:
            asking.ask(*drawn.request())
        if looks and sent >= looks[0]:
            rows[f"memory MB after {looks.pop(0)} requests"] = round(used(process.pid)[1], 1)
            if chosen.json:
                chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    rows |= {
        "requests": sent,
        "of these messages of the broker": messages,
        "answers": dict(sorted(asking.codes.items())),
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    wrong = asking.wrong
    rows |= _as_ever(asking, database, drawn, air, wrong)
    rows["memory MB at the end"] = round(used(process.pid)[1], 1)
    process.end(15)
    process.close()
    if broker is not None and air is not None:
        air.loop_stop()
        broker.end()
    said = log.read_text(errors="replace")
    wrong += [f"the log: {each}" for each in re.findall(r"Traceback.{0,2000}", said, re.DOTALL)[:3]]
    rows["wrong"] = len(wrong)
    for name, value in rows.items():
        print(f"{name:<36} {value}")
    for each in wrong[:20]:
        print(f"WRONG: {each}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    database.close()
    shutil.rmtree(folder)
    if wrong:
        raise SystemExit(1)


def _air(port: int) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="malformed")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _as_ever(
    asking: Asking, database: Database, drawn: Malformed, air: paho.Client | None, wrong: list[str]
) -> dict[str, int]:
    """Send a recording by each way, and wait until both are judged, and all that came before."""

    def count(what: str) -> int:
        with database.reading() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {what}").scalar_one())

    random = np.random.default_rng(7)
    whole = [monitored.wav(monitored.hum(random, seconds=0.25)) for _ in range(2)]
    keys = [monitored.key_of(whole[0], "http", None)]
    headers = {"Authorization": f"Bearer {drawn.token}"}
    asking.ask("POST", "/api/v1/clips?input=http", whole[0], headers)
    if air is not None:
        air.publish("clips/a", whole[1], qos=1)
        keys.append(monitored.key_of(whole[1], "mqtt", None))
    judged = " OR ".join(f"key = '{key}'" for key in keys)
    _wait(
        lambda: count(f"clips WHERE status = 'judged' AND ({judged})") == len(keys),
        "whole recordings are judged as ever",
        wrong,
    )
    _wait(lambda: count("clips WHERE status = 'waiting'") == 0, "nothing waits any more", wrong)
    return {
        "recordings taken": count("clips"),
        "of these not to be judged": count("clips WHERE status = 'refused'"),
    }


def _wait(true: Callable[[], bool], what: str, wrong: list[str]) -> None:
    try:
        monitored.until(true, 300, what)
    except TimeoutError as error:
        wrong.append(str(error))


if __name__ == "__main__":
    main()
