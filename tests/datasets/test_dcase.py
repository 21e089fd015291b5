"""The DCASE reader, year by year, on names as the organisers give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from thrum.datasets import open_dataset
from thrum.datasets.dcase import DCASE
from thrum.errors import DatasetError


def described(root: Path) -> dict[str, tuple]:
    """What the reader says of each clip, by its place."""
    return {
        clip.path.relative_to(root).as_posix(): (
            *(clip.machine, clip.machine_id, clip.split, clip.domain, clip.label),
            dict(clip.attributes),
        )
        for clip in open_dataset(root)
    }


def test_2020_development_and_evaluation(tree) -> None:
    root = tree(
        [
            "fan/train/normal_id_00_00000000.wav",
            "fan/test/normal_id_00_00000000.wav",
            "fan/test/anomaly_id_00_00000012.flac",
            "ToyCar/train/normal_id_05_00000999.wav",
            "ToyCar/test/id_05_00000514.wav",
        ]
    )
    assert described(root) == {
        "fan/train/normal_id_00_00000000.wav": ("fan", "id_00", "train", None, "normal", {}),
        "fan/test/normal_id_00_00000000.wav": ("fan", "id_00", "test", None, "normal", {}),
        "fan/test/anomaly_id_00_00000012.flac": ("fan", "id_00", "test", None, "anomaly", {}),
        "ToyCar/train/normal_id_05_00000999.wav": ("ToyCar", "id_05", "train", None, "normal", {}),
        "ToyCar/test/id_05_00000514.wav": ("ToyCar", "id_05", "test", None, None, {}),
    }


def test_2021_tests_the_domains_apart(tree) -> None:
    root = tree(
        [
            "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
            "fan/train/section_00_target_train_normal_0002_strength_2_ambient.wav",
            "fan/source_test/section_00_source_test_normal_0000.wav",
            "fan/target_test/section_00_target_test_anomaly_0099.wav",
            "pump/train/section_03_source_train_normal_0000.wav",
            "pump/source_test/section_03_source_test_0000.wav",
            "pump/target_test/section_03_target_test_0199.wav",
        ]
    )
    found = described(root)
    train = found["fan/train/section_00_target_train_normal_0002_strength_2_ambient.wav"]
    condition = {"condition": "strength_2_ambient"}
    assert train == ("fan", "section_00", "train", "target", "normal", condition)
    assert {place: what[:5] for place, what in found.items() if "test" in place} == {
        "fan/source_test/section_00_source_test_normal_0000.wav": (
            *("fan", "section_00", "test", "source", "normal"),
        ),
        "fan/target_test/section_00_target_test_anomaly_0099.wav": (
            *("fan", "section_00", "test", "target", "anomaly"),
        ),
        "pump/source_test/section_03_source_test_0000.wav": (
            *("pump", "section_03", "test", "source", None),
        ),
        "pump/target_test/section_03_target_test_0199.wav": (
            *("pump", "section_03", "test", "target", None),
        ),
    }


def test_2021_names_in_one_folder_as_the_baseline_of_2023_copies_them(tree) -> None:
    root = tree(
        [
            "fan/train/section_03_source_train_normal_0000.wav",
            "fan/test/section_03_source_test_0000.wav",
            "fan/test/section_03_target_test_0000.wav",
        ]
    )
    assert [clip.domain for clip in open_dataset(root).where(split="test")] == ["source", "target"]


def test_2022_on_tests_the_domains_together(tree) -> None:
    root = tree(
        [
            "bearing/train/section_01_source_train_normal_0000_vel_10_loc_A.wav",
            "bearing/test/section_01_target_test_anomaly_0049_vel_8_loc_H.wav",
            "bearing/test/section_04_0000.wav",
            "RoboticArm/train/section_00_source_train_normal_0001_weight15_BckgF.wav",
            "RoboticArm/test/section_00_source_normal_0035_weight15_BckgF.wav",
            "RoboticArm/test/section_00_test_0001.wav",
        ]
    )
    conditions = {"condition": "weight15_BckgF"}
    assert described(root) == {
        "bearing/train/section_01_source_train_normal_0000_vel_10_loc_A.wav": (
            *("bearing", "section_01", "train", "source", "normal", {"vel": "10", "loc": "A"}),
        ),
        "bearing/test/section_01_target_test_anomaly_0049_vel_8_loc_H.wav": (
            *("bearing", "section_01", "test", "target", "anomaly", {"vel": "8", "loc": "H"}),
        ),
        "bearing/test/section_04_0000.wav": ("bearing", "section_04", "test", None, None, {}),
        "RoboticArm/train/section_00_source_train_normal_0001_weight15_BckgF.wav": (
            *("RoboticArm", "section_00", "train", "source", "normal", conditions),
        ),
        "RoboticArm/test/section_00_source_normal_0035_weight15_BckgF.wav": (
            *("RoboticArm", "section_00", "test", "source", "normal", conditions),
        ),
        "RoboticArm/test/section_00_test_0001.wav": (
            *("RoboticArm", "section_00", "test", None, None, {}),
        ),
    }


@pytest.mark.parametrize(
    ("tail", "attributes"),
    [
        ("_vel_31V", {"vel": "31V"}),
        ("_car_A2_spd_28V_mic_1_noise_1", {"car": "A2", "spd": "28V", "mic": "1", "noise": "1"}),
        ("_m-n_W", {"m-n": "W"}),
        ("_v1pat_05_v2pat_05", {"v1pat": "05", "v2pat": "05"}),
        ("_ac_0.1_", {"ac": "0.1"}),
        ("_", {}),
        ("", {}),
        ("_noAttribute", {}),
        ("_spd1000_BckgC", {"condition": "spd1000_BckgC"}),
        ("_pro_A_wt_200_damage1", {"condition": "pro_A_wt_200_damage1"}),
        ("_mic_a_mic_b", {"condition": "mic_a_mic_b"}),
    ],
)
def test_attributes_in_a_name(tree, tail: str, attributes: dict[str, str]) -> None:
    root = tree([f"fan/train/section_00_source_train_normal_0000{tail}.wav"])
    (clip,) = open_dataset(root)
    assert clip.attributes == attributes


def test_attributes_of_the_csv_beside_the_folders(tree) -> None:
    root = tree(
        [
            "ToyCar/train/section_00_source_train_normal_0000_spd_28V_mic_1.wav",
            "ToyCar/train/section_00_source_train_normal_0001_spd1000_BckgC.wav",
            "ToyCar/train/section_00_source_train_normal_0002_noAttribute.wav",
            "ToyCar/train/section_01_source_train_normal_0000_vel_3.wav",
            "ToyCar/test/section_00_0000.wav",
        ]
    )
    (root / "ToyCar" / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        "ToyCar/train/section_00_source_train_normal_0000_spd_28V_mic_1.wav,car,A1,spd,28\n"
        "ToyCar/train/section_00_source_train_normal_0001_spd1000_BckgC.wav,spd,1000,Bckg,C\n"
        "ToyCar/train/section_00_source_train_normal_0002_noAttribute.wav,noAttribute,,,\n"
        "ToyCar/train/section_00_source_train_normal_0003_not_here.wav,car,A1,spd,28\n"
        "ToyCar/test/section_00_0000.wav,car,B1,,\n",
        encoding="utf-8-sig",
    )
    assert [dict(clip.attributes) for clip in open_dataset(root)] == [
        {"spd": "28", "mic": "1", "car": "A1"},  # the table where the two differ
        {"spd": "1000", "Bckg": "C"},
        {},
        {"car": "B1"},
        {"vel": "3"},
    ]


def test_a_csv_of_something_else(tree) -> None:
    root = tree(["fan/train/section_00_source_train_normal_0000.wav"])
    (root / "fan" / "attributes_00.csv").write_text("name;speed\n")
    with pytest.raises(DatasetError, match=r"attributes_00\.csv begins with 'name;speed', wanted"):
        open_dataset(root)


def test_supplemental_recordings_are_kept_out(tree) -> None:
    root = tree(
        [
            "ToyPet/train/section_00_source_train_normal_0000_noAttribute.wav",
            "ToyPet/supplemental/section_00_source_supplemental_normal_0000_clean.wav",
            "ToyPet/test_rename/section_00_source_test_normal_0000.wav",
        ]
    )
    dataset = open_dataset(root)
    assert [clip.split for clip in dataset] == ["train"]
    assert [path.name for path, _ in dataset.left_out] == ["supplemental", "test_rename"]
    assert "not to be mistaken for training clips" in dataset.left_out[0][1]


def test_2026_reads_the_near_microphone_left(tree) -> None:
    names = [
        "Sander/train/section_00_source_train_normal_0000.wav",
        "Sander/test/section_00_0000.wav",
    ]
    assert {clip.channel for clip in open_dataset(tree(names, channels=2))} == {0}
    assert {clip.channel for clip in open_dataset(tree(names, below="mono"))} == {None}


def test_2026_is_known_by_the_first_recording_that_can_be_read(tree) -> None:
    names = [f"Sander/train/section_00_source_train_normal_000{number}.wav" for number in range(3)]
    root = tree(names, channels=2)
    (root / names[0]).write_text("no sound")
    assert {clip.channel for clip in open_dataset(root)} == {0}


def test_two_channels_of_2020_are_mixed(tree) -> None:
    root = tree(["fan/train/normal_id_00_00000000.wav"], channels=2)
    assert {clip.channel for clip in open_dataset(root)} == {None}


@pytest.mark.parametrize("folders", ["{}", "{}/raw"])
def test_development_and_evaluation_data_side_by_side(tree, folders: str) -> None:
    root = tree(
        [
            folders.format("dev_data") + "/fan/train/normal_id_00_00000000.wav",
            folders.format("eval_data") + "/fan/train/normal_id_01_00000000.wav",
            folders.format("eval_data") + "/fan/test/id_01_00000000.wav",
        ]
    )
    dataset = open_dataset(root)
    assert dataset.machine_keys == (("fan", "id_00"), ("fan", "id_01"))
    assert len(dataset) == 3
    assert dataset.left_out == ()


def test_clips_come_in_a_fixed_order(tree) -> None:
    names = [
        f"fan/train/normal_id_0{machine}_{number}.wav" for machine in (2, 0) for number in (10, 9)
    ]
    names += ["fan/test/normal_id_00_3.wav", "ToyCar/train/normal_id_01_1.wav"]
    assert [
        clip.path.relative_to(clip.path.parents[2]).as_posix() for clip in open_dataset(tree(names))
    ] == [
        "ToyCar/train/normal_id_01_1.wav",
        "fan/train/normal_id_00_9.wav",
        "fan/train/normal_id_00_10.wav",
        "fan/test/normal_id_00_3.wav",
        "fan/train/normal_id_02_9.wav",
        "fan/train/normal_id_02_10.wav",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fan/train/anomaly_id_00_00000001.wav", "wanted a name like normal_id_00_00000000 "),
        ("fan/train/id_00_00000001.wav", "wanted a name like normal_id_00_00000000 "),
        ("fan/test/noise.wav", "wanted a name like anomaly_id_00_00000000 "),
        (
            "fan/test/section_00_source_train_normal_0000.wav",
            "called as no recording in a folder test",
        ),
        (
            "fan/source_test/section_00_target_test_0000.wav",
            r"section_00_source_test_normal_0000 \(2021\)",
        ),
    ],
)
def test_a_name_of_no_year(tree, name: str, reason: str) -> None:
    root = tree(["fan/train/normal_id_00_00000000.wav", name])
    with pytest.raises(DatasetError, match=reason):
        open_dataset(root)


def test_hidden_files_are_no_clips_and_others_are_named(tree) -> None:
    root = tree(["fan/train/normal_id_00_00000000.wav", "fan/train/._normal_id_00_00000000.wav"])
    (root / "fan" / "train" / "notes.txt").write_text("quiet day")
    (root / "pump").mkdir()
    dataset = open_dataset(root)
    assert len(dataset) == 1
    assert [path.name for path, _ in dataset.left_out] == ["pump", "notes.txt"]


def test_a_machine_without_recordings(tree) -> None:
    root = tree(["fan/train/normal_id_00_00000000.wav"])
    (root / "pump" / "train").mkdir(parents=True)
    dataset = open_dataset(root)
    assert dataset.machines == ("fan",)
    ((path, reason),) = dataset.left_out
    assert (path.name, reason.split(" of /")[0]) == ("pump", "no recording in the folders")


def test_one_clip_in_two_places(tree) -> None:
    root = tree(
        ["fan/train/normal_id_00_00000000.wav", "dev_data/fan/train/normal_id_00_00000000.flac"]
    )
    assert len(open_dataset(root)) == 2  # of two names: wav and flac
    root = tree(["dev_data/raw/fan/train/normal_id_00_00000000.wav"])
    with pytest.raises(
        DatasetError, match="two train clips of fan id_00 are called normal_id_00_0"
    ):
        open_dataset(root)


def test_one_folder_under_two_names(tree) -> None:
    root = tree(["fan/train/normal_id_00_00000000.wav"])
    (root / "pump").symlink_to(root / "fan")
    with pytest.raises(DatasetError, match="same folder under two names"):
        open_dataset(root)


def test_a_linked_machine_is_read_and_a_broken_link_named(tree, tmp_path: Path) -> None:
    elsewhere = tree(["fan/train/normal_id_00_00000000.wav"], below="disk")
    root = tmp_path / "data"
    root.mkdir()
    (root / "fan").symlink_to(elsewhere / "fan")
    assert open_dataset(root).machines == ("fan",)
    (root / "pump").symlink_to(elsewhere / "gone")
    with pytest.raises(DatasetError, match=r"pump is a link to .*gone, which is not there"):
        open_dataset(root)


def test_what_is_no_dcase_data(tree, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no clips in .*: wanted <machine>/train/"):
        DCASE.read(tree(["fan/normal/a.wav"]))
    assert not DCASE.recognises(tree(["fan/train/a.wav"], below="other"))
