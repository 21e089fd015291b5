"""A site with few clips is scored by what it would have; its clips are not in the pool that scores it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import machines
from thrum.bench import cells, figures
from thrum.bench.cells import Cell, abridged
from thrum.bench.few_clips import methods
from thrum.bench.few_clips.config import Config
from thrum.bench.few_clips.draws import Case, Situation, drawn, situation
from thrum.bench.few_clips.filling import scored
from thrum.bench.few_clips.harms import HARMS, Harm, harmed
from thrum.bench.running import Outcome
from thrum.bench.tables import Table, load_table
from thrum.datasets import open_dataset
from thrum.errors import ConfigError, DatasetError
from thrum.evaluation.metrics import auc
from thrum.evaluation.table import read_scores
from thrum.systems.embedding_sharing import Moments
from thrum.types import Clip, Dataset

KEY = ("Press", "id_01")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machines.write_arrays(tmp_path_factory.mktemp("few") / "presses", clips=12)


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return open_dataset(data)


def names(clips: object) -> list[str]:
    return [clip.name for clip in clips]  # type: ignore[attr-defined]


def test_draws_are_nested_and_the_seed_decides_them(dataset: Dataset) -> None:
    clips = list(dataset.where(machine_id="id_01", split="train"))
    two, five = (drawn(clips, count, seed=3) for count in (2, 5))
    assert (len(two), len(five)) == (2, 5)
    assert set(names(two)) < set(names(five))
    assert five == sorted(five, key=clips.index)
    assert five == drawn(clips, 5, seed=3)
    assert len({tuple(names(drawn(clips, 5, seed=seed))) for seed in range(5)}) == 5
    assert drawn(clips, 100, seed=3) == drawn(clips, None, seed=3) == clips


def test_sites_do_not_draw_the_same_rows(dataset: Dataset) -> None:
    rows = set()
    for key in dataset.machine_keys:
        clips = list(dataset.where(machine_id=key[1], split="train"))
        rows.add(tuple(clips.index(clip) for clip in drawn(clips, 5, seed=0)))
    assert len(rows) == 3


@pytest.mark.parametrize(("others", "each"), [("full", 12), ("short", 2)])
def test_the_scored_sites_clips_are_never_among_the_others(
    dataset: Dataset, others: str, each: int
) -> None:
    now = situation(dataset, KEY, Case(2, others), seed=0)  # type: ignore[arg-type]
    assert {clip.machine_key for clip in (*now.own, *now.test)} == {KEY}
    assert len(now.own) == 2
    assert len(now.test) == 16
    assert {key: len(own) for key, own in now.others.items()} == {
        ("Press", "id_00"): each,
        ("Press", "id_02"): each,
    }
    assert all(clip.machine_key == key for key, own in now.others.items() for clip in own)
    assert all(clip.split == "train" for own in now.others.values() for clip in own)


def test_a_pool_that_holds_the_scored_sites_clips_is_refused(dataset: Dataset) -> None:
    now = situation(dataset, KEY, Case(2, "full"), seed=0)
    with pytest.raises(ValueError, match="clips of Press/id_01 are in the pool that scores it"):
        replace(now, others={**now.others, ("Press", "id_00"): now.own})


def test_no_score_knows_a_clip_of_the_site_that_was_not_drawn(dataset: Dataset) -> None:
    now = situation(dataset, KEY, Case(5, "full"), seed=0)
    asked: set[Clip] = set()

    def mean_of(clip: Clip) -> NDArray[np.float64]:
        asked.add(clip)
        return np.random.default_rng(len(asked)).normal(size=(1, 6))

    scores = methods.scores_of(now, methods.Means(mean_of))
    assert set(scores) == set(methods.METHODS)
    assert all(own.shape == (16,) and np.isfinite(own).all() for own in scores.values())
    own = {clip for clip in asked if clip.machine_key == KEY and clip.split == "train"}
    assert own == set(now.own)


def test_the_pool_whitens_by_the_others_alone(dataset: Dataset) -> None:
    """The others vary along one direction, the site's own clips, far more, along another."""
    now = situation(dataset, KEY, Case(5, "full"), seed=0)
    random = np.random.default_rng(0)
    along, across = now.test[:2]

    def mean_of(clip: Clip) -> NDArray[np.float64]:
        if clip in (along, across):
            return np.array([[40.0, 0.0, 0.0] if clip is along else [0.0, 40.0, 0.0]])
        wide = np.array([0.01, 10.0, 0.01] if clip.machine_key == KEY else [3.0, 0.1, 0.1])
        return random.normal(size=(1, 3)) * wide

    scores = methods.scores_of(now, methods.Means(mean_of))
    assert scores["pool"][1] > 1.5 * scores["pool"][0]  # the others hardly vary across
    assert scores["mahalanobis"][0] > 1.5 * scores["mahalanobis"][1]  # the site itself does


