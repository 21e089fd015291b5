from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import machines
from official_autoencoder import official_network
from thrum.datasets import open_dataset
from thrum.datasets.arrays import read_features
from thrum.detectors.knn import KNN
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import ConfigError, DataError, StorageError, ThrumError
from thrum.systems.baselines.autoencoder import AutoencoderBaseline, Config
from thrum.systems.baselines.knn import Config as KNNConfig
from thrum.systems.baselines.knn import NearestNeighbours
from thrum.systems.baselines.trained import Fitted
from thrum.types import Dataset

QUICK = Config(width=16, bottleneck=4, epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(machines.write_arrays(tmp_path_factory.mktemp("arrays")))


def fitted(dataset: Dataset, config: Config = QUICK, **settings: object) -> AutoencoderBaseline:
    system = AutoencoderBaseline(config, device="cpu", **settings)  # type: ignore[arg-type]
    return system.fit(dataset.where(split="train"))


def test_more_shards_than_files_may_be_open(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_files: int
) -> None:
    monkeypatch.setattr("thrum.embedders.store.CLIPS_PER_SHARD", 1)
    more = open_dataset(machines.write_arrays(tmp_path / "arrays", clips=20))
    system = fitted(more, folder=tmp_path / "work")
    assert len(list((tmp_path / "work" / "embeddings").glob("*.npy"))) > few_files
    monkeypatch.undo()
    np.testing.assert_array_equal(
        system.score(more.where(split="test")).columns["mse"],
        fitted(more).score(more.where(split="test")).columns["mse"],
    )


def test_one_network_serves_all_machine_ids_of_a_type(dataset: Dataset, tmp_path: Path) -> None:
    system = fitted(dataset)
    assert list(system.fitted_) == ["Press"]
    assert system.fitted_["Press"].keys == dataset.machine_keys
    other = open_dataset(machines.write_arrays(tmp_path, machines=1, kind="Saw"))
    both = AutoencoderBaseline(QUICK, device="cpu").fit(
        [*other.where(split="train"), *dataset.where(split="train")]
    )
    assert list(both.fitted_) == ["Press", "Saw"]
    test = dataset.where(split="test")
    for method, column in system.score(test).columns.items():  # the other type changes nothing
        np.testing.assert_array_equal(both.score(test).columns[method], column)


def test_a_score_is_the_mean_over_windows_of_the_squared_error(dataset: Dataset) -> None:
    system = fitted(dataset)
    clip = dataset.where(split="test").clips[0]
    frames = np.float32(np.float16(read_features([clip])[0]))
    windows = np.stack([frames[start : start + 5].ravel() for start in range(len(frames) - 4)])
    with torch.inference_mode():
        out = system.fitted_["Press"].network(torch.from_numpy(windows)).numpy()
    scores = system.score([clip])
    assert scores.selected == "mse"
    assert scores.columns["mse"][0] == pytest.approx(np.mean((out - windows) ** 2), rel=1e-5)


def test_domains_have_a_covariance_each(dataset: Dataset) -> None:
    train = dataset.where(split="train")
    assert fitted(train).fitted_["Press"].statistics["precisions"].shape == (1, 12, 12)
    mixed = replace(
        train,
        clips=tuple(
            replace(clip, domain="target" if number % 5 == 0 else "source")
            for number, clip in enumerate(train)
        ),
    )
    assert fitted(mixed).fitted_["Press"].statistics["precisions"].shape == (2, 12, 12)


def test_the_setting_selects_the_score_and_its_threshold(dataset: Dataset) -> None:
    for method in ("mse", "mahalanobis", "mahalanobis_per_frame"):
        system = fitted(dataset, replace(QUICK, score=method))
        assert system.score(dataset.where(split="test")).selected == method
        normal = system.score(dataset.where(split="train")).columns[method]
        wanted = gamma_threshold(normal)
        assert set(system.thresholds) == set(dataset.machine_keys)
        assert list(system.thresholds.values()) == pytest.approx([wanted] * 3)
        assert 0.7 < np.mean(normal < wanted) < 1


def test_which_clips_share_a_network_is_a_setting(dataset: Dataset) -> None:
    names = {
        "machine_id": ["Press/id_00", "Press/id_01", "Press/id_02"],
        "machine_type": ["Press"],
        "all": ["all machines"],
    }
    for network_per, wanted in names.items():
        system = fitted(dataset, replace(QUICK, network_per=network_per, epochs=1))
        assert list(system.fitted_) == wanted
        assert system.machine_keys == list(dataset.machine_keys)
        own = system.fitted_[wanted[-1]].keys
        assert own == (dataset.machine_keys[-1:] if len(wanted) > 1 else dataset.machine_keys)
        assert np.isfinite(system.score(dataset.where(split="test")).columns["mse"]).all()


def test_a_score_that_is_not_finite_is_an_error(dataset: Dataset) -> None:
    system = fitted(dataset)
    with torch.no_grad():
        system.fitted_["Press"].network.decoder[-1].bias.fill_(torch.nan)
    with pytest.raises(ThrumError, match=r"is not finite: train autoencoder again"):
        system.score(dataset.where(split="test"))


def test_another_seed_gives_other_scores(dataset: Dataset) -> None:
    test = dataset.where(split="test")
    one, other = (fitted(dataset, seed=seed).score(test).columns["mse"] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_frames_need_not_be_kept_between_fit_and_score(dataset: Dataset, tmp_path: Path) -> None:
    kept = fitted(dataset, folder=tmp_path)
    assert list((tmp_path / "embeddings").glob("*.npy"))
    test = dataset.where(split="test")
    np.testing.assert_array_equal(
        kept.score(test).columns["mse"], fitted(dataset).score(test).columns["mse"]
    )


def test_vectors_are_told_to_be_unstacked(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "Press_id_00.npz", train_normal=random.normal(size=(40, 12)))
    vectors = open_dataset(tmp_path)
    with pytest.raises(
        DataError, match="has 1 frames, one input takes 5.*no clip of .* has more: set stack_frames"
    ):
        fitted(vectors)
    assert np.isfinite(
        fitted(vectors, replace(QUICK, stack_frames=1)).score(vectors).columns["mse"]
    )[0]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size is 1, wanted at least 2"):
        Config(batch_size=1)
    with pytest.raises(ConfigError, match="learning_rate is -1"):
        Config(learning_rate=-1)
    with pytest.raises(ConfigError, match="decision_quantile is 90"):
        Config(decision_quantile=90)
    with pytest.raises(ConfigError, match="neighbours is 0"):
        KNNConfig(neighbours=0)


@pytest.mark.parametrize("kind", [AutoencoderBaseline, NearestNeighbours])
def test_without_clips_there_is_nothing_to_learn(kind: type) -> None:
    with pytest.raises(DataError, match="training clip"):
        kind(device="cpu").fit([])


def test_a_foreign_folder_is_no_baseline(dataset: Dataset, tmp_path: Path) -> None:
    NearestNeighbours(device="cpu").fit(dataset.where(split="train")).save(tmp_path)
    with pytest.raises(StorageError, match="does not hold the system autoencoder"):
        AutoencoderBaseline.load(tmp_path, device="cpu")


def test_knn_compares_means_and_deviations_of_a_machine_with_its_own(dataset: Dataset) -> None:
    system = NearestNeighbours(device="cpu").fit(dataset.where(split="train"))
    own = dataset.where(machine_id="id_01")
    test = own.where(split="test")
    scores = system.score(test)
    assert scores.selected == "mean"
    train_frames, test_frames = (
        [np.float16(f).astype(np.float64) for f in read_features(list(own.where(split=split)))]
        for split in ("train", "test")
    )
    for method, statistics in (("mean", [np.mean]), ("mean_deviation", [np.mean, np.std])):
        train, tested = (
            np.array([np.concatenate([s(f, axis=0) for s in statistics]) for f in frames])
            for frames in (train_frames, test_frames)
        )
        wanted = KNN(neighbours=2).fit(train).anomaly_score(tested)
        np.testing.assert_allclose(scores.columns[method], wanted, rtol=1e-5)


def test_knn_takes_thresholds_from_clips_left_out(dataset: Dataset) -> None:
    system = NearestNeighbours(device="cpu").fit(dataset.where(split="train"))
    thresholds = system.thresholds
    assert set(thresholds) == set(dataset.machine_keys)
    train = np.float32(
        [
            np.float16(f).mean(axis=0, dtype=np.float64)
            for f in read_features(list(dataset.where(split="train", machine_id="id_01")))
        ]
    )
    left_out = [
        KNN(neighbours=2).fit(np.delete(train, row, axis=0)).anomaly_score(train[[row]])[0]
        for row in range(len(train))
    ]
    wanted = gamma_threshold(np.array(left_out))
    assert thresholds["Press", "id_01"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.data
def test_the_published_scores_of_real_clips_are_met(shared: Path) -> None:
    """The testbed's spectrograms are rounded to 1/8 dB, so scores agree approximately."""
    network = official_network(shared / "fixtures" / "baseline_ae2020" / "ad01.h5")
    submission = shared / "evaluator_cases" / "dcase2020_dev_real" / "mlperf_tiny_keras"
    published: dict[str, float] = {}
    for path in submission.glob("anomaly_score_*.csv"):
        with path.open() as file:
            published |= {
                name.removesuffix(".wav"): float(score) for name, score in csv.reader(file)
            }
    test = open_dataset(shared / "testbed" / "toycar_logmel").where(split="test")
    some = list(test)[::10]
    system = AutoencoderBaseline(device="cpu")
    precisions = {"precisions": np.eye(128)[None]}
    system.fitted_ = {"ToyCar": Fitted(test.machine_keys, network, 128, precisions, {})}
    ours = system.score(some).columns["mse"]
    wanted = np.array([published[clip.name] for clip in some])
    np.testing.assert_allclose(ours, wanted, rtol=5e-3)
    assert stats.spearmanr(ours, wanted).statistic > 0.999
