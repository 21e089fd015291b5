"""The truth of evaluation recordings, joined to them by file name."""

from __future__ import annotations

from pathlib import Path

import pytest

from thrum.datasets import open_dataset
from thrum.datasets.dcase import DCASE
from thrum.errors import DatasetError


def write(folder: Path, tables: dict[str, str]) -> Path:
    for name, content in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def labelled(dataset) -> dict[str, tuple]:
    return {clip.name: (clip.label, clip.domain) for clip in dataset.where(split="test")}


FAN_2020 = [
    "fan/train/normal_id_01_0.wav",
    "fan/test/id_01_00000000.wav",
    "fan/test/id_01_00000001.wav",
]
FAN_2021 = [
    "fan/source_test/section_03_source_test_0000.wav",
    "fan/target_test/section_03_target_test_0000.wav",
]
FAN_2022 = ["fan/test/section_03_0000.wav", "fan/test/section_03_0001.flac"]

DATA_2022 = "ground_truth_data/ground_truth_fan_section_03_test.csv"
DOMAIN_2022 = "ground_truth_domain/ground_truth_fan_section_03_test.csv"
TRUTH_2022 = {
    DATA_2022: "section_03_0000.wav,1\nsection_03_0001.wav,0\n",
    DOMAIN_2022: "section_03_0001.wav,1\nsection_03_0000.wav,0\n",
}


def test_2020(tree) -> None:
    root = tree(FAN_2020)
    write(
        root / "ground_truth",
        {
            "eval_data_list.csv": "fan\nid_01_00000000.wav,normal_id_01_00000098.wav,0\n"
            "id_01_00000001.wav,anomaly_id_01_00000064.wav,1\npump\nid_01_00000000.wav,x.wav,1\n"
        },
    )
    assert labelled(open_dataset(root)) == {
        "id_01_00000000.wav": ("normal", None),
        "id_01_00000001.wav": ("anomaly", None),
    }


def test_2021(tree) -> None:
    root = tree(FAN_2021)
    write(
        root / "ground_truth" / "ground_truth_data",
        {
            "ground_truth_fan_section_03_source_test.csv": "section_03_source_test_0000.wav,1\n",
            "ground_truth_fan_section_03_target_test.csv": "section_03_target_test_0000.wav,0\n",
        },
    )
    assert labelled(open_dataset(root)) == {
        "section_03_source_test_0000.wav": ("anomaly", "source"),
        "section_03_target_test_0000.wav": ("normal", "target"),
    }


@pytest.mark.parametrize("beside", ["", "ground_truth", "eval_data/ground_truth"])
def test_2022_on(tree, beside: str) -> None:
    names = (
        FAN_2022 if not beside.startswith("eval") else [f"eval_data/{name}" for name in FAN_2022]
    )
    root = tree(names)
    write(root / beside, TRUTH_2022)
    dataset = open_dataset(root)
    assert labelled(dataset) == {
        "section_03_0000.wav": ("anomaly", "source"),
        "section_03_0001.flac": ("normal", "target"),
    }
    assert dataset.left_out == ()


def test_truth_that_lies_elsewhere(tree, tmp_path: Path) -> None:
    root = tree(FAN_2022)
    assert set(labelled(open_dataset(root)).values()) == {(None, None)}
    truth = write(tmp_path / "elsewhere", TRUTH_2022)
    assert labelled(DCASE.read(root, truth_folder=truth)) == {
        "section_03_0000.wav": ("anomaly", "source"),
        "section_03_0001.flac": ("normal", "target"),
    }


def test_development_data_needs_no_truth(tree) -> None:
    root = tree(["bearing/test/section_00_source_test_normal_0000.wav"])
    write(root, TRUTH_2022)
    assert set(labelled(open_dataset(root)).values()) == {("normal", "source")}


def test_recordings_that_the_truth_knows_and_that_are_not_there(tree) -> None:
    root = tree(FAN_2022[:1])
    write(root, TRUTH_2022)
    ((path, reason),) = open_dataset(root).left_out
    assert (path, reason) == (root, "1 clips of fan/section_03 are not there: section_03_0001")


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (
            dict.fromkeys([DATA_2022, DOMAIN_2022], "section_03_0000.wav,1\n"),
            "does not tell the truth of 1 clips: fan/section_03_0001",
        ),
        (
            {DOMAIN_2022: "section_03_0000.wav,1\n"},
            "does not tell the domain of section_03_0001",
        ),
        (
            {DATA_2022: "section_03_0000.wav,1\n"},
            "does not know: section_03_0001",
        ),
        (
            {DATA_2022: "section_03_0000.wav,2\n"},
            "line 1: got 'section_03_0000.wav,2', wanted 'file,0|1'",
        ),
        (
            {DATA_2022: "section_03_0000.wav,1\n" * 2},
            "line 2: section_03_0000.wav is there twice",
        ),
        ({DATA_2022: "\xff"}, "wanted 'file,0|1'"),
        (
            {"ground_truth_data/fan.csv": ""},
            "wanted a name like ground_truth_fan_section_03_test.csv",
        ),
        ({"ground_truth/" + DATA_2022: ""}, "keep one"),
    ],
)
def test_truth_that_does_not_fit(tree, tables: dict[str, str], reason: str) -> None:
    root = tree(FAN_2022)
    write(root, TRUTH_2022 | tables)
    with pytest.raises(DatasetError) as error:
        open_dataset(root)
    assert reason in str(error.value)


def test_a_list_of_2020_that_tells_twice(tree) -> None:
    root = tree(FAN_2020)
    write(root, {"eval_data_list.csv": "fan\n" + "id_01_00000000.wav,x.wav,0\n" * 2})
    with pytest.raises(DatasetError, match=r"line 3 tells the truth of id_01_00000000\.wav twice"):
        open_dataset(root)


def test_truth_without_domains(tree) -> None:
    root = tree(FAN_2022)
    write(root, {DATA_2022: TRUTH_2022[DATA_2022]})
    with pytest.raises(DatasetError, match="is missing, which tells source from target"):
        open_dataset(root)


def test_truth_of_another_year(tree) -> None:
    root = tree(FAN_2020)
    write(root, TRUTH_2022)
    with pytest.raises(
        DatasetError, match=r"it is about fan/section_03\. Take the truth of the same year"
    ):
        open_dataset(root)


def test_truth_of_another_domain_than_the_name_says(tree) -> None:
    root = tree(["fan/test/section_03_source_test_0000.wav"])
    write(
        root,
        {
            DATA_2022: "section_03_source_test_0000.wav,1\n",
            DOMAIN_2022: "section_03_source_test_0000.wav,1\n",
        },
    )
    with pytest.raises(
        DatasetError, match="of the source domain by its name, and of the target domain"
    ):
        open_dataset(root)


@pytest.mark.parametrize(
    "row", ["id_01_00000000.wav,x.wav,0", "fan\nid_01_00000000.wav,x.wav,normal"]
)
def test_a_list_of_2020_that_is_damaged(tree, row: str) -> None:
    root = tree(FAN_2020)
    write(root, {"eval_data_list.csv": row})
    with pytest.raises(DatasetError, match=r"wanted a machine or 'renamed,original,0\|1'"):
        open_dataset(root)


def test_a_folder_without_truth(tree, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no truth in .* wanted eval_data_list\.csv"):
        DCASE.read(tree(FAN_2020), truth_folder=tmp_path)