def test_harm_is_done_by_one_site_alone() -> None:
    random = np.random.default_rng(0)
    sites = {("Press", f"id_{n:02d}"): random.normal(3.0, 2.0, (40, 5)) for n in range(3)}
    first, second, third = sites
    for harm in HARMS:
        found = harmed(sites, harm, seed=1)
        assert found[second] is sites[second]
        assert found[third] is sites[third]
    assert harmed(sites, "", seed=1) == sites
    assert np.ptp(harmed(sites, "constant", seed=1)[first], axis=0).max() == 0
    np.testing.assert_array_equal(harmed(sites, "loud", seed=1)[first], 1000 * sites[first])
    np.testing.assert_array_equal(harmed(sites, "copy", seed=1)[first], sites[third])
    np.testing.assert_array_equal(harmed(sites, "halved", seed=1)[first], sites[first][:20])
    two = harmed(sites, "two_ids", seed=1)
    assert two[first] is sites[first] is two["Press", "id_00_again"]
    noise = harmed(sites, "noise", seed=1)[first]
    assert (noise.mean(), noise.std()) == (pytest.approx(3, abs=0.5), pytest.approx(2, abs=0.5))


def test_a_pool_is_asked_with_the_harm_and_without_it(dataset: Dataset) -> None:
    now = situation(dataset, KEY, Case(5, "full"), seed=0)
    random = np.random.default_rng(0)
    frames = {clip: random.normal(size=(4, 3)) * [3.0, 1.0, 0.1] for clip in dataset}

    def pool(harm: Harm) -> Moments:
        found = methods.Means(frames.__getitem__).pool(now, harm=harm, robust=False)
        assert found is not None
        return found

    well, noise, constant = (pool(harm) for harm in ("", "noise", "constant"))
    assert well.count == 24
    assert noise.variances[0] < well.variances[0]  # rounder
    assert constant.count == 12  # such a site has nothing to share


def test_only_machines_with_anomalies_are_scored_and_one_clip_is_too_few(dataset: Dataset) -> None:
    assert scored(dataset) == [("Press", "id_00"), ("Press", "id_01")]
    train = dataset.where(split="train")
    few = replace(dataset, clips=(*train.where(machine_id="id_00").clips, train.clips[-1]))
    with pytest.raises(DatasetError, match="Press/id_02 has 1 training clips"):
        situation(few, ("Press", "id_02"), Case(2, "full"), seed=0)
    with pytest.raises(DatasetError, match="nobody shares with it"):
        situation(train.where(machine_id="id_00"), ("Press", "id_00"), Case(2, "full"), seed=0)


def test_settings_that_make_no_curve_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"clips is \[1\], wanted at least 2"):
        Config(clips=(1,))
    with pytest.raises(ConfigError, match="knows no short others"):
        Config(learns="joins")
    with pytest.raises(ConfigError, match="no number of clips"):
        Config(clips=(), short=(), whole=False)
    assert abridged(Config(), 3).sharing.epochs == 3
    assert abridged(Config(), 3).autoencoder.epochs == 3


