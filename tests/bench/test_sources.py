"""What of a dataset takes part in a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from thrum.bench.sources import Source
from thrum.bench.tables import load_table
from thrum.datasets.synthetic import SyntheticConfig
from thrum.errors import ConfigError, DatasetError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Development and additional data of 2022: names alone, no sound."""
    names = (
        "dev_data/fan/train/section_00_source_train_normal_0000_v_1.wav",
        "dev_data/fan/test/section_00_source_test_normal_0000_v_1.wav",
        "dev_data/fan/test/section_00_target_test_anomaly_0000_v_2.wav",
        "eval_data/fan/train/section_03_source_train_normal_0000_v_1.wav",
        "eval_data/fan/test/section_03_test_0000.wav",
        "dev_data/ToyCar/train/section_00_source_train_normal_0000_v_1.wav",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_clips_without_a_label_train_no_score(data: Path) -> None:
    dataset = load_table("self-supervised/table2").sources["data"].open(data, data / "out")
    assert len(dataset.where(split="train")) == 3  # section_03 is learnt, and not tested
    assert [clip.machine_id for clip in dataset.where(split="test")] == ["section_00"] * 2


def test_machines_and_what_is_tested_can_be_chosen(data: Path) -> None:
    source = Source("x", machines=("fan",), tested=("fan/section_01",))
    dataset = source.open(data, data / "out")
    assert dataset.machines == ("fan",)
    assert len(dataset.where(split="test")) == 0
    with pytest.raises(
        DatasetError, match=r"has no machine valve; get what is missing with: thrum"
    ):
        Source("x", machines=("fan", "valve"), fetch="dcase2022").open(data, data)


def test_half_of_the_data_is_not_enough(data: Path) -> None:
    source = load_table("multitask-conformer/table3").sources["data"]
    assert f"there is no {data / 'ground_truth' / 'eval_data_list.csv'}" in (
        source.missing(data) or ""
    )
    with pytest.raises(DatasetError, match="there is no"):
        source.open(data, data / "out")


def test_simulated_data_are_made_once(tmp_path: Path) -> None:
    settings = SyntheticConfig(
        kinds=("fan",),
        individuals=1,
        train_clips=2,
        test_normal_clips=1,
        test_anomaly_clips=1,
        duration_seconds=0.5,
    )
    source = Source("x", folder="sim", synthetic=settings)
    assert source.missing(None) is None
    source.prepare(tmp_path)
    dataset = source.open(None, tmp_path)
    assert dataset.root == tmp_path / "simulated" / "sim"
    assert (len(dataset.where(split="train")), len(dataset.where(split="test"))) == (2, 2)
    written = {clip.path: clip.path.stat().st_mtime_ns for clip in dataset}
    source.prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    with pytest.raises(ConfigError, match="holds a simulation with individuals 1"):
        Source("x", folder="sim", synthetic=SyntheticConfig(kinds=("fan",))).prepare(tmp_path)
