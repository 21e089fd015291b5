"""How often is a fault taken for a state never heard, and not for a fault? The table of docs/results.md.

    python benchmarks/states.py --shared ../shared --json docs/results/monitoring/states.json

*Simulated*: of each kind one machine is learnt by k-NN on log-mel (60 normal clips of 4 s at 12 dB, one speed
and load), then judged: normal clips, and clips of each fault at two severities. *Recorded*: the machines of
the testbed's ``audio`` (with --shared), their normal test clips and their anomalies. Printed are, in per cent
of the clips: called an unknown state or off, and beside it those with p ≤ 0.05, whatever they are called.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import thrum
from thrum import audio, storage
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import FAULTS, Condition, draw_machine, simulate_scene
from thrum.monitoring import Judgement, Monitor
from thrum.monitoring.opening import prepare_monitors
from thrum.types import Clip, group_by_machine

RATE, SECONDS = 16000, 4.0
CONDITION = Condition(80, 60)
SEVERITIES = (0.5, 1.0)


def learnt(clips: Sequence[Clip], run: Path) -> Path:
    system = thrum.create_system("knn", device="cpu").fit(clips)
    system.save(run)
    prepare_monitors(run, system, clips, when="", who="")
    return run


def shares(judged: Sequence[Judgement]) -> list[str]:
    unknown = [one.state in ("unknown state", "off") for one in judged]
    strange = [one.p is not None and one.p <= 0.05 for one in judged]
    return [str(len(judged)), *(f"{100 * sum(own) / len(own):.0f}" for own in (unknown, strange))]


def simulated(kind: str, root: Path, train: int, clips: int) -> list[list[str]]:
    machine = draw_machine(kind, 0, seed=1)

    def recorded(folder: Path, number: int, fault: str | None, severity: float) -> Path:
        scene = simulate_scene(
            machine,
            CONDITION,
            fault=fault,
            severity=severity,
            seed=number,
            duration_seconds=SECONDS,
            snr_db=12.0,
        )
        path = folder / f"{number:04d}.wav"
        audio.write(path, scene.audio, RATE)
        return path

    for number in range(train):
        recorded(root / "data" / kind / "normal", 1000 + number, None, 0.0)
    run = learnt(list(open_dataset(root / "data").where(split="train")), root / "run")
    monitor = thrum.open_monitor(run, device="cpu")

    def judged(fault: str | None, severity: float) -> list[str]:
        paths = [recorded(root / f"{fault}{severity}", n, fault, severity) for n in range(clips)]
        return shares(monitor.judge(paths))

    rows = [[kind, "none", "", *judged(None, 0.0)]]
    for fault in FAULTS[kind]:
        rows += [
            [kind, fault, f"{severity:g}", *judged(fault, severity)] for severity in SEVERITIES
        ]
    return rows


def real(shared: Path, run: Path) -> list[list[str]]:
    dataset = open_dataset(shared / "testbed" / "audio")
    learnt(list(dataset.where(split="train")), run)
    rows = []
    for key, own in group_by_machine(dataset.where(split="test")).items():
        monitor: Monitor = thrum.open_monitor(run, "/".join(key), device="cpu")
        for label in ("normal", "anomaly"):
            clips = [clip for clip in own if clip.label == label]
            if clips:
                rows.append(["/".join(key), label, "", *shares(monitor.judge(clips))])
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--train", type=int, default=60)
    options.add_argument("--clips", type=int, default=20, help="of each fault and severity")
    options.add_argument("--shared", type=Path, default=Path("../shared"))
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    header = ["machine", "fault", "severity", "clips", "unknown or off, %", "p ≤ 0.05, %"]
    made: dict[str, list[list[str]]] = {"simulated": [header], "recorded": [header]}
    for kind in FAULTS:
        with tempfile.TemporaryDirectory() as temporary:
            rows = simulated(kind, Path(temporary), chosen.train, chosen.clips)
        for row in rows:
            print(" | ".join(row), flush=True)
        made["simulated"] += rows
    with tempfile.TemporaryDirectory() as temporary:
        made["recorded"] += real(chosen.shared, Path(temporary))
    for row in made["recorded"]:
        print(" | ".join(row), flush=True)
    if chosen.json:
        storage.write_json(chosen.json, made)


if __name__ == "__main__":
    main()
