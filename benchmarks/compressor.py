"""One compressor over days: false alarms, drift, confirmed clips, states. Tables of docs/results.md.

    python benchmarks/compressor.py --shared ../shared --json docs/results/monitoring/compressor.json

k-NN on log-mel learns "Rest" of 27 March (98 clips) or "Run" of 2 March (50). *Days*: the later days as one
stream, under three rules. *Confirmed*: ten clips, drawn at random or the first ten, are confirmed as the new
normal sound (--renew where the state is known); the rate of p ≤ 0.1 among the others, mean over draws.
*States*: what a monitor that knows one state says of the others.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import thrum
from thrum import storage
from thrum.datasets import open_dataset
from thrum.monitoring import AlarmSettings, Monitor, changing
from thrum.monitoring.opening import prepare_monitors
from thrum.types import Clip

RULES = {
    "stream, one in 1000": AlarmSettings("stream", 1000),
    "3 of 5, one in 100": AlarmSettings("x of y", 100),
    "clip, one in 20": AlarmSettings("clip", 20),
}
Table = list[list[str]]


def opened(run: Path, machine_id: str, alarms: AlarmSettings | None = None) -> Monitor:
    return thrum.open_monitor(run, f"aircompressor/{machine_id}", alarms=alarms, device="cpu")


def days(run: Path, sounds: dict[str, list[Clip]]) -> Table:
    table = [
        [
            "sound",
            "rule",
            "clips",
            "alarms begun",
            "clips in alarm",
            "unknown state or off",
            "drift said at",
            "alarms before",
        ]
    ]
    for name, machine_id in (
        ("Rest, 28 to 31 March", "id_00"),
        ("Run, 2 March", "id_01"),
        ("Run, 29 to 31 March", "id_01"),
    ):
        for rule, settings in RULES.items():
            judged = opened(run, machine_id, settings).judge(sounds[name])
            states = [judgement.state for judgement in judged]
            begun = [
                state == "alarm" and before != "alarm"
                for before, state in zip(["", *states], states, strict=False)
            ]
            said = next((n for n, judgement in enumerate(judged) if judgement.drift), None)
            unknown = sum(state in ("unknown state", "off") for state in states)
            before = "–" if said is None else str(states[:said].count("alarm"))
            table.append(
                [
                    name,
                    rule,
                    str(len(states)),
                    str(sum(begun)),
                    str(states.count("alarm")),
                    str(unknown),
                    "–" if said is None else f"clip {said + 1}",
                    before,
                ]
            )
    return table


def confirmed(run: Path, sounds: dict[str, list[Clip]], draws: int) -> Table:
    table = [
        ["sound", "ten clips", "p ≤ 0.1 before", "after (asked: 0.1)", "lowest and highest draw"]
    ]
    random = np.random.default_rng(0)
    for name in ("Run, 2 March", "Run, 29 to 31 March"):
        clips = sounds[name]
        for how in ("drawn at random", "the first ten"):
            before, after = [], []
            for _ in range(draws if how == "drawn at random" else 1):
                order = (
                    random.permutation(len(clips))
                    if how == "drawn at random"
                    else np.arange(len(clips))
                )
                chosen, rest = [clips[n] for n in order[:10]], [clips[n] for n in order[10:]]
                monitor = opened(run, "id_01")
                before.append(rate(monitor, rest))
                renew = monitor.judge(chosen)[0].state != "unknown state"
                changing.add(monitor, chosen, changing.Signed("", "benchmark"), renew=renew)
                after.append(rate(monitor, rest))
                monitor.history.undo(to=1, when="", who="benchmark", why="")
            spread = f"{min(after):.2f} and {max(after):.2f}" if len(after) > 1 else ""
            table.append([name, how, f"{np.mean(before):.2f}", f"{np.mean(after):.2f}", spread])
    return table


def rate(monitor: Monitor, clips: list[Clip]) -> float:
    return float(np.mean([judgement.p <= 0.1 for judgement in monitor.judge(clips)]))


def states(run: Path, sounds: dict[str, list[Clip]]) -> Table:
    table = [["monitor knows", "sound", "clips", "states said"]]
    for known, machine_id in (("Rest", "id_00"), ("Run, 2 March", "id_01")):
        for name, clips in sounds.items():
            judged = opened(run, machine_id).judge(clips)
            counts = Counter(judgement.state for judgement in judged)
            told = ", ".join(f"{count} {state}" for state, count in counts.most_common())
            table.append([known, name, str(len(clips)), told])
    return table


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shared", type=Path, default=Path("../shared"))
    options.add_argument("--draws", type=int, default=20)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    root = chosen.shared / "testbed" / "drift"
    with (root / "manifest.csv").open() as file:
        when = {root / row["file"]: row["time"] for row in csv.DictReader(file)}
    dataset = open_dataset(root)
    ordered = sorted(dataset, key=lambda clip: when[clip.path])
    test = [clip for clip in ordered if clip.split == "test"]
    sounds = {
        "Rest, 28 to 31 March": [c for c in test if c.machine_key == ("aircompressor", "id_00")],
        "Run, 2 March": [c for c in test if c.machine_id == "id_01" and when[c.path] < "20260310"],
        "Run, 29 to 31 March": [
            c for c in test if c.machine_id == "id_01" and when[c.path] > "20260310"
        ],
        "Off": [c for c in test if c.machine == "aircompressor_off"],
    }
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary)
        clips = [clip for clip in dataset if clip.split == "train"]
        system = thrum.create_system("knn", device="cpu").fit(clips)
        system.save(run)
        prepare_monitors(run, system, clips, when="", who="benchmark")
        made = {
            "days": days(run, sounds),
            "states": states(run, sounds),
            "confirmed": confirmed(run, sounds, chosen.draws),
        }
    for name, table in made.items():
        print(f"{name}:")
        for row in table:
            print(" | ".join(row))
    if chosen.json:
        storage.write_json(chosen.json, made)


if __name__ == "__main__":
    main()
