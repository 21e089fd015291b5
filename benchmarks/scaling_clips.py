"""What embedding, a round, training, scoring and reports cost against the number of clips, as users run them.

    python benchmarks/scaling_clips.py --clips 100 1000 10000 --json docs/results/speed/scaling_clips.json

Four machines; clips are a second of tones in noise, in DCASE's layout, so that what is measured is what a
clip costs beside its length (docs/embedders.md has that). `embed` embeds so many clips by log-mel, `round` is
a round of sharing statistics with so many training clips, `train` tests k-NN on so many after training on
128, `train and report` is the same with its report, `score` scores so many files with that run. Each runs on
one thread; processor seconds and the largest memory are those of the process and all that it starts.

The JSON has ``rows`` (``command``, ``clips``, ``wall_seconds``, ``processor_seconds``,
``largest_mebibytes``) and is written after each row.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from thrum import storage

MACHINES = ("id_00", "id_02", "id_04", "id_06")
RATE = 16000
FEW = 128
"""Training clips where it is the others that are counted, and test clips where it is the training ones."""


def write_clips(folder: Path, count: int, *, split: str, seed: int) -> None:
    """Write `count` clips of a second, a quarter of each machine's; half of the test clips have a fault."""
    (folder / split).mkdir(parents=True)
    random = np.random.default_rng(seed)
    seconds = np.arange(RATE) / RATE
    for number in range(count):
        machine = number % len(MACHINES)
        faulty = split == "test" and number // len(MACHINES) % 2 == 1
        hum = 90.0 + 25.0 * machine + random.normal(scale=0.5)
        sound = 0.02 * random.normal(size=RATE)
        for harmonic in range(1, 5):
            sound += 0.1 / harmonic * np.sin(2 * np.pi * hum * harmonic * seconds)
        if faulty:
            sound += 0.05 * np.sin(2 * np.pi * 2300.0 * seconds)
        label = "anomaly" if faulty else "normal"
        name = f"{label}_{MACHINES[machine]}_{number:08d}.wav"
        soundfile.write(folder / split / name, sound, RATE, subtype="PCM_16")


def measured(words: list[str]) -> dict[str, Any]:
    """Run a command of thrum; return what it took."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "thrum", *words],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 3):  # 3: there were alarms
            said.seek(0)
            raise SystemExit(f"thrum {' '.join(words)}\n{said.read().decode()}")
    return {
        "wall_seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "largest_mebibytes": round(used.ru_maxrss / 1024),
    }


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the words of each command, in the order in which they build on one another."""
    data, run = ["--data", str(folder / "tested")], str(folder / "run")
    tested = str(folder / "tested" / "pump" / "test")
    train = ["train", "--system", "knn", *data]
    sites = ["collaborate", "simulate", "--sharing", "statistics", "--embedder", "logmel"]
    return {
        "embed": ["embed", "--embedder", "logmel", *data, "--out", str(folder / "store")],
        "round": [
            *sites,
            "--data",
            str(folder / "learnt"),
            "--no-report",
            "--out",
            f"{run}-of-sites",
        ],
        "train": [*train, "--no-report", "--out", run],
        "train and report": [*train, "--out", f"{run}-told"],
        "score": ["score", run, tested, "--machine", "pump/id_00", "--out", f"{run}.csv"],
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--clips", type=int, nargs="+", default=[100, 1000, 10000])
    options.add_argument("--only", nargs="+", help="names of commands; `score` wants `train`")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    rows: list[dict[str, Any]] = []
    print(
        "| command | clips | wall s | processor s | memory MiB |\n| --- | --- | --- | --- | --- |"
    )
    for clips in chosen.clips:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_clips(folder / "tested" / "pump", FEW, split="train", seed=0)
            write_clips(folder / "tested" / "pump", clips, split="test", seed=1)
            write_clips(folder / "learnt" / "pump", clips, split="train", seed=2)
            write_clips(folder / "learnt" / "pump", FEW, split="test", seed=3)
            os.environ["THRUM_CACHE"] = str(folder / "cache")
            for name, words in commands(folder).items():
                if chosen.only and name not in chosen.only:
                    continue
                rows.append({"command": name, "clips": clips, **measured(words)})
                print("| " + " | ".join(str(cell) for cell in rows[-1].values()) + " |", flush=True)
                if chosen.json:
                    storage.write_json(chosen.json, {"rows": rows})
            shutil.rmtree(folder / "store", ignore_errors=True)


if __name__ == "__main__":
    main()
