"""Anyone's folder of recordings."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from thrum.datasets import open_dataset
from thrum.errors import DatasetError


def described(root: Path) -> dict[tuple[str, str, str], tuple]:
    return {
        (clip.machine, clip.machine_id, clip.name): (clip.split, clip.label)
        for clip in open_dataset(root)
    }


def test_recordings_that_lie_in_the_folder_of_a_machine(tree) -> None:
    root = tree(["press/monday.wav", "press/tuesday.FLAC", "lathe/a.wav"])
    assert described(root) == {
        ("lathe", "id_00", "a.wav"): ("train", "normal"),
        ("press", "id_00", "monday.wav"): ("train", "normal"),
        ("press", "id_00", "tuesday.FLAC"): ("train", "normal"),
    }


@pytest.mark.parametrize("anomaly", ["anomaly", "abnormal", "anomalies", "Anomaly", "ABNORMAL"])
def test_as_many_normal_recordings_are_held_out_as_there_are_anomalies(tree, anomaly) -> None:
    names = [f"press/normal/{number}.wav" for number in range(1, 11)]
    found = described(tree([*names, f"press/{anomaly}/1.wav", f"press/{anomaly}/2.wav"]))
    held_out = [name for (*_, name), what in found.items() if what == ("test", "normal")]
    assert held_out == ["normal/9.wav", "normal/10.wav"]  # the last ones: 10 comes after 9
    assert found["press", "id_00", f"{anomaly}/1.wav"] == ("test", "anomaly")
    assert sum(what == ("train", "normal") for what in found.values()) == 8


def test_capitals_are_no_machine_ids(tree) -> None:
    names = [f"press/Normal/{number}.wav" for number in range(3)]
    root = tree([*names, "press/Anomaly/1.wav", "fan/Train/a.wav", "fan/Test/Anomalies/b.wav"])
    found = described(root)
    assert {machine_id for _, machine_id, _ in found} == {"id_00"}
    assert found["press", "id_00", "Anomaly/1.wav"] == ("test", "anomaly")
    assert found["press", "id_00", "Normal/2.wav"] == ("test", "normal")
    assert found["fan", "id_00", "Test/Anomalies/b.wav"] == ("test", "anomaly")


@pytest.mark.parametrize(
    "names",
    [
        ["press/normals/a.wav", "press/anomalous/b.wav"],
        ["press/OK/a.wav", "press/NG/b.wav"],
        ["press/hall 1/normal/a.wav", "press/Abnormal sounds/a.wav"],
        ["press/good/a.wav", "press/broken/b.wav"],
        ["fan/a.wav", "anomalous/a.wav"],
    ],
)
def test_a_folder_called_nearly_like_a_part_is_no_machine(tree, names: list[str]) -> None:
    with pytest.raises(DatasetError, match="rename it to 'normal', 'anomaly' or 'test'"):
        open_dataset(tree(names))


@pytest.mark.parametrize(("normal", "held_out"), [(2, 0), (3, 1), (8, 2), (9, 3)])
def test_at_most_a_third_is_held_out(tree, normal: int, held_out: int) -> None:
    names = [f"press/normal/{number}.wav" for number in range(normal)]
    names += [f"press/anomaly/{number}.wav" for number in range(20)]
    found = described(tree(names))
    assert sum(what == ("test", "normal") for what in found.values()) == held_out


def test_without_anomalies_nothing_is_held_out(tree) -> None:
    found = described(tree([f"press/normal/{number}.wav" for number in range(9)]))
    assert set(found.values()) == {("train", "normal")}


@pytest.mark.parametrize("normal", ["normal", "train", "train/normal"])
def test_a_folder_test_decides_the_split(tree, normal: str) -> None:
    root = tree(
        [
            *(f"press/{normal}/{number}.wav" for number in range(9)),
            "press/test/normal/1.wav",
            "press/test/anomaly/1.wav",
            "press/test/abnormal/broken belt/1.wav",
            "press/test/unheard.wav",
        ]
    )
    tests = {
        name: label for (*_, name), (split, label) in described(root).items() if split == "test"
    }
    assert tests == {
        "test/normal/1.wav": "normal",
        "test/anomaly/1.wav": "anomaly",
        "test/abnormal/broken belt/1.wav": "anomaly",
        "test/unheard.wav": None,
    }


def test_individuals_of_a_machine_have_folders_between(tree) -> None:
    root = tree(["press/hall 1/normal/a.wav", "press/hall 2/b.wav", "lathe/normal/monday/c.wav"])
    assert set(described(root)) == {
        ("press", "hall 1", "normal/a.wav"),
        ("press", "hall 2", "b.wav"),
        ("lathe", "id_00", "normal/monday/c.wav"),
    }


def test_any_number_of_channels_is_mixed(tree) -> None:
    assert {clip.channel for clip in open_dataset(tree(["press/a.wav"], channels=3))} == {None}


def test_what_is_no_clip_is_named(tree, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(["press/normal/a.wav", "press/normal/.b.wav", "press/__MACOSX/a.wav"])
    (root / "press" / "normal" / "c.txt").write_bytes(b"")
    (root / "press" / "strange").mkdir()
    (root / "notes").mkdir()
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset(root)
    assert len(dataset) == 1
    assert {path.name: reason for path, reason in dataset.left_out} == {
        "c.txt": "no sound file",
        "strange": "a folder called neither abnormal, anomalies, anomaly, normal, test, train",
        "notes": "no recordings in it",
    }
    (message,) = caplog.messages
    assert "left out what is no clip (3 in all, first " in message
    assert "thrum data check" in message


@pytest.mark.parametrize("name", ["a.wav", "normal/a.wav", "test/a.wav"])
def test_the_folder_of_one_machine(tree, name: str) -> None:
    with pytest.raises(
        DatasetError, match="itself the folder of one machine: give the folder above"
    ):
        open_dataset(tree([name]))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["press/anomaly/a.wav"], "no normal recording for training in .*press"),
        (
            ["press/a.wav", "press/normal/a.wav"],
            "lie in .*press and in .*normal: move them into one",
        ),
        (["press/train/a.wav", "press/normal/a.wav"], "lie in .*normal and in .*train: move them"),
        (["press/train/anomaly/a.wav"], "an anomaly among the normal recordings"),
        (["press/normal/Anomalous/a.wav"], "an anomaly among the normal recordings"),
        (["press/normal/a.wav", "press/Normal/b.wav"], "differ in upper and lower case only"),
    ],
)
def test_recordings_that_lie_wrong(tree, names: list[str], reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        open_dataset(tree(names))


def test_an_empty_part_of_a_machine(tree) -> None:
    root = tree(["press/normal/a.wav"])
    (root / "lathe" / "normal").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"no normal recording for training in .*lathe"):
        open_dataset(root)


@pytest.mark.parametrize("name", [b"press/normal/Ger\xe4t.wav", b"Ger\xe4t/normal/a.wav"])
def test_a_name_that_is_not_utf8_is_refused(tree, name: bytes) -> None:
    root = tree(["fan/normal/a.wav"])
    try:
        tree([os.fsdecode(name)])
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    with pytest.raises(
        DatasetError, match=r"Ger\\xe4t(\.wav)? has a name that is not UTF-8: rename"
    ):
        open_dataset(root)


def test_one_folder_under_two_names(tree) -> None:
    root = tree(["press/normal/a.wav"])
    (root / "lathe").symlink_to(root / "press")
    with pytest.raises(
        DatasetError, match="same folder under two names: one machine would be taken"
    ):
        open_dataset(root)
