"""The learning curves of one data set: what a site's first clips are worth, alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from thrum.bench.few_clips.draws import Case, situation
from thrum.bench.few_clips.filling import scored
from thrum.bench.few_clips.methods import FramesOf, Means, site_scores
from thrum.errors import DatasetError
from thrum.evaluation.curves import LearningCurves
from thrum.evaluation.metrics import auc
from thrum.systems.embedding_sharing import ALONE
from thrum.types import Dataset, Progress

SHOWN = {
    "local": "alone",
    "local_whitened": "alone, whitened",
    "pool": "neighbours' covariance",
    "statistics": "statistics",
}
"""The methods that are drawn, and what their lines are called."""


def learning_curves(
    dataset: Dataset,
    frames_of: FramesOf,
    *,
    clips: Sequence[int] = (2, 5, 10, 20),
    draws: int = 5,
    progress: Progress | None = None,
) -> LearningCurves | None:
    """Return AUC against the number of normal clips of the scored site, the others having all of theirs.

    Each machine ID that has anomalies is the scored site in turn; a value is the mean over them, its
    deviation that over draws of the clips. None where no machine ID can be scored, or nobody shares.

    Parameters
    ----------
    frames_of
        Gives the embedding frames (T, D) of a clip as its site releases them.
    clips
        Numbers of clips below what the machine IDs have; all of them is always the last.
    draws
        How often clips are drawn.
    """
    means = Means(frames_of)
    keys = scored(dataset)
    if not keys:
        return None
    most = max(
        (len(dataset.where(machine=m, machine_id=i, split="train")) for m, i in keys), default=0
    )
    cases = [*(Case(count, "full") for count in clips if count < most), Case(None, "full")]
    found: dict[str, dict[str, tuple[float, float]]] = {line: {} for line in SHOWN.values()}
    for number, case in enumerate(cases):
        values: dict[str, list[list[float]]] = {method: [] for method in SHOWN}
        for seed in range(draws if case.clips is not None else 1):
            try:
                nows = [situation(dataset, key, case, seed=seed) for key in keys]
            except DatasetError:  # one machine ID, or one clip: no curve
                return None
            every = [(now, site_scores(now, means)) for now in nows]
            for method, drawn in values.items():
                drawn.append(
                    [auc([c.label == "anomaly" for c in now.test], s[method]) for now, s in every]
                )
        if progress is not None:
            progress("what more clips are worth", number + 1, len(cases))
        for method, drawn in values.items():
            by_draw = 100 * np.asarray(drawn).mean(axis=1)  # (draws,)
            name = "all" if case.clips is None else str(case.clips)
            found[SHOWN[method]][name] = float(by_draw.mean()), float(by_draw.std())
    names = tuple("all" if case.clips is None else str(case.clips) for case in cases)
    title = "What a site's first normal clips are worth"
    return LearningCurves(title, "AUC", names, found, told=_told(names, found))


def _told(names: Sequence[str], found: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    def at(clips: str) -> str:
        alone = max(found[SHOWN[method]][clips][0] for method in ALONE)
        return f"{found[SHOWN['statistics']][clips][0]:.0f} (alone at best {alone:.0f})"

    few = [f"with {clips} clips, {at(clips)}" for clips in names[:-1] if clips in ("2", "10")]
    return (
        "Of 100 pairs of a faulty and a healthy recording, a site that knows its neighbours' statistics "
        f"puts the faulty one first in: {'; '.join([*few, f'with all, {at(names[-1])}'])}."
    )
