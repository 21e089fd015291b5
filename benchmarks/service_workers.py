"""Two workers over one broker and one PostgreSQL, against one: how much more they judge, what a kill loses.

    python benchmarks/service_workers.py --json workers.json

Twelve machines hum; their clips go to the broker (Debian's mosquitto) and from there, by a shared
subscription, to workers, each a process of its own with one thread for sums; all write to one PostgreSQL.
*Turns* of one worker and of two alternate; each has a new database and clips of its own, all published at
once, and lasts until the last is judged. Other programs on the machine make turns longer. So beside the
*clips a second* there are the *clips a processor second* of the workers: where each has a core to itself,
two judge 2 · (two workers' clips a processor second) / (one's) times what one does, if neither waits for
the other.

In turns with a kill one of two workers is killed with SIGKILL when a third is judged, and started again once
the other one has nothing more to do. Then every clip must be judged once, its machine's judgements be
numbered without a gap and equal those of one monitor that hears the clips in that order, and each alarm be
told under one name.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy.exc import SQLAlchemyError

import monitored
import servers
from thrum.monitoring import open_monitor
from thrum.monitoring.alarms import AlarmSettings
from thrum.service.store.database import Database

MACHINES = 12
FAULTY = 0
"""The machine whose last third of clips is of a fault."""
SETTINGS = """
[service]
folder = "{folder}"
audio = "{audio}"
port = {port}
site = "{site}"
database = "{database}"
least_free_mb = 1
[mqtt]
host = "127.0.0.1"
port = {broker}
share = "workers"
"""
MACHINE = """
[[machines]]
name = "hum/{number}"
run = "{run}"
learnt_as = "hum/id_00"
false_alarms = "1 in 100 clips"
[[inputs]]
name = "mqtt-{number}"
machine = "hum/{number}"
kind = "mqtt"
topic = "clips/{site}/{number}"
"""


@dataclass(frozen=True)
class Spent:
    """What a process has spent, in seconds: computing, and in the queue for a core; of its busiest thread."""

    processor: float
    busiest_computed: float
    busiest_queued: float


def spent(pid: int) -> Spent:
    """Return what a process has spent so far."""
    threads = [
        [int(word) / 1e9 for word in (task / "schedstat").read_text().split()[:2]]
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    busiest = max(threads)
    return Spent(sum(each[0] for each in threads), *busiest)


class Air:
    """Publishes clips, and hears what workers tell."""

    def __init__(self, port: int) -> None:
        self.published: set[int] = set()
        self.events: list[str] = []
        self.online: set[str] = set()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="air")
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = lambda client, *_: client.subscribe("thrum/#", qos=1)
        self.client.on_message = self._heard
        self.client.on_publish = lambda _client, _data, mid, *_: self.published.add(mid)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _heard(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/alarm"):
            self.events.append(json.loads(message.payload)["event"])
        if message.topic.endswith("/status"):
            site = message.topic.split("/")[2]
            (self.online.add if message.payload == b"online" else self.online.discard)(site)

    def publish(self, clips: Sequence[tuple[str, bytes]]) -> None:
        """Publish clips; return when the broker has them all."""
        sent = {self.client.publish(topic, content, qos=1).mid for topic, content in clips}
        monitored.until(lambda: sent <= self.published, 300, "the broker has all clips")


@dataclass
class Bench:
    """All that turns share."""

    folder: Path
    cluster: servers.Cluster
    broker: servers.Mosquitto
    air: Air
    clips: int

    def sounds(self, site: str, random: np.random.Generator) -> list[tuple[str, bytes, str]]:
        """Return topic, content and key of each clip of a turn, a second long."""
        made = []
        for number in range(self.clips):
            machine = number % MACHINES
            faulty = machine == FAULTY and number > 2 * self.clips // 3
            content = monitored.wav(monitored.hum(random, seconds=1.0, faulty=faulty))
            key = monitored.key_of(content, f"mqtt-{machine}", None)
            made.append((f"clips/{site}/{machine}", content, key))
        return made

    def worker(self, site: str, name: str, address: str) -> monitored.Process:
        """Start a worker."""
        own, port = self.folder / f"{site}-{name}", monitored.free_port()
        own.mkdir()
        text = SETTINGS.format(
            folder=own / "monitor",
            audio=self.folder / f"{site}-audio",
            port=port,
            site=site,
            database=address,
            broker=self.broker.port,
        )
        text += "".join(
            MACHINE.format(number=number, run=self.folder / "run", site=site)
            for number in range(MACHINES)
        )
        (own / "monitor.toml").write_text(text)
        process = monitored.Process(
            own / "monitor.toml", port, own / "log.txt", retention_seconds=3600
        )
        process.start()
        return process

    def turn(self, site: str, workers: int, *, kill: bool = False) -> dict[str, Any]:
        """Let workers judge clips; return what that took."""
        address = self.cluster.made(site)
        sounds = self.sounds(site, np.random.default_rng([*site.encode()]))
        running = [self.worker(site, str(number), address) for number in range(workers)]
        for each in running:
            monitored.until(each.answers, 300, "a worker answers")
        monitored.until(lambda: site in self.air.online, 60, "the site is online")
        time.sleep(2)  # every worker has subscribed
        database = Database(address)

        def judged() -> int:
            try:
                with database.reading() as connection:
                    return int(
                        connection.exec_driver_sql("SELECT count(*) FROM judgements").scalar_one()
                    )
            except SQLAlchemyError:
                return 0

        told: dict[str, Any] = {"workers": workers}
        before, begun = [spent(each.pid) for each in running], time.monotonic()
        self.air.publish([each[:2] for each in sounds])
        if kill:
            monitored.until(lambda: judged() >= self.clips // 3, 300, "a third is judged")
            told |= self._killed(running[-1], site, judged)
        monitored.until(lambda: judged() == self.clips, 300, "all is judged")
        seconds = time.monotonic() - begun
        if not kill:
            told |= _costs(self.clips, seconds, before, [spent(each.pid) for each in running])
        monitored.until(lambda: not _waiting(database), 60, "all is told")
        told["wrong"] = self._wrong(database, sounds)
        for each in running:
            each.end(15)
            each.close()
        monitored.until(lambda: site not in self.air.online, 20, "the site is offline")
        database.close()
        return told

    def _killed(self, killed: monitored.Process, site: str, judged: Any) -> dict[str, Any]:
        killed.end()
        at, known = time.monotonic(), -1
        while judged() != known:  # until the other one has nothing more to do
            known = judged()
            time.sleep(3)
        online = site in self.air.online
        print(
            f"killed after {known} of {self.clips} clips were left to the other worker", flush=True
        )
        killed.start()
        return {
            "judged when the other had nothing more to do": known,
            "waited at the broker for the killed worker": self.clips - known,
            "site online while one worker was dead": online,
            "seconds until the worker was started again": round(time.monotonic() - at, 1),
        }

    def _wrong(self, database: Database, sounds: Sequence[tuple[str, bytes, str]]) -> list[str]:
        with database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT clips.key, clips.machine, clips.status, judgements.number, judgements.score, "
                "judgements.p, judgements.state FROM clips LEFT JOIN judgements ON "
                "judgements.clip = clips.id ORDER BY clips.machine, judgements.number"
            ).all()
            alarms = connection.exec_driver_sql("SELECT id, machine FROM alarms").all()
            events = connection.exec_driver_sql("SELECT event FROM outbox").scalars().all()
        wrong = []
        if sorted(row.key for row in rows) != sorted(key for _, _, key in sounds):
            wrong.append(f"{len(rows)} clips are there or judged, {len(sounds)} were published")
        held = {key: content for _, content, key in sounds}
        for number in range(MACHINES):
            own = [row for row in rows if row.machine == f"hum/{number}"]
            if [row.number for row in own] != list(range(1, len(own) + 1)):
                wrong.append(f"hum/{number}: judgements are not numbered from 1 to {len(own)}")
            if number < 2:  # of one with a fault, and of one without
                wrong += self._other(own, held)
        if f"hum/{FAULTY}" not in {row.machine for row in alarms}:
            wrong.append(f"no alarm of the machine with a fault, but of {len(alarms)} others")
        names = collections.Counter(f"{row.id}-raised" for row in alarms)
        if collections.Counter(each for each in events if each.endswith("-raised")) != names:
            wrong.append("alarms were not told, or twice")
        if not set(events) <= set(self.air.events):
            wrong.append("events never came")
        return wrong

    def _other(self, rows: Sequence[Any], held: dict[str, bytes]) -> list[str]:
        """Compare with one monitor that hears the clips in this order."""
        monitor = open_monitor(
            self.folder / "run", "hum/id_00", alarms=AlarmSettings("stream", 100)
        )
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            paths = []
            for row in rows:
                paths.append(Path(temporary) / f"{row.key}.wav")
                paths[-1].write_bytes(held[row.key])
            wanted = monitor.judge(paths)
        other = sum(
            (row.score, row.p, row.state) != (each.score, each.p, each.state)
            for row, each in zip(rows, wanted, strict=True)
        )
        return [f"{other} judgements differ from those of one monitor"] if other else []


def _waiting(database: Database) -> int:
    with database.reading() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
            ).scalar_one()
        )


def _costs(
    clips: int, seconds: float, before: Sequence[Spent], after: Sequence[Spent]
) -> dict[str, float]:
    pairs = list(zip(before, after, strict=True))
    processor = sum(b.processor - a.processor for a, b in pairs)
    waited = [
        1
        - (b.busiest_computed + b.busiest_queued - a.busiest_computed - a.busiest_queued) / seconds
        for a, b in pairs
    ]
    return {
        "seconds": round(seconds, 1),
        "clips a second": round(clips / seconds, 2),
        "processor ms a clip": round(1000 * processor / clips, 1),
        "cores used": round(processor / seconds, 2),
        "busiest thread waited for others, share": round(statistics.mean(waited), 3),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=480, help="Of a turn.")
    options.add_argument("--turns", type=int, default=3, help="Of one worker, and of two.")
    options.add_argument("--kills", type=int, default=3, help="Turns with a kill.")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    programs = servers.postgresql()
    if programs is None or servers.MOSQUITTO is None:
        raise SystemExit("wants PostgreSQL and mosquitto: apt install postgresql mosquitto")
    folder = Path(tempfile.mkdtemp(prefix="workers-"))
    monitored.learn(folder, clips=60, seconds=1.0)
    cluster, broker = servers.Cluster(programs), servers.Mosquitto(folder)
    bench = Bench(folder, cluster, broker, Air(broker.port), chosen.clips)
    turns, kills = [], []
    for number in range(chosen.turns):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            turns.append(bench.turn(f"turn{number}-{workers}", workers))
            print(turns[-1], flush=True)
    for number in range(chosen.kills):
        kills.append(bench.turn(f"kill{number}", 2, kill=True))
        print(kills[-1], flush=True)
    bench.air.client.loop_stop()
    broker.end()
    cluster.close()
    shutil.rmtree(folder)

    def median(what: str, workers: int) -> float:
        return statistics.median(each[what] for each in turns if each["workers"] == workers)

    report: dict[str, Any] = {"clips of a turn": chosen.clips, "turns": turns, "kills": kills}
    if turns:
        cost = "processor ms a clip"
        report["two against one, clips a second"] = round(
            median("clips a second", 2) / median("clips a second", 1), 2
        )
        report["two against one, by clips a processor second"] = round(
            2 * median(cost, 1) / median(cost, 2), 2
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n")
    for name, value in report.items():
        if name.startswith("two"):
            print(f"{name:<46} {value}")
    wrong = [each for turn in (*turns, *kills) for each in turn["wrong"]]
    for each in wrong:
        print(f"WRONG: {each}")
    if wrong:
        raise SystemExit(1)
    print("no clip is lost, none is judged twice")


if __name__ == "__main__":
    main()
