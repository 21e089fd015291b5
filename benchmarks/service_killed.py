"""Whether the monitor service loses or doubles anything where it is killed at random moments.

    python benchmarks/service_killed.py --kills 200

Two machines that hum are watched by the real service, a process of its own. Clips come by folder, HTTP and,
where Debian's mosquitto is installed, MQTT; in ten seconds of forty they are of a fault, so that alarms are
raised. A "person" answers alarms and teaches normal sound; sound is thinned every second. The process is
killed with SIGKILL at random moments, of its start, too (every 20th time it is started as a new interpreter,
else from one that has imported it), and half-way the broker goes away for 15 s. At the end it is started a
last time, and everything is compared with what was sent (`service_checked`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

import monitored
import service_checked
from servers import MOSQUITTO, Mosquitto
from thrum.errors import UsageError
from thrum.service import answers
from thrum.service.store import people
from thrum.service.store.database import Database

MACHINES = ("steady", "changing")
SETTINGS = """
[service]
port = {port}
least_free_mb = 1
requests_per_second = 100000
[retention]
audio_days = 0.0001
one_of = 3
thinned_days = 0.0005
around_alarm = 2
[[webhooks]]
url = "http://127.0.0.1:{hook}/"
"""
MACHINE = """
[[machines]]
name = "{name}"
run = "{run}"
learnt_as = "hum/id_00"
false_alarms = "1 in 100 clips"
well_after = 3
[[inputs]]
name = "folder-{name}"
machine = "{name}"
kind = "folder"
folder = "in/{name}"
settle_seconds = 0.3
delete = {delete}
[[inputs]]
name = "http-{name}"
machine = "{name}"
kind = "http"
"""
MQTT = '\n[[inputs]]\nname = "mqtt-{name}"\nmachine = "{name}"\nkind = "mqtt"\ntopic = "clips/{name}"\n'


@dataclass
class Sent:
    """What was sent, and whether the service has acknowledged it; what it has told others."""

    sounds: Path
    clips: dict[str, bool] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=lambda: {"webhook 0": [], "mqtt": []})
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, content: bytes, source: str, told: float | None) -> str:
        """Note a clip that is about to be sent; return its key."""
        key = monitored.key_of(content, source, told)
        (self.sounds / f"{key}.wav").write_bytes(content)
        with self.lock:
            self.clips[key] = False
        return key

    def done(self, key: str) -> None:
        """Note that it was acknowledged."""
        with self.lock:
            self.clips[key] = True


def hook_of(sent: Sent, random: np.random.Generator) -> ThreadingHTTPServer:
    """Return a receiver of webhooks that fails one time in four."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fails = random.random() < 0.25
            if not fails:
                with sent.lock:
                    sent.told["webhook 0"].append(told["event"])
            self.send_response(500 if fails else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Broker(Mosquitto):
    """A broker, and who else listens to it."""

    def __init__(self, folder: Path, sent: Sent) -> None:
        super().__init__(folder)
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="others", clean_session=False
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("thrum/#", qos=1)

        def heard(_client: object, _data: object, message: paho.MQTTMessage) -> None:
            if message.topic.endswith("/alarm"):
                with sent.lock:
                    sent.told["mqtt"].append(json.loads(message.payload)["event"])

        self.client.on_message = heard
        self.published: set[int] = set()
        self.client.on_publish = lambda _client, _data, mid, *_: self.published.add(mid)
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()


class Feeding:
    """Sends clips until it is told to stop."""

    def __init__(
        self, folder: Path, port: int, token: str, sent: Sent, broker: Broker | None, seed: int
    ) -> None:
        self.folder, self.port, self.token, self.sent, self.broker = (
            folder,
            port,
            token,
            sent,
            broker,
        )
        self.ended = threading.Event()
        ways = [self.by_folder, self.by_http, *([self.by_mqtt] if broker else [])]
        self.threads = [
            threading.Thread(target=self.run, args=(way, name, np.random.default_rng([seed, n, k])))
            for n, name in enumerate(MACHINES)
            for k, way in enumerate(ways)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, way: Any, name: str, random: np.random.Generator) -> None:
        """Send clips by one way; in ten seconds of forty they are of a fault."""
        number = 0
        while not self.ended.wait(float(random.exponential(1.5))):
            number += 1
            faulty = time.monotonic() % 40 >= 30
            way(name, monitored.wav(monitored.hum(random, faulty=faulty)), number)

    def by_folder(self, name: str, content: bytes, number: int) -> None:
        """Write a file, as recorders do: from its beginning to its end."""
        path = self.folder / "in" / name / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content[:20000])
            file.flush()
            time.sleep(0.1)
            file.write(content[20000:])
        # a file is promised by lying there: it counts as acknowledged
        self.sent.done(self.sent.begin(content, f"folder-{name}", path.stat().st_mtime_ns / 1e9))

    def by_http(self, name: str, content: bytes, number: int) -> None:
        """Post a clip until it is taken."""
        told = 1.7e9 + number if number % 2 else None
        key = self.sent.begin(content, f"http-{name}", told)
        more = "" if told is None else f"&recorded_at={told}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/clips?input=http-{name}{more}",
            data=content,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert answer.status == 201
                self.sent.done(key)
                return
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise SystemExit(
                        f"a clip was answered {error.code}: {error.read()!r}"
                    ) from error
            except OSError:
                pass
            if self.ended.wait(0.2):
                return  # not acknowledged: it may be there or not

    def by_mqtt(self, name: str, content: bytes, _number: int) -> None:
        """Publish a clip and wait until the broker has it."""
        assert self.broker is not None
        key = self.sent.begin(content, f"mqtt-{name}", None)
        told = self.broker.client.publish(f"clips/{name}", content, qos=1)
        while told.mid not in self.broker.published:  # the client keeps it while the broker is away
            if self.ended.wait(0.05) and not self.broker.client.is_connected():
                return
        self.sent.done(key)

    def stop(self) -> None:
        """Send no more."""
        self.ended.set()
        for thread in self.threads:
            thread.join()


