"""How many normal clips a clip is compared with, against how many there are (`LocalDensity`).

    python benchmarks/neighbours.py --out runs/neighbours

Four kinds of simulated machines, two individuals each, at three levels of noise; each is scored after the
whitening that it has alone and the one that its neighbours give it. Printed is the mean AUC over
machines, noises and both scores. No recording of the testbed is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from thrum.bench.few_clips.draws import Case, situation
from thrum.bench.few_clips.methods import Means
from thrum.bench.once import embedded
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.detectors.local_density import LocalDensity
from thrum.embedders.base import create_embedder
from thrum.evaluation.metrics import auc
from thrum.systems.embedding_sharing.statistics import Whitened, mean_frames
from thrum.types import Clip

NOISES = {3.0: 31, -3.0: 32, 0.0: 33}
"""Signal to noise in dB, and the seed of its machines."""
CLIPS = (20, 50, 100, 150, None)
NEIGHBOURS = (1, 2, 3, 4, 6)


def main() -> None:
    """Print a line for each embedder and number of clips."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/neighbours"))
    out = parser.parse_args().out
    print("embedder    clips", *(f"{number:>7}" for number in NEIGHBOURS), " neighbours")
    for embedder in ("modulation", "logmel"):
        found: dict[int | None, list[list[float]]] = {clips: [] for clips in CLIPS}
        for snr_db, seed in NOISES.items():
            for clips, values in _measured(out, embedder, snr_db=snr_db, seed=seed).items():
                found[clips] += values
        for clips, values in found.items():
            means = " ".join(f"{100 * mean:7.2f}" for mean in np.mean(values, axis=0))
            print(f"{embedder:12}{clips or 'all (240)':>9} {means}", flush=True)


def _measured(
    out: Path, embedder: str, *, snr_db: float, seed: int
) -> dict[int | None, list[list[float]]]:
    """Return AUCs by number of clips; a row is one machine and score, its columns are `NEIGHBOURS`."""
    folder = out / f"{snr_db:+.0f}dB"
    if not folder.exists():
        machines = SyntheticConfig(
            kinds=("fan", "gearbox", "pump", "valve"),
            individuals=2,
            train_clips=240,
            test_normal_clips=60,
            test_anomaly_clips=60,
            duration_seconds=4.0,
            snr_db=snr_db,
            seed=seed,
        )
        write_dataset(machines, folder)
    dataset = open_dataset(folder)
    store = embedded(dataset, create_embedder(embedder), out / "embeddings")

    def frames_of(clip: Clip) -> np.ndarray:
        return np.asarray(store.frames(clip))

    means = Means(frames_of)
    found: dict[int | None, list[list[float]]] = {clips: [] for clips in CLIPS}
    for clips, rows in found.items():
        for key in dataset.machine_keys:
            now = situation(dataset, key, Case(clips, "full"), seed=0)
            own, test = (mean_frames([frames_of(c) for c in of]) for of in (now.own, now.test))
            labels = np.array([clip.label == "anomaly" for clip in now.test])
            for whitened in (Whitened().fit(own), Whitened(means.pool(now)).fit(own)):
                near, far = whitened.blend_(own), whitened.blend_(test)
                rows.append(
                    [
                        auc(labels, LocalDensity(neighbours=k).fit(near).anomaly_score(far))
                        for k in NEIGHBOURS
                    ]
                )
    return found


if __name__ == "__main__":
    main()
