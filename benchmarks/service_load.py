"""What the monitor service costs: processor time a clip, machines a core, latency, growth of its store.

    python benchmarks/service_load.py                                   12 machines, clips of 10 s
    python benchmarks/service_load.py --seconds 1 --pieces 10 --clips 103680 --json memory.json
                            memory over a day of 12 machines: recordings of 10 s, cut into clips of 1 s

The real service, a process of its own (`modulation`, k-NN, SQLite, one thread for sums), is sent wav files
of 16 bits by HTTP as fast as it judges them: at most one recording of each machine waits; ``--pieces`` says
how many clips the service cuts one into. *Processor time a clip* is that of its process from the first clip
to the last, over the clips, from arrival to stored judgement; *machines a core* is the length of a clip over
it. What memory and database come to on the way goes to ``--json`` as soon as it is known. Then clips come one
at a time, as if each had just ended, and the interface is asked until it says that one more is judged:
*latency*. Other programs on the machine make the latency longer, not the processor time. *Growth* is by least
squares over the clips after the first tenth; of the database without its log of writes, which SQLite keeps at
about 4 MB.
"""

from __future__ import annotations

import argparse
import http.client
import http.cookiejar
import json
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np

import monitored
from thrum.service.store import people
from thrum.service.store.database import Database

SETTINGS = "[service]\nport = {port}\nleast_free_mb = 1\nrequests_per_second = 100000\n"
MACHINE = """
[[machines]]
name = "hum/{number}"
run = "run"
learnt_as = "hum/id_00"
[[inputs]]
name = "http-{number}"
machine = "hum/{number}"
kind = "http"
{more}"""
LOOKS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""After so many clips memory and database are noted."""
PASSWORD = "correct horse battery"


def used(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process so far, and its memory in MB."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/statm").read_text().split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Client:
    """Sends clips and asks how machines are."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.sending = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.asking = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        told = urllib.parse.urlencode({"name": "ada", "password": PASSWORD}).encode()
        self.asking.open(f"http://127.0.0.1:{port}/login", told, timeout=60).close()

    def send(self, number: int, content: bytes, at: float) -> None:
        """Post a clip of a machine that began at `at`."""
        path = f"/api/v1/clips?input=http-{number}&recorded_at={at:.3f}"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            self.sending.request("POST", path, content, headers)
            answer = self.sending.getresponse()
        except (ConnectionError, http.client.HTTPException):  # it was idle, and closed meanwhile
            self.sending.close()
            self.sending.request("POST", path, content, headers)
            answer = self.sending.getresponse()
        told = answer.read()
        if answer.status != 201:
            raise SystemExit(f"a clip was answered {answer.status}: {told!r}")

    def judged(self) -> dict[str, int]:
        """Return how many clips of each machine are judged."""
        with self.asking.open(
            f"http://127.0.0.1:{self.port}/api/v1/machines", timeout=60
        ) as answer:
            return {each["name"]: each["judged"] for each in json.loads(answer.read())}


def told(rows: dict[str, float], path: Path | None) -> None:
    """Write what is known so far."""
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--machines", type=int, default=12)
    options.add_argument("--seconds", type=float, default=10.0, help="Of a clip.")
    options.add_argument("--clips", type=int, default=600)
    options.add_argument("--pieces", type=int, default=1, help="Clips in a recording sent.")
    options.add_argument("--latencies", type=int, default=100)
    options.add_argument("--most-minutes", type=float, default=60.0, help="Then it ends early.")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="load-"))
    monitored.learn(folder, clips=60, seconds=chosen.seconds)
    port = monitored.free_port()
    text = SETTINGS.format(port=port)
    cut = f"clip_seconds = {chosen.seconds}\n" if chosen.pieces > 1 else ""
    text += "".join(MACHINE.format(number=number, more=cut) for number in range(chosen.machines))
    (folder / "monitor.toml").write_text(text)
    process = monitored.Process(
        folder / "monitor.toml", port, folder / "log.txt", retention_seconds=3600
    )
    process.start()
    monitored.until(process.answers, 300, "the service answers")
    stored = folder / "monitor" / "monitor.sqlite"
    database = Database(stored)
    with database.writing() as connection:
        token = people.add_token(connection, "load", None, who="x", now=1.0)
        people.add(connection, "ada", PASSWORD, "viewer", who="x", now=1.0)
    database.close()
    client = Client(port, token)
    random = np.random.default_rng(1)
    length = chosen.pieces * chosen.seconds  # of a recording
    sounds = [monitored.hum(random, seconds=length) for _ in range(50)]

    def clip() -> bytes:  # no two alike, and cheap to make
        one = sounds[int(random.integers(len(sounds)))]
        return monitored.wav(np.roll(one, int(random.integers(len(one)))))

    def send(number: int) -> None:
        client.send(number % chosen.machines, clip(), time.time() - length)

    def size() -> int:
        return stored.stat().st_size

    rows: dict[str, float] = {
        "machines": chosen.machines,
        "seconds of a clip": chosen.seconds,
        "clips in a recording": chosen.pieces,
    }
    round_clips = chosen.machines * chosen.pieces
    for number in range(2 * chosen.machines):  # what is made once is made by now
        send(number)
    first = 2 * round_clips
    monitored.until(lambda: sum(client.judged().values()) == first, 300, "first clips")
    sent, done, marks, looks = first, first, [], list(LOOKS)
    begun, before = time.monotonic(), used(process.pid)[0]
    while sent < first + chosen.clips and time.monotonic() - begun < 60 * chosen.most_minutes:
        for number in range(chosen.machines):
            send(number)
        sent += round_clips
        while sent - done > round_clips:
            done = sum(client.judged().values())
            if sent - done > round_clips:
                time.sleep(0.05 * chosen.pieces)
        marks.append((done, used(process.pid)[1], size()))
        if looks and done - first >= looks[0]:
            look = looks.pop(0)
            rows[f"memory MB after {look} clips"] = round(marks[-1][1], 1)
            rows[f"database MB after {look} clips"] = round(marks[-1][2] / 2**20, 1)
            told(rows, chosen.json)
    monitored.until(lambda: sum(client.judged().values()) == sent, 300, "the last clips")
    spent, passed = used(process.pid)[0] - before, time.monotonic() - begun
    waits = []
    for number in range(chosen.latencies):
        name = f"hum/{number % chosen.machines}"
        known, content = client.judged()[name], clip()
        at = time.monotonic()
        client.send(number % chosen.machines, content, time.time() - length)
        while client.judged()[name] == known:
            time.sleep(0.02)
        waits.append(time.monotonic() - at)
    process.end(15)
    process.close()
    steady = np.array(marks[len(marks) // 10 :], dtype=np.float64)
    slopes = [float(np.polyfit(steady[:, 0], steady[:, column], 1)[0]) for column in (1, 2)]
    each = spent / (sent - first)
    rows |= {
        "clips": sent - first,
        "wall minutes": round(passed / 60, 1),
        "processor ms a clip": round(1000 * each, 1),
        "machines a core": round(chosen.seconds / each, 0),
        "latency ms, median": round(1000 * float(np.median(waits))),
        "latency ms, 95 %": round(1000 * float(np.quantile(waits, 0.95))),
        "memory MB, at the first tenth": round(steady[0, 1], 1),
        "memory MB, at the end": round(steady[-1, 1], 1),
        "memory MB, growth over 1000 clips": round(1000 * slopes[0], 3),
        "database bytes a clip": round(slopes[1]),
    }
    for name, value in rows.items():
        print(f"{name:<36} {value}")
    told(rows, chosen.json)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
