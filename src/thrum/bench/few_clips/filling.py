"""A cell of learning curves: every machine ID that has anomalies is the one with few clips, in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrum.bench.few_clips import methods, training
from thrum.bench.few_clips.config import Config
from thrum.bench.few_clips.draws import Case, MachineKey, Situation, situation
from thrum.bench.once import embedded
from thrum.embedders.base import create_embedder
from thrum.errors import DatasetError
from thrum.evaluation.table import results_of, write_results, write_scores
from thrum.privacy.mechanisms import release
from thrum.types import Clip, Dataset, Progress, Scores

if TYPE_CHECKING:
    from thrum.bench.cells import Cell

Score = Callable[[Situation, Case], Mapping[str, NDArray[np.float64]]]


def methods_of(config: Config) -> tuple[str, ...]:
    """Return the methods whose scores a run of `config` has."""
    return {
        "nothing": methods.METHODS,
        "classifier": training.CLASSIFIER_METHODS,
        "joins": training.JOINS_METHODS,
        "autoencoder": training.AUTOENCODER_METHODS,
        "harms": tuple(methods.HARM_CASES),
    }[config.learns]


def fill(cell: Cell, dataset: Dataset, folder: Path, progress: Progress | None) -> dict[str, Any]:
    """Score the test clips of every machine ID with anomalies in every case; the cell's seed is the draw.

    Raises
    ------
    DatasetError
        Where no machine ID has anomalies, or one has fewer than two training clips.
    """
    config = cell.config()
    keys = scored(dataset)
    if not keys:
        raise DatasetError(f"{dataset.root} has no test clips of both labels: nothing to score")
    score = _scoring(cell, config, dataset, folder, progress)
    results = []
    for number, key in enumerate(keys):
        columns: dict[str, NDArray[np.float64]] = {}
        for done, case in enumerate(config.cases, start=1):
            now = situation(dataset, key, case, seed=cell.seed)
            columns.update({case.called(m): own for m, own in score(now, case).items()})
            if progress is not None:
                total = len(keys) * len(config.cases)
                progress("few clips", number * len(config.cases) + done, total)
        scores = Scores(now.test, columns, next(iter(columns)))
        write_scores(folder / "scores", scores)
        results += results_of(scores, seed=cell.seed)
    write_results(folder / "results.csv", results)
    return {"machines": keys, "selected": methods_of(config)[0], "id_accuracy": []}


def scored(dataset: Dataset) -> list[MachineKey]:
    """Return the machine IDs that have normal and anomalous test clips."""
    labels: dict[MachineKey, set[str | None]] = {}
    for clip in dataset.where(split="test"):
        labels.setdefault(clip.machine_key, set()).add(clip.label)
    return sorted(key for key, own in labels.items() if {"normal", "anomaly"} <= own)


def _scoring(
    cell: Cell, config: Config, dataset: Dataset, folder: Path, progress: Progress | None
) -> Score:
    """Return what scores a situation."""
    if config.learns == "autoencoder":
        return lambda now, case: training.autoencoder_scores(
            now,
            config.autoencoder,
            seed=cell.seed,
            device=cell.device,
            folder=folder / "work" / f"{'_'.join(now.key)}-{case.called('').strip('@')}",
        )
    embedder = create_embedder("precomputed" if dataset.holds == "features" else config.embedder)
    store = embedded(
        dataset, embedder, cell.out / "embeddings", device=cell.device, progress=progress
    )

    def frames_of(clip: Clip) -> methods.Frames:
        return release(store.frames(clip))

    means = methods.Means(frames_of)
    if config.learns == "harms":
        return lambda now, case: methods.harm_scores(now, means, seed=cell.seed)
    if config.learns == "nothing":
        return lambda now, case: methods.scores_of(now, means)
    classifiers = training.Classifiers(
        cell.out / "classifiers", config.sharing, embedder, device=cell.device
    )
    if config.learns == "joins":
        return lambda now, case: training.joins_scores(
            now, frames_of, classifiers, progress=progress
        )
    return lambda now, case: training.classifier_scores(
        now, frames_of, means, classifiers, seed=cell.seed, progress=progress
    )
