"""What a long recording costs each verb: CPU seconds, and the most memory that a process of its own took.

    python benchmarks/long_recordings.py [--hours 24] [--folder /tmp/long]

The recording is made block by block and removed at the end. Memory is what the process could not give back
(anonymous pages, sampled), and the most that it had in all with the files that it mapped.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
VERBS = ("data check", "embed", "train", "score", "simulate")


HALF_AN_HOUR = 0.5  # of a second machine, that a collaboration needs


def write(path: Path, hours: float, *, seed: int) -> None:
    """Write a machine that hums, minute by minute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    time_axis = np.arange(60 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * k * 110 * time_axis) / k for k in (1, 2, 3))
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(round(hours * 60)):
            file.write(
                0.1 * random.uniform(0.8, 1.2) * tones + 0.03 * random.normal(size=60 * RATE)
            )


def words(verb: str, folder: Path, system: str) -> list[str]:
    """Return the command of a verb."""
    data, run = folder / "data", folder / "run"
    return {
        "data check": ["data", "check", str(data), "--json"],
        "embed": [
            "embed",
            "--embedder",
            "logmel",
            "--data",
            str(data),
            "--out",
            str(folder / "emb"),
        ],
        "train": [
            "train",
            "--system",
            system,
            "--data",
            str(data),
            "--out",
            str(run),
            "--no-report",
        ],
        "score": [
            "score",
            str(run),
            str(folder / "new" / "day.wav"),
            "--out",
            str(folder / "s.csv"),
        ],
        "simulate": [
            *["collaborate", "simulate", "--data", str(folder / "two"), "--embedder", "logmel"],
            *["--out", str(folder / "round"), "--no-report"],
        ],
    }[verb]


def measured(command: list[str]) -> tuple[float, float, float, int]:
    """Run a command; return CPU seconds, the most anonymous and resident MB, and the exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "thrum", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    anonymous = resident = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        anonymous = max(anonymous, int(found.get("RssAnon", "0 kB").split()[0]))
        resident = max(resident, int(found.get("VmHWM", "0 kB").split()[0]))
        time.sleep(0.2)
    code = process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, anonymous / 1024, resident / 1024, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/thrum-long"))
    parser.add_argument("--system", default="knn")
    parser.add_argument("--verbs", nargs="+", default=list(VERBS), choices=VERBS)
    arguments = parser.parse_args()
    folder = arguments.folder
    try:
        write(folder / "data" / "press" / "normal" / "day.wav", arguments.hours, seed=0)
        (folder / "two" / "press").mkdir(parents=True)
        (folder / "two" / "press" / "day.wav").symlink_to(
            folder / "data" / "press" / "normal" / "day.wav"
        )
        if "score" in arguments.verbs:  # sound that the run does not know
            write(folder / "new" / "day.wav", arguments.hours, seed=2)
        write(folder / "two" / "lathe" / "short.wav", HALF_AN_HOUR, seed=1)
        size = (folder / "data" / "press" / "normal" / "day.wav").stat().st_size
        print(f"{arguments.hours:g} h at {RATE} Hz, {size / 1e9:.2f} GB, system {arguments.system}")
        for verb in arguments.verbs:
            seconds, anonymous, resident, code = measured(words(verb, folder, arguments.system))
            print(
                f"{verb:<12} {seconds:8.0f} s of CPU {anonymous:8.0f} MB of its own {resident:8.0f} MB with "
                f"mapped files  exit code {code}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
