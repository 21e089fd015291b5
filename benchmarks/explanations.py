"""Do explanations point at the fault? Simulated machines, whose faults lie where the simulator put them.

    python benchmarks/explanations.py --json docs/results/monitoring/explanations.json

Of each kind one machine is learnt by k-NN on log-mel (60 normal clips of 4 s at 12 dB, one speed and load),
and faulty clips of severity 1 are explained. Each has a twin without the fault: the region of a fault are the
patches in which what it adds is at least half as loud as all else. A fault is local in a clip where that is
at most a third of all patches. Printed, by fault: how many clips are local and called suspicious at 5 %; in
which share of those the strongest patch lies in the region; beside it a uniform guess, and the patch in which
the clip differs most in level from the nearest normal clip.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import thrum
from thrum import audio, storage
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import FAULTS, Condition, draw_machine, simulate_scene
from thrum.monitoring.explanation import explain, nearest
from thrum.monitoring.heard import hear
from thrum.monitoring.occlusion import HOP, TIMES, WINDOW, band_powers
from thrum.monitoring.opening import prepare_monitors

RATE = 16000
SECONDS = 4.0
CONDITION = Condition(80, 60)
LOCAL = 1 / 3
HALF = 0.5


def patches(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power (T, F) of the patches that explanations are made of."""
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    transform = ShortTimeFFT(hann(WINDOW, sym=False), HOP, RATE, scale_to="magnitude")
    power = np.abs(transform.stft(sound)) ** 2
    at = np.array_split(np.arange(power.shape[1]), TIMES)
    return np.stack([band_powers(power[:, own].mean(axis=1), transform.f) for own in at])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--train", type=int, default=60)
    options.add_argument("--clips", type=int, default=8, help="faulty clips of each fault")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    found: dict[tuple[str, str], list[tuple[bool, float, bool]]] = defaultdict(list)
    made: dict[tuple[str, str], int] = {}
    for kind, faults in FAULTS.items():
        machine = draw_machine(kind, 0, seed=1)
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            settings = {"duration_seconds": SECONDS, "snr_db": 12.0}
            for number in range(chosen.train):
                scene = simulate_scene(machine, CONDITION, seed=1000 + number, **settings)
                path = root / "data" / kind / "normal" / f"{number:03d}.wav"
                audio.write(path, scene.audio, RATE)
            clips = list(open_dataset(root / "data").where(split="train"))
            system = thrum.create_system("knn", device="cpu").fit(clips)
            system.save(root / "run")
            prepare_monitors(root / "run", system, clips, when="", who="")
            monitor = thrum.open_monitor(root / "run", device="cpu")
            for fault in faults:
                made[kind, fault] = 0
                for number in range(chosen.clips):
                    scene = simulate_scene(
                        machine,
                        CONDITION,
                        fault=fault,
                        severity=1.0,
                        seed=number,
                        with_well=True,
                        **settings,
                    )
                    added = patches(scene.machine - scene.well)
                    region = added >= HALF * patches(scene.well + scene.noise)
                    made[kind, fault] += 1
                    if not 0 < region.mean() <= LOCAL:
                        continue
                    path = root / f"{fault}{number}.wav"
                    audio.write(path, scene.audio, RATE)
                    judgement = monitor.judge(path)[0]
                    if judgement.p is None or judgement.p > 0.05:
                        continue
                    explanation = explain(monitor, judgement.clip)
                    heard = hear([judgement.clip])[0]
                    near = nearest(monitor.baseline, heard, "normal")[:1]
                    known = monitor.baseline.clips[int(near[0])]
                    own, other = patches(scene.audio), patches(audio.read(Path(known.path))[0])
                    plain = np.abs(10 * np.log10(own / other))
                    found[kind, fault].append(
                        (
                            bool(region[explanation.relevance.strongest]),
                            float(region.mean()),
                            bool(region.ravel()[plain.argmax()]),
                        )
                    )
    header = ["machine", "fault", "clips", "local and suspicious", "strongest patch in the region"]
    header += ["uniform guess", "largest difference to the nearest normal clip"]
    rows = []
    everything = [one for own in found.values() for one in own]
    for key, count in made.items():
        if own := found.get(key, []):
            rows.append([*key, str(count), str(len(own)), *means(own)])
        else:
            rows.append([*key, str(count), "0", "–", "–", "–"])
    rows.append(["all", "", str(sum(made.values())), str(len(everything)), *means(everything)])
    for row in [header, *rows]:
        print(" | ".join(row), flush=True)
    if chosen.json:
        storage.write_json(chosen.json, {"explanations": [header, *rows]})


def means(own: list[tuple[bool, float, bool]]) -> list[str]:
    return [f"{value:.2f}" for value in np.mean(np.array(own, float), axis=0)]


if __name__ == "__main__":
    main()
