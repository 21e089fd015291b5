"""The learning curves of one data set: every number is a mean of AUCs that can be had by hand."""

from __future__ import annotations

import numpy as np
import pytest

import machines
from thrum.bench.few_clips import methods
from thrum.bench.few_clips.curve import SHOWN, learning_curves
from thrum.bench.few_clips.draws import Case, situation
from thrum.datasets import open_dataset
from thrum.evaluation.metrics import auc
from thrum.types import Clip, Dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = tmp_path_factory.mktemp("curve") / "presses"
    return open_dataset(machines.write_arrays(data, clips=12))


def frames_of(clip: Clip) -> methods.Frames:
    frames: methods.Frames = np.load(clip.path)[clip.row[0]][clip.row[1]].astype(np.float64)  # type: ignore[index]
    return frames


def test_a_place_is_the_mean_over_machines_and_its_band_that_over_draws(dataset: Dataset) -> None:
    told = []
    curves = learning_curves(
        dataset, frames_of, clips=(2, 100), draws=3, progress=lambda *given: told.append(given)
    )
    assert curves is not None
    assert curves.clips == ("2", "all")  # nobody has a hundred
    assert told[-1] == ("what more clips are worth", 2, 2)
    means = methods.Means(frames_of)
    for method, line in SHOWN.items():
        by_draw = []
        for seed in range(3):
            values = []
            for key in (("Press", "id_00"), ("Press", "id_01")):
                now = situation(dataset, key, Case(2, "full"), seed=seed)
                labels = np.array([clip.label == "anomaly" for clip in now.test])
                values.append(100 * auc(labels, methods.scores_of(now, means)[method]))
            by_draw.append(np.mean(values))
        mean, deviation = curves.lines[line]["2"]
        assert mean == pytest.approx(np.mean(by_draw))
        assert deviation == pytest.approx(np.std(by_draw))
        assert curves.lines[line]["all"][1] == 0
    statistics = curves.lines["statistics"]
    best = max(curves.lines[line]["2"][0] for line in ("alone", "alone, whitened"))
    assert f"with 2 clips, {statistics['2'][0]:.0f} (alone at best {best:.0f})" in curves.told


def test_there_is_no_curve_where_nobody_shares_or_nothing_is_labelled(dataset: Dataset) -> None:
    def of(*clips: Clip) -> Dataset:
        return Dataset(dataset.name, dataset.root, clips, holds=dataset.holds)

    alone = of(*(clip for clip in dataset if clip.machine_id == "id_01"))
    unlabelled = of(*(clip for clip in dataset if clip.label != "anomaly"))
    assert learning_curves(alone, frames_of) is None
    assert learning_curves(unlabelled, frames_of) is None