def person(database: Database, ended: threading.Event, random: np.random.Generator) -> None:
    """Answer alarms, as the pages do; of the steady machine they are only heard."""
    while not ended.wait(0.5):
        with database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT id, machine, clip, acknowledged_at FROM alarms WHERE closed_at IS NULL"
            ).all()
            recent = connection.exec_driver_sql(
                "SELECT id FROM clips WHERE machine = 'changing' AND status = 'judged' "
                "ORDER BY id DESC LIMIT 3"
            ).all()
        for row in rows:
            what: answers.What = "heard"
            if row.machine == "changing" and random.random() < 0.5:
                what = str(random.choice(["fault", "false alarm", "normal"]))  # type: ignore[assignment]
            elif row.acknowledged_at is not None:
                continue
            _ask(
                database,
                row.machine,
                what,
                row.id,
                [row.clip] if what in ("fault", "normal") else [],
            )
        if recent and random.random() < 0.3:
            _ask(database, "changing", "normal", None, [each.id for each in recent])


def _ask(
    database: Database, machine: str, what: answers.What, alarm: str | None, clips: list[int]
) -> None:
    try:
        with database.writing() as connection:
            answers.ask(
                connection,
                machine,
                what,
                who="Ada",
                now=time.time(),
                alarm=alarm,
                clip_numbers=clips,
            )
    except UsageError:
        pass  # it has been closed, or forgotten, meanwhile


def whole(folder: Path) -> str:
    """Return what SQLite says of the database."""
    opened = sqlite3.connect(folder / "monitor" / "monitor.sqlite")
    try:
        return str(opened.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        opened.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path, help="Leave everything in this folder.")
    chosen = options.parse_args()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="killed-"))
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([chosen.seed, 99])
    run = monitored.learn(folder)
    (folder / "sounds").mkdir()
    sent = Sent(folder / "sounds")
    hook = hook_of(sent, np.random.default_rng([chosen.seed, 98]))
    broker = Broker(folder, sent) if MOSQUITTO else None
    port = monitored.free_port()
    text = SETTINGS.format(port=port, hook=hook.server_port)
    for number, name in enumerate(MACHINES):
        shutil.copytree(run, folder / f"run-{name}")
        (folder / "in" / name).mkdir(parents=True)
        more = MACHINE.format(name=name, run=f"run-{name}", delete=str(number == 1).lower())
        text += more + (MQTT.format(name=name) if broker else "")
    if broker:
        text += f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
    (folder / "monitor.toml").write_text(text)

    process = monitored.Process(
        folder / "monitor.toml", port, folder / "log.txt", retention_seconds=1.0
    )
    process.start()
    monitored.until(process.answers, 300, "the service answers")
    time.sleep(3)  # its session at the broker has begun
    database = Database(folder / "monitor" / "monitor.sqlite")
    with database.writing() as connection:
        token = people.add_token(connection, "feeding", None, who="Ada", now=1.0)
    feeding = Feeding(folder, port, token, sent, broker, chosen.seed)
    ended = threading.Event()
    answering = threading.Thread(
        target=person, args=(database, ended, np.random.default_rng([chosen.seed, 97]))
    )
    answering.start()
    begun, up = time.monotonic(), 0
    for number in range(1, chosen.kills + 1):
        time.sleep(float(random.uniform(0, 6)))
        up += process.answers()
        process.end()
        said = whole(folder)
        if said != "ok":
            raise SystemExit(f"after kill {number} the database is damaged: {said}")
        if broker and number == chosen.kills // 2:
            broker.end()
            threading.Timer(15, broker.begin).start()
        process.start(fresh=number % 20 == 0)
        if number % 20 == 0:
            monitored.until(process.answers, 900, "a new interpreter answers")
            print(f"{number} kills in {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
    spent = time.monotonic() - begun
    feeding.stop()
    ended.set()
    answering.join()
    last = service_checked.Checking(folder, database, sent.clips, sent.told)
    try:
        monitored.until(last.at_rest, 900, "all is judged, answered and told")
    except TimeoutError as error:
        print(error, last.restless())
    time.sleep(1)
    process.end(15)
    process.close()
    if broker:
        broker.client.loop_stop()
        broker.end()
    hook.shutdown()
    rows = {
        "kills": chosen.kills,
        "of these while it listened": up,
        "minutes": round(spent / 60, 1),
    }
    wrong = last.wrong()
    for name, value in (rows | last.counts()).items():
        print(f"{name:<45} {value}")
    for each in wrong:
        print(f"WRONG: {each}")
    database.close()
    if not chosen.keep:
        shutil.rmtree(folder)
    if wrong:
        raise SystemExit(1)
    print("nothing is lost, nothing is there twice")


if __name__ == "__main__":
    main()