TOML = """
title = "Curves"
seeds = 2

[sources.presses]
title = "Presses"
folder = "presses"

[runs.cheap]
system = "few-clips"
settings = { clips = [2, 5], short = [2] }

[runs.classifier]
system = "few-clips"
preset = "compact"
settings = { learns = "classifier", clips = [4], short = [], sharing = { members = 1, epochs = 1 } }

[runs.joins]
system = "few-clips"
preset = "compact"
settings = { learns = "joins", clips = [2, 5], short = [], sharing = { members = 1, epochs = 1 } }

[runs.autoencoder]
system = "few-clips"
settings = { learns = "autoencoder", clips = [2], short = [], whole = false, autoencoder = { epochs = 2 } }

[[curves]]
group = "one short"
source = "presses"
clips = ["2", "4", "5", "all"]

[[curves]]
group = "all short"
source = "presses"
others = "short"
clips = ["2", "all"]

[[rows]]
name = "pool"
runs = ["cheap"]
method = "pool"
line = "pool"

[[rows]]
name = "network"
runs = ["classifier"]
method = "network"

[[rows]]
name = "joins"
runs = ["joins"]
method = "joins"

[[rows]]
name = "autoencoder"
runs = ["autoencoder"]
method = "mse"
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("table") / "own.toml"
    path.write_text(TOML, encoding="utf-8")
    return load_table(str(path))


def cell_of(table: Table, run: str, data: Path, out: Path, seed: int = 0) -> Cell:
    source = table.sources["presses"]
    return Cell(run, table.runs[run], "presses", source, seed, data.parent, out, device="cpu")


def test_a_cell_has_a_column_for_each_method_and_number_of_clips(
    table: Table, data: Path, dataset: Dataset, tmp_path: Path
) -> None:
    both = [cell_of(table, "cheap", data, tmp_path, seed) for seed in (0, 1)]
    folders = {cell: cells.train(cell) for cell in both}
    found = read_scores(folders[both[0]] / "scores" / "Press_id_01.csv")
    cases = ("2", "5", "2/short", "all")
    wanted = [f"{method}@{case}" for case in cases for method in methods.METHODS]
    assert list(found.columns) == wanted
    assert len(list((tmp_path / "embeddings").iterdir())) == 1  # embedded once

    now = situation(dataset, KEY, Case(2, "full"), seed=0)
    frames = {
        clip: np.load(clip.path)[clip.row[0]][clip.row[1]].astype(np.float64)  # type: ignore[index]
        for clip in (*now.own, *now.test)
    }
    own, test = (np.stack([frames[c].mean(axis=0) for c in clips]) for clips in (now.own, now.test))
    distances = np.linalg.norm(test[:, None] - own[None], axis=2).mean(axis=1)  # k = 2 of two clips
    np.testing.assert_allclose(found.columns["local@2"], distances, rtol=1e-6)

    filled = figures.fill(table.only("cheap"), Outcome(folders))
    places = {one.column: one for one in filled.figures}
    labels = [clip.label == "anomaly" for clip in now.test]
    by_hand = []
    for folder in folders.values():
        for machine_id in ("id_00", "id_01"):
            scores = read_scores(folder / "scores" / f"Press_{machine_id}.csv")
            by_hand.append(100 * auc(np.array(labels), scores.columns["pool@2/short"]))
    assert places["all short: 2"].ours == pytest.approx(np.mean(by_hand))
    assert places["all short: 2"].seeds == (0, 1)
    assert places["one short: 4"].ours is None  # no run asks for it, and nobody is to blame
    assert not filled.errors
    assert places["all short: all"].ours == places["one short: all"].ours


def test_joining_without_training_is_one_classifier_a_site(
    table: Table, data: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        folder = cells.train(cell_of(table, "joins", data, tmp_path, seed))
    kept = list((tmp_path / "classifiers").iterdir())
    assert len(kept) == 2  # two sites with anomalies; two draws, three numbers of clips
    found = read_scores(folder / "scores" / "Press_id_00.csv")
    assert list(found.columns) == ["joins@2", "joins@5", "joins@all"]
    assert not np.array_equal(found.columns["joins@2"], found.columns["joins@5"])


def test_a_classifier_of_all_clips_is_trained_once_for_all_sites(
    table: Table, data: Path, tmp_path: Path
) -> None:
    folder = cells.train(cell_of(table, "classifier", data, tmp_path))
    assert (
        len(list((tmp_path / "classifiers").iterdir())) == 3
    )  # two sites with four clips, and all
    found = read_scores(folder / "scores" / "Press_id_01.csv")
    methods_of = ("network", "fused")
    assert list(found.columns) == [f"{m}@{case}" for case in ("4", "all") for m in methods_of]


def test_the_autoencoder_learns_from_the_sites_clips_alone(
    table: Table, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Situation] = []
    from thrum.bench.few_clips import training

    fit = training.AutoencoderBaseline.fit

    def noted(self: object, clips: object) -> object:
        seen.append(clips)  # type: ignore[arg-type]
        return fit(self, clips)  # type: ignore[arg-type]

    monkeypatch.setattr(training.AutoencoderBaseline, "fit", noted)
    folder = cells.train(cell_of(table, "autoencoder", data, tmp_path))
    assert [{clip.machine_key for clip in own} for own in seen] == [  # type: ignore[attr-defined]
        {("Press", "id_00")},
        {("Press", "id_01")},
    ]
    assert [len(own) for own in seen] == [2, 2]  # type: ignore[arg-type]
    found = read_scores(folder / "scores" / "Press_id_01.csv")
    assert list(found.columns) == ["mse@2", "mahalanobis@2", "mahalanobis_per_frame@2"]
