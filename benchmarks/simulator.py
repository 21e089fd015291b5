"""How hard are the simulated machines, and how fast are they made? The tables of docs/simulator.md.

    python benchmarks/simulator.py --seeds 2
    python benchmarks/simulator.py --together --seeds 3

The first renders every kind (6 s clips, settings below) and prints the AUC of a level threshold and of a
k-NN (k = 2) on mean log-mel, by signal-to-noise ratio and by fault; how often the nearest neighbour among
all individuals of a kind is of the same one; and the speed of one core. The second lets the sites of the
demo learn together, once a seed, and prints what each method reaches.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.datasets.synthetic import (
    DEMO,
    FAULTS,
    KINDS,
    Scene,
    SyntheticClip,
    SyntheticConfig,
    draw_machine,
    plan,
    simulate_scene,
)
from thrum.detectors import create_detector
from thrum.embedders import create_embedder
from thrum.evaluation.metrics import auc

CONFIG = SyntheticConfig(
    individuals=3,
    train_clips=100,
    test_normal_clips=40,
    test_anomaly_clips=60,
    duration_seconds=6.0,
)
SNRS_DB = (-6.0, 0.0, 6.0, 12.0)


@dataclass(frozen=True)
class Machine:
    """One machine of one seed: its test clips and, by SNR, their k-NN scores; and their levels in dB.

    `train` and `normal` are mean log-mel vectors at the SNR of `CONFIG`.
    """

    kind: str
    seed: int
    clips: list[SyntheticClip]
    scores: dict[float, NDArray[np.float64]]
    levels_db: NDArray[np.float64]
    train: NDArray[np.float32]
    normal: NDArray[np.float32]

    def auc(self, scores: NDArray[np.float64], fault: str | None = None) -> float:
        """Return the AUC of scores of the test clips, all faults or one."""
        chosen = [clip.label == "normal" or fault in (None, clip.fault) for clip in self.clips]
        labels = np.array([clip.label == "anomaly" for clip in self.clips])
        return auc(labels[chosen], scores[chosen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--together", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.together:
        together(arguments.seeds)
        return
    machines: list[Machine] = []
    for seed in range(arguments.seeds):
        for kind in arguments.kinds:
            machines += measured(replace(CONFIG, kinds=(kind,), seed=seed))
    difficulty(machines)
    by_fault(machines)
    speed(arguments.kinds)


def measured(config: SyntheticConfig) -> list[Machine]:
    groups: dict[int, list[SyntheticClip]] = defaultdict(list)
    for clip in plan(config):
        groups[clip.index].append(clip)
    embedder = create_embedder("logmel")
    result = []
    for index, clips in groups.items():
        machine = draw_machine(clips[0].kind, index, seed=config.seed)
        means: dict[float, list[NDArray[np.float32]]] = defaultdict(list)
        levels = []
        for clip in clips:
            scene = simulate_scene(
                machine,
                clip.condition,
                fault=clip.fault,
                severity=clip.severity,
                seed=clip.seed,
                duration_seconds=config.duration_seconds,
                snr_db=config.snr_db,
            )
            for snr_db in SNRS_DB:
                audio = torch.from_numpy(remixed(scene, config.snr_db, snr_db))
                means[snr_db].append(embedder.scenes(audio[None])[0].numpy())
            levels.append(10 * np.log10(np.mean(scene.audio**2)))
        train = np.array([clip.split == "train" for clip in clips])
        scores = {
            snr_db: create_detector("knn", neighbours=2)
            .fit(np.stack(vectors)[train])
            .anomaly_score(np.stack(vectors)[~train])
            for snr_db, vectors in means.items()
        }
        test = [clip for clip in clips if clip.split == "test"]
        vectors = np.stack(means[config.snr_db])
        result.append(
            Machine(
                kind=clips[0].kind,
                seed=config.seed,
                clips=test,
                scores=scores,
                levels_db=np.array(levels)[~train],
                train=vectors[train],
                normal=vectors[~train][[clip.label == "normal" for clip in test]],
            )
        )
    return result


def named_rightly(machines: Sequence[Machine]) -> float:
    """Return the share of normal test clips whose nearest training clip is of the same individual."""
    right = []
    for own in machines:
        rivals = [m for m in machines if (m.kind, m.seed) == (own.kind, own.seed)]
        distances = [
            np.min(np.linalg.norm(own.normal[:, None] - rival.train, axis=2), axis=1)
            for rival in rivals
        ]
        nearest = np.argmin(distances, axis=0)
        right += [rivals[index] is own for index in nearest]
    return statistics.fmean(right)


def remixed(scene: Scene, snr_db: float, wanted_db: float) -> NDArray[np.float32]:
    """Return the recording at another SNR and at the level it had."""
    mix = scene.machine + scene.noise * np.float32(10 ** ((snr_db - wanted_db) / 20))
    return mix * np.sqrt(np.mean(scene.audio**2) / np.mean(mix**2))


def difficulty(machines: Sequence[Machine]) -> None:
    print(
        "AUC, mean over individuals and seeds; in brackets the least and the greatest individual\n"
    )
    heads = " | ".join(f"k-NN, {snr_db:g} dB" for snr_db in SNRS_DB)
    print(f"| kind | level | {heads} | named rightly |")
    print("|---|---:|" + "---:|" * (len(SNRS_DB) + 1))
    for kind in [*dict.fromkeys(machine.kind for machine in machines), None]:
        own = [machine for machine in machines if kind in (None, machine.kind)]
        level = statistics.fmean(machine.auc(machine.levels_db) for machine in own)
        cells = []
        for snr_db in SNRS_DB:
            values = [machine.auc(machine.scores[snr_db]) for machine in own]
            spread = f" ({min(values):.2f} to {max(values):.2f})" if snr_db == CONFIG.snr_db else ""
            cells.append(f"{statistics.fmean(values):.3f}{spread}")
        cells.append(f"{named_rightly(own):.1%}")
        print(f"| {kind or '**mean**'} | {level:.3f} | " + " | ".join(cells) + " |")


def by_fault(machines: Sequence[Machine]) -> None:
    print(f"\nAUC of the k-NN by fault, {CONFIG.snr_db:g} dB\n")
    names = list(dict.fromkeys(fault for faults in FAULTS.values() for fault in faults))
    print("| kind | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for kind in dict.fromkeys(machine.kind for machine in machines):
        own = [machine for machine in machines if machine.kind == kind]
        cells = [
            f"{statistics.fmean(m.auc(m.scores[CONFIG.snr_db], fault) for m in own):.2f}"
            if fault in FAULTS[kind]
            else ""
            for fault in names
        ]
        print(f"| {kind} | " + " | ".join(cells) + " |")


def speed(kinds: Iterable[str]) -> None:
    print("\nSeconds of sound a second of one core's time, median over clips\n")
    for kind in kinds:
        machine = draw_machine(kind, 0, seed=0)
        seconds = []
        for clip in plan(replace(CONFIG, kinds=(kind,), individuals=1))[-21:]:
            started = time.process_time()
            simulate_scene(
                machine, clip.condition, fault=clip.fault, severity=clip.severity, seed=clip.seed
            )
            seconds.append(time.process_time() - started)
        print(f"* {kind}: {10 / statistics.median(seconds[1:]):.0f}")


def together(seeds: int) -> None:
    from thrum.datasets import open_dataset
    from thrum.datasets.synthetic import write_dataset
    from thrum.federation.inprocess import simulate
    from thrum.systems.embedding_sharing import METHODS, preset_config

    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_dataset(replace(DEMO, seed=seed), root / "data")
            results = simulate(
                open_dataset(root / "data"),
                embedder=create_embedder("modulation"),
                config=preset_config("compact"),
                folder=root / "run",
                seed=seed,
                sharing="embeddings",
            ).results
        for method in METHODS:
            values = [row.auc for row in results if row.method == method and row.auc is not None]
            if values:
                found[method].append(statistics.fmean(values))
    print("Mean AUC over the demo's sites, by seed\n")
    print("| method | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " | mean |")
    print("|---|" + "---:|" * (seeds + 1))
    for method, values in found.items():
        cells = [f"{value:.3f}" for value in (*values, statistics.fmean(values))]
        print(f"| {method} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
