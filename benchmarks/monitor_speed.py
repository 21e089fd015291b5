"""How long a judgement takes: cold, as a command, and warm, in a process that waits for clips.

    python benchmarks/monitor_speed.py --json docs/results/monitoring/speed.json

A k-NN on the embedder `modulation` learns 60 clips of 10 s. *Cold*: processor seconds of `thrum score` of one
clip, over those of `python -c "import torch"`, the median of several in turns. *Warm*: processor milliseconds
of `Monitor.judge` of one file (decoding, embedding, score, p-value, operating state), one thread.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import thrum
from thrum import audio, storage
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import Condition, draw_machine, simulate
from thrum.monitoring.opening import prepare_monitors
from thrum.systems.baselines.knn import Config


def processor_seconds(words: list[str]) -> float:
    """Return the processor seconds of a command, its children's included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=5)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    machine = draw_machine("fan", 0, seed=0)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for number in range(61):
            sound = simulate(machine, Condition(80, 60), seed=number)
            folder = "new" if number == 60 else "data/fan/normal"
            audio.write(root / folder / f"{number:02d}.wav", sound, 16000)
        clips = list(open_dataset(root / "data").where(split="train"))
        system = thrum.create_system("knn", Config(embedder="modulation"), device="cpu").fit(clips)
        system.save(root / "run")
        prepare_monitors(root / "run", system, clips, when="", who="")
        new = root / "new" / "60.wav"
        cold, plain = [], []
        for _ in range(chosen.times):
            plain.append(processor_seconds([sys.executable, "-c", "import torch"]))
            words = [sys.executable, "-m", "thrum", "score", str(root / "run"), str(new)]
            cold.append(processor_seconds(words))
        monitor = thrum.open_monitor(root / "run", device="cpu")
        stream = monitor.stream()
        warm = []
        for _ in range(8 * chosen.times):
            started = time.process_time()
            monitor.judge(new, stream=stream)
            warm.append(1000 * (time.process_time() - started))
    ratio = statistics.median(np.array(cold) / np.array(plain))
    rows = [
        ["what", "median"],
        ['`thrum score` of one clip over `python -c "import torch"`', f"{ratio:.2f}"],
        ["a warm judgement, milliseconds", f"{statistics.median(warm[8:]):.0f}"],
    ]
    for row in rows:
        print(" | ".join(row))
    if chosen.json:
        storage.write_json(chosen.json, {"speed": rows})


if __name__ == "__main__":
    main()
