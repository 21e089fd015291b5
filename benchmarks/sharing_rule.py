"""By what weights a site joins what it hears alone with what the others' pool tells it (`Statistics`).

    python benchmarks/sharing_rule.py --out runs/sharing-rule

Four kinds of simulated machines, two individuals each, at three levels of noise, with two embedders: 48
machines. Each in turn has a few normal clips (five draws), the others all of theirs. Printed are, for each
number of clips, the mean AUC, by how much the rule is below the better of what a site has alone on the
machine where it loses most (mean over draws), and how many machines lose more than a point. No recording
of the testbed is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from thrum.bench.few_clips.draws import Case, Situation, situation
from thrum.bench.few_clips.methods import FramesOf, Means
from thrum.bench.once import embedded
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.embedders.base import create_embedder
from thrum.evaluation.metrics import auc
from thrum.systems.embedding_sharing.statistics import Local, Statistics, mean_frames
from thrum.types import Clip

NOISES = {3.0: 131, -3.0: 132, 0.0: 133}
"""Signal to noise in dB, and the seed of its machines."""
CLIPS = (2, 5, 10, 20, 50, None)
DRAWS = 5
SHARES = {
    "a half": (0.5, 0.5),
    "two fifths": (0.4, 0.5),
    "three fifths": (0.6, 0.5),
    "no pool": (0.5, 0.0),
}
"""What the site's own score counts for with 100 clips, and what the pool's counts for of the rest."""


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/sharing-rule"))
    out = parser.parse_args().out
    found: dict[str, dict[int | None, list[tuple[float, float]]]] = {}
    for folder in _machines(out):
        for embedder in ("modulation", "logmel"):
            for clips, rows in _measured(folder, out / "embeddings", embedder).items():
                for name, pair in rows:
                    found.setdefault(name, {}).setdefault(clips, []).append(pair)
    print(f"{'rule':24}" + "".join(f"{clips or 'all':>20}" for clips in CLIPS))
    for name, columns in found.items():
        cells = []
        for pairs in columns.values():
            together, alone = 100 * np.array(pairs).T
            lost = alone - together
            cells.append(
                f"{together.mean():.1f} -{max(lost.max(), 0):.1f} {(lost > 1).sum()}/{len(lost)}"
            )
        print(f"{name:24}" + "".join(f"{cell:>20}" for cell in cells))


def _machines(out: Path) -> Iterator[Path]:
    """Make the machines of each level of noise, and return their folders."""
    for snr_db, seed in NOISES.items():
        folder = out / f"{snr_db:+.0f}dB"
        if not folder.exists():
            machines = SyntheticConfig(
                kinds=("fan", "gearbox", "pump", "valve"),
                individuals=2,
                train_clips=120,
                test_normal_clips=60,
                test_anomaly_clips=60,
                duration_seconds=4.0,
                snr_db=snr_db,
                seed=seed,
            )
            write_dataset(machines, folder)
        yield folder


def _measured(
    folder: Path, embeddings: Path, embedder: str
) -> dict[int | None, list[tuple[str, tuple[float, float]]]]:
    """Return, by number of clips, each machine's AUC by each rule beside the better of what it has alone."""
    dataset = open_dataset(folder)
    store = embedded(dataset, create_embedder(embedder), embeddings)

    def frames_of(clip: Clip) -> np.ndarray:
        return np.asarray(store.frames(clip))

    means = Means(frames_of)
    rows: dict[int | None, list[tuple[str, tuple[float, float]]]] = {clips: [] for clips in CLIPS}
    for clips in CLIPS:
        for key in dataset.machine_keys:
            draws = [
                _scored(means, situation(dataset, key, Case(clips, "full"), seed=draw), frames_of)
                for draw in range(DRAWS if clips else 1)
            ]
            aucs = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
            best = max(aucs["alone: k-NN"], aucs["alone: whitened"])
            rows[clips] += [(name, (value, best)) for name, value in aucs.items()]
    return rows


def _scored(means: Means, now: Situation, frames_of: FramesOf) -> dict[str, float]:
    """Return the AUC of one draw by each rule."""
    own, test = (mean_frames([frames_of(clip) for clip in of]) for of in (now.own, now.test))
    labels = np.array([clip.label == "anomaly" for clip in now.test])
    pool = means.pool(now)
    assert pool is not None
    fitted = Statistics(pool).fit(own)
    parts = [
        part.score(test) / scale for part, scale in zip(fitted.parts_, fitted.scales_, strict=True)
    ]
    scores = {"alone: k-NN": Local().fit(own).score(test)}
    scores |= dict(zip(("the blend", "the pool", "alone: whitened"), parts, strict=True))
    plenty = min(1.0, len(own) / 100)
    trust = (1 - fitted.weights_[2]) / (1 - plenty / 2)
    for name, (own_share, pool_share) in SHARES.items():
        together = trust * (1 - own_share * plenty)
        by_pool = pool_share * plenty
        weights = together * (1 - by_pool), together * by_pool, 1 - together
        scores[f"joined: {name}"] = sum(w * part for w, part in zip(weights, parts, strict=True))
    return {name: auc(labels, of) for name, of in scores.items()}


if __name__ == "__main__":
    main()
