"""Rounds in which something breaks, each compared with one in which nothing does.

    python benchmarks/broken_rounds.py --rounds 21 --seed 7 --json docs/results/federation/broken_rounds.json

A server and three sites run as processes, over the stores and objects that are deployed
(`broken_parties.py`); whatever ends is started again, as a supervisor of services does. A round has ended
well where all sites have scored. Then the server's classifiers and the sites' scores must be, byte for byte,
those of an undisturbed round; no piece that the server had whole may have been sent again; nothing may be
left running; and whoever ended by itself must have said why, in words of ours.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path

from broken_parties import (
    SITES,
    UNEXPECTED,
    Fault,
    Round,
    run_at_once,
    run_server,
    run_site,
    said,
    write_recordings,
)
from thrum import storage
from thrum.federation.ledger import Ledger

ROUNDS = [Round("embeddings", 1), Round("embeddings", 2), Round("statistics", 1)]
MOST_STARTS = 12
"""Of the server, in one round: more is a round that does not end."""
LONGEST_SECONDS = 300.0
UNDISTURBED = "nothing"
NAMES = ["server", *(f"site{number}" for number in range(SITES))]
ON_DISK = {
    "a piece at the server": "server/pieces/*/*/*.npy",
    "the list of a piece": "server/pieces/*/*/*.json",
    "a checkpoint": "server/training/*.safetensors",
    "a classifier at the server": "server/classifiers/*/*",
    "statistics at the server": "server/statistics/*/*",
    "embeddings at a site": "site*/embeddings/[0-9]*",
    "a classifier at a site": "site*/classifiers/*/*",
    "scores at a site": "site*/received/*",
    "a pool at a site": "site*/pools/*/*",
    "notes of the server": "server/*.json",
    "notes of a site": "site*/*.json*",
    "a model at a site": "site*/model.*",
    "the secret of a site": "site*/fingerprint.key",
}
TEMPORARY = re.compile(r"\..*\.\d+-[0-9a-f]{8}")
_fork = multiprocessing.get_context("fork")


@dataclass
class Report:
    """What came of the rounds of one kind."""

    rounds: int = 0
    disturbances: int = 0
    same_bytes: int = 0
    said: int = 0
    sent_twice: int = 0
    unexpected: int = 0
    left_running: int = 0
    left_on_disk: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)


class Deployment:
    """The processes of one round."""

    def __init__(self, folder: Path, round_: Round) -> None:
        self.folder, self.round = folder, round_
        self.processes: dict[str, ForkProcess] = {}
        self.starts = 0
        folder.mkdir(exist_ok=True)

    def start(self, name: str, fault: Fault | None = None) -> None:
        """Start one of the processes."""
        chosen = fault or Fault()
        if name == "server":
            self.starts += 1
            process = _fork.Process(target=run_server, args=(self.folder, self.round, chosen))
        else:
            process = _fork.Process(
                target=run_site, args=(self.folder, int(name[4:]), self.round, chosen)
            )
        process.start()
        self.processes[name] = process

    def begin(self, faults: dict[str, Fault]) -> None:
        """Start all, as a new round: nobody has scored yet."""
        for number in range(SITES):
            (self.folder / f"site{number}" / "done").unlink(missing_ok=True)
        for name in reversed(NAMES):
            self.start(name, faults.get(name))

    @property
    def done(self) -> bool:
        """Whether the server has ended well and all sites have scored."""
        return self.processes["server"].exitcode == 0 and all(
            (self.folder / f"site{number}" / "done").exists() for number in range(SITES)
        )

    def mend(self) -> None:
        """Start again what has ended, as long as the round is not done."""
        for name, process in list(self.processes.items()):
            if not process.is_alive() and not self.done:
                process.join()
                self.start(name)

    def kill(self, name: str) -> None:
        """Kill a process, at once."""
        self.processes[name].kill()
        self.processes[name].join()

    def end(self) -> int:
        """End the sites; return how many processes are left that nobody knows."""
        for process in self.processes.values():
            process.kill()
            process.join()
        for path in self.folder.glob("*.socket"):
            path.unlink()
        return len(multiprocessing.active_children())

    def whole_pieces(self) -> set[str]:
        """Return the fingerprints, as ledgers have them, of the pieces that have arrived."""
        return {path.stem[:12] for path in self.folder.glob("server/pieces/*/*/*.json")}

    def sent(self) -> Counter[str]:
        """Return how often each piece, by its fingerprint, has left a site."""
        return Counter(
            entry.detail.split()[-1]
            for number in range(SITES)
            for entry in Ledger(self.folder / f"site{number}" / "ledger.jsonl").entries()
            if entry.what == "embeddings"
        )

    def outcome(self) -> dict[str, str]:
        """Return the sha256 of each file that the round is for: classifiers, and scores of all sites."""
        return {
            str(path.relative_to(self.folder)): storage.sha256(path)
            for pattern in ("server/classifiers/*/model.safetensors", "site*/scores/*.csv")
            for path in sorted(self.folder.glob(pattern))
        }


Disturb = Callable[[Deployment, random.Random, float], int]
"""What breaks a round that runs, and took so many seconds undisturbed; returns how often it did."""


def killed(names: list[str]) -> Disturb:
    """Return a disturbance: one to three times, one of the processes is killed at a random moment."""

    def disturb(deployment: Deployment, chance: random.Random, seconds: float) -> int:
        times = chance.randint(1, 3)
        for _ in range(times):
            until(deployment, time.monotonic() + chance.uniform(0, seconds))
            if deployment.done:
                return _
            deployment.kill(chance.choice(names))
        return times

    return disturb


def frozen(deployment: Deployment, chance: random.Random, seconds: float) -> int:
    """Stop a process for a second."""
    until(deployment, time.monotonic() + chance.uniform(0, seconds))
    process = deployment.processes[chance.choice(NAMES)]
    if process.pid is None or not process.is_alive():
        return 0
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1)
    os.kill(process.pid, signal.SIGCONT)
    return 1


def second_server(deployment: Deployment, chance: random.Random, seconds: float) -> int:
    """Start a second server on the folder of the first, as soon as that has it."""
    lock = deployment.folder / "server" / "lock"
    while not (lock.exists() and lock.read_text()) and not deployment.done:
        time.sleep(0.005)
    second = _fork.Process(target=run_server, args=(deployment.folder, deployment.round, Fault()))
    second.start()
    second.join()
    return 1


def nothing(deployment: Deployment, chance: random.Random, seconds: float) -> int:
    """Leave it alone: what breaks is a `Fault`, or lies on the disk."""
    return 0


def until(deployment: Deployment, deadline: float) -> None:
    """Mend what has ended until then, or the round is done."""
    while time.monotonic() < deadline and not deployment.done:
        deployment.mend()
        time.sleep(0.005)


def faults(kind: str, chance: random.Random) -> dict[str, Fault]:
    """Return what goes wrong inside the processes of a round of this kind."""
    site = f"site{chance.randrange(SITES)}"
    return {
        "disk full at the server": {"server": Fault(full_after=chance.randrange(60))},
        "disk full at a site": {site: Fault(full_after=chance.randrange(25))},
        "network cut in mid-piece": {site: Fault(cut_at=chance.randint(1, 3))},
        "clock an hour off": {chance.choice(NAMES): Fault(clock_hours=chance.choice([-1, 1]))},
    }.get(kind, {})


KINDS: dict[str, Disturb] = {
    "server killed": killed(["server"]),
    "site killed": killed(NAMES[1:]),
    "any killed": killed(NAMES),
    "frozen for a second": frozen,
    "disk full at the server": nothing,
    "disk full at a site": nothing,
    "network cut in mid-piece": nothing,
    "clock an hour off": nothing,
    "two servers on one folder": second_server,
    **{f"a bit changed: {what}": nothing for what in ON_DISK},
}


def swap_a_bit(deployment: Deployment, kind: str, chance: random.Random) -> int:
    """Change one bit of one file of a kind, where the last round left one."""
    pattern = ON_DISK.get(kind.removeprefix("a bit changed: "))
    found = sorted(deployment.folder.glob(pattern)) if pattern else []
    if not found:
        return 0
    path = chance.choice(found)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return 1


def break_a_round(
    deployment: Deployment, kind: str, chance: random.Random, seconds: float, report: Report
) -> None:
    """Run a round in which something breaks; add what came of it to the report."""
    began = time.monotonic()
    broken = swap_a_bit(deployment, kind, chance)
    arranged = faults(kind, chance)
    known, before = deployment.whole_pieces(), deployment.sent()
    if "piece" in kind and broken:
        known = set()  # one of them is rightly asked for again
    deployment.begin(arranged)
    broken += KINDS.get(kind, nothing)(deployment, chance, seconds) + len(arranged)
    deadline = time.monotonic() + LONGEST_SECONDS
    while not deployment.done and deployment.starts < MOST_STARTS and time.monotonic() < deadline:
        deployment.mend()
        time.sleep(0.005)
    report.left_running += deployment.end()
    errors = [line for name in NAMES for line in said(deployment.folder / name)]
    report.rounds += 1
    report.disturbances += broken
    report.said += sum(line["code"] != UNEXPECTED for line in errors)
    report.unexpected += sum(line["code"] == UNEXPECTED for line in errors)
    report.examples += [
        line.get("trace", line["error"]) for line in errors if line not in report.examples
    ]
    sent_now = deployment.sent() - before
    report.sent_twice += sum(times for piece, times in sent_now.items() if piece in known)
    report.left_on_disk += sum(
        bool(TEMPORARY.fullmatch(path.name)) for path in deployment.folder.rglob("*")
    )
    report.seconds += time.monotonic() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=120)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="kinds that hold this word")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    chance = random.Random(chosen.seed)
    kinds = [kind for kind in KINDS if chosen.only in kind]
    reports = {kind: Report() for kind in kinds}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_recordings(root / "data")
        for round_ in ROUNDS:
            run_at_once(root / "data", root / "warm", round_)
        wanted: dict[Round, dict[str, str]] = {}
        took: dict[Round, float] = {}
        for round_ in ROUNDS:
            folder = root / f"{round_.sharing}{round_.algorithm}"
            undisturbed, report = Deployment(folder, round_), Report()
            break_a_round(undisturbed, UNDISTURBED, chance, 0, report)
            wanted[round_], took[round_] = undisturbed.outcome(), report.seconds
        for number in range(chosen.rounds):
            kind = kinds[number % len(kinds)]
            round_ = ROUNDS[number // len(kinds) % len(ROUNDS)]
            folder = root / "broken"
            if kind.startswith("a bit changed"):
                round_ = next(
                    r
                    for r in (ROUNDS[(number + n) % 3] for n in range(3))
                    if list((root / f"{r.sharing}{r.algorithm}").glob(ON_DISK[kind[15:]]))
                )
                shutil.copytree(root / f"{round_.sharing}{round_.algorithm}", folder)
            deployment = Deployment(folder, round_)
            break_a_round(deployment, kind, chance, took[round_], reports[kind])
            found = deployment.outcome()
            differs = sorted(k for k in wanted[round_] if wanted[round_][k] != found.get(k))
            reports[kind].same_bytes += not differs and deployment.done
            if differs or not deployment.done:
                reports[kind].examples.append(
                    f"round {number}, done: {deployment.done}, {differs} differ"
                )
            shutil.rmtree(folder)
            if chosen.json:  # after each, in case nobody waits for the last
                write(chosen.json, reports, number + 1, chosen.seed)
    show(reports)
    sys.exit(
        any(r.same_bytes < r.rounds or r.unexpected or r.left_running for r in reports.values())
    )


def write(path: Path, reports: dict[str, Report], rounds: int, seed: int) -> None:
    """Write what has come of the rounds so far."""
    kinds = {}
    for kind, report in reports.items():
        row = {key: value for key, value in vars(report).items() if key != "examples"}
        kinds[kind] = {**row, "seconds": round(report.seconds, 1)}
    storage.write_json(path, {"rounds": rounds, "seed": seed, "kinds": kinds})


def show(reports: dict[str, Report]) -> None:
    """Print the table, and whatever was not expected."""
    columns = ["rounds", "disturbances", "same_bytes", "said", "sent_twice", "unexpected"]
    columns += ["left_running", "left_on_disk"]
    print("| what breaks | " + " | ".join(name.replace("_", " ") for name in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for kind, report in reports.items():
        print(f"| {kind} | " + " | ".join(str(vars(report)[name]) for name in columns) + " |")
    for kind, report in reports.items():
        for text in list(dict.fromkeys(report.examples))[:4]:
            print(f"\n{kind}: {text}")


if __name__ == "__main__":
    main()
