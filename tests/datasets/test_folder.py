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
    ("normal", "anomaly"),
    [
        ("normals", "anomalous"),
        ("OK", "NG"),
        ("good", "broken"),
        ("baseline", "bearing_fault"),
        ("Gutteile", "Lagerschaden"),
        ("fehlerfrei", "defekt"),
        ("sain", "en panne"),
        ("sin falla", "averiado"),
        ("正常", "異常"),
        ("定常_良品", "异音"),
        ("正常", "泄漏"),
    ],
)
@pytest.mark.parametrize("below", ["", "monday/"])
def test_words_of_well_and_ill_are_labels(tree, normal: str, anomaly: str, below: str) -> None:
    names = [f"press/{normal}/{below}{number}.wav" for number in range(3)]
    found = described(tree([*names, f"press/{anomaly}/{below}1.wav"]))
    assert {key[:2] for key in found} == {("press", "id_00")}
    assert found["press", "id_00", f"{normal}/{below}0.wav"] == ("train", "normal")
    assert found["press", "id_00", f"{normal}/{below}2.wav"] == ("test", "normal")
    assert found["press", "id_00", f"{anomaly}/{below}1.wav"] == ("test", "anomaly")


def test_faults_of_several_kinds_are_anomalies_of_one_machine(tree) -> None:
    names = [f"pump/baseline/{number}.wav" for number in range(6)]
    found = described(tree([*names, "pump/bearing_fault/1.wav", "pump/leak/1.wav"]))
    assert {key[:2] for key in found} == {("pump", "id_00")}
    anomalies = {key[2] for key, what in found.items() if what == ("test", "anomaly")}
    assert anomalies == {"bearing_fault/1.wav", "leak/1.wav"}


def test_labels_in_file_names(tree) -> None:
    names = [f"pump/normal_{number}.wav" for number in range(6)]
    found = described(tree([*names, "pump/anomaly_0.wav", "pump/anomaly_1.wav"]))
    assert found["pump", "id_00", "normal_0.wav"] == ("train", "normal")
    assert found["pump", "id_00", "normal_5.wav"] == ("test", "normal")
    assert found["pump", "id_00", "anomaly_0.wav"] == ("test", "anomaly")


def test_the_layout_of_mvtec(tree) -> None:
    names = [f"pump/train/good/{number:03d}.wav" for number in range(3)]
    names += ["pump/test/good/000.wav", "pump/test/belt_torn/000.wav", "pump/test/hole/000.wav"]
    found = described(tree(names))
    assert found["pump", "id_00", "train/good/002.wav"] == ("train", "normal")
    assert found["pump", "id_00", "test/good/000.wav"] == ("test", "normal")
    assert found["pump", "id_00", "test/belt_torn/000.wav"] == ("test", "anomaly")
    assert found["pump", "id_00", "test/hole/000.wav"] == ("test", "anomaly")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["press/hall 1/normal/a.wav", "press/Abnormal sounds/a.wav"], "a machine of its own"),
        (["fan/a.wav", "anomalous/a.wav"], "rename it to 'normal', 'anomaly' or 'test'"),
        (["pump_ok/a.wav", "pump_faulty/a.wav"], "itself the folder of one machine"),
        (["pump_ok/a.wav", "fan/a.wav"], "rename it to"),
        (["pump/baseline/a.wav", "pump/xyz/a.wav"], r"pump/xyz lies beside baseline, which say"),
        (["pump/leak/a.wav", "pump/state_2/a.wav"], r"pump/state_2 lies beside leak, which say"),
        (["pump/normal_0.wav", "pump/xyz_0.wav"], r"xyz_0\.wav lies beside normal_0\.wav"),
        (["pump/a.wav", "pump/fault_0.wav"], r"a\.wav lies beside fault_0\.wav"),
        (["pump/train/ng/a.wav", "pump/train/ok/a.wav"], "an anomaly among the normal recordings"),
        (["pump/normal/bearing_fault/a.wav"], "an anomaly among the normal recordings"),
        (["pump/normal/bearing_fault_1.wav"], "an anomaly among the normal recordings"),
        (["pump/normal/a.wav", "pump/anomaly/ok_1.wav"], "is normal by its name and lies among"),
        (["pump/normal/a.wav", "pump/good or bad/a.wav"], "is called both well and ill"),
        (
            ["pump/train/a.wav", "pump/test/ok/a.wav", "pump/test/x/a.wav"],
            "test/x lies beside test/ok",
        ),
        (
            ["pump/a.wav", "2026-03-01/a.wav"],
            "called by when it was recorded: of which machine",
        ),
        (["fan/0/a.wav", "fan/1/a.wav"], "fan has the folders 0, 1: are these machines of"),
        (["fan/N/a.wav", "fan/A/a.wav"], "fan has the folders A, N: are these machines of"),
        (["fan/N/a.wav", "fan/B/a.wav", "fan/IR/a.wav"], "fan has the folders B, IR, N: are"),
        (["fan/class_0/a.wav", "fan/class_1/a.wav"], "fan has the folders class_0, class_1"),
        (["fan/Zustand 1/a.wav", "fan/Zustand 2/a.wav"], "fan has the folders Zustand 1, Zus"),
        (["fan/before_repair/a.wav", "fan/after_repair/a.wav"], "after_repair, before_repair: are"),
        (["fan/0_1.wav", "fan/0_2.wav", "fan/1_1.wav", "fan/1_2.wav"], "0_1.wav and 1_2.wav: do"),
        ([f"fan/{n}_label{n % 2}.wav" for n in range(4)], "do the numbers say normal and anomaly"),
        (["fan/train/a.wav", "fan/val/a.wav"], "fan/val is called by a split that is not needed"),
        (["train/a.wav", "val/a.wav"], "give the folder above it; .*val is called by a split"),
        (["fan/dev/a.wav", "fan/eval/a.wav"], "fan/dev is called by a split that is not needed"),
        (["normal/fan/a.wav", "anomaly/fan/a.wav"], "say --anomaly 'anomaly/\\*' --normal 'normal"),
        (
            ["train/fan/a.wav", "test/fan/ok/a.wav", "test/fan/ng/a.wav"],
            r"--anomaly 'test/\*/ng/\*' --normal 'test/\*/ok/\*' --normal 'train/\*'",
        ),
        (["2026-03-01/a.wav", "2026-03-02/a.wav"], "itself the folder of one machine"),
    ],
)
def test_what_looks_like_labels_and_is_not_understood_stops(tree, names, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        open_dataset(tree(names))


def test_microphones_and_loads_are_told_as_what_they_were_taken_for(tree, caplog) -> None:
    found = described(
        tree(["fan/mic 1/a.wav", "fan/mic 2/a.wav", "pump/900rpm/a.wav", "pump/1200 rpm/a.wav"])
    )
    assert {key[1] for key in found} == {"mic 1", "mic 2", "900rpm", "1200 rpm"}
    assert (
        "mic 1, mic 2 are taken for machines of their own; if they are microphones" in caplog.text
    )
    assert (
        "1200 rpm, 900rpm are taken for machines of their own; if they are operating" in caplog.text
    )


def test_sessions_are_no_machine_ids(tree) -> None:
    names = ["pump/session 1/2026-03-01/a.wav", "pump/session 2/2026-03-02/a.wav"]
    assert {key[:2] for key in described(tree([*names, "fan/März/a.wav", "fan/April/a.wav"]))} == {
        ("pump", "id_00"),
        ("fan", "id_00"),
    }


def test_days_are_no_machine_ids(tree) -> None:
    names = [f"pump/2026-03-0{day}/{hour}.wav" for day in (1, 2) for hour in (9, 10)]
    names.append("pump/2026/03/05/9.wav")
    names += ["fan/20260301/normal/1.wav", "fan/20260302/normal/1.wav", "fan/20260302/worn/1.wav"]
    found = described(tree(names))
    assert {key[:2] for key in found} == {("pump", "id_00"), ("fan", "id_00")}
    assert len(found) == 8
    assert found["fan", "id_00", "20260302/worn/1.wav"] == ("test", "anomaly")


def test_days_above_machines(tree) -> None:
    found = described(
        tree(
            [
                "2026-03-01/pump/hall 1/a.wav",
                "2026-03-02/pump/hall 1/a.wav",
                "2026/03/fan/normal/a.wav",
            ]
        )
    )
    assert set(found) == {
        ("pump", "hall 1", "2026-03-01/a.wav"),
        ("pump", "hall 1", "2026-03-02/a.wav"),
        ("fan", "id_00", "2026/03/normal/a.wav"),
    }


def test_links_that_lead_back_make_no_machines(tree) -> None:
    root = tree(["pump/normal/a.wav", "press/hall 1/a.wav"])
    (root / "up").symlink_to("..")
    (root / "pump" / "all").symlink_to(root)
    (root / "press" / "self").symlink_to(root / "press")
    dataset = open_dataset(root)
    assert dataset.machine_keys == (("press", "hall 1"), ("pump", "id_00"))
    reasons = {path.name: reason for path, reason in dataset.left_out}
    assert reasons["up"] == reasons["all"] == "a link to a folder that it lies in"


@pytest.mark.parametrize("name", ["labels.csv", "pump/annotations.xlsx", "pump/notes.csv"])
def test_labels_beside_the_sound_are_not_passed_over(tree, name: str) -> None:
    root = tree(["pump/a.wav", "pump/b.wav"])
    (root / name).write_text("file;zustand\na.wav;gut\nb.wav;defekt\n")
    with pytest.raises(DatasetError, match=rf"{name} looks like labels .* say --labels"):
        open_dataset(root)


def test_tables_of_other_things_are_left_out(tree) -> None:
    root = tree(["pump/a.wav", "pump/b.wav"])
    (root / "pump" / "temperature.csv").write_text("time,celsius\n09:00,21\n")
    (root / "README.txt").write_text("Recorded in hall 1, a.wav and b.wav.")
    assert len(open_dataset(root)) == 2


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
    tree(["lathe/a.wav", "lathe/spare/b.wav"])
    (root / "press" / "normal" / "c.txt").write_bytes(b"")
    (root / "notes").mkdir()
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset(root)
    assert len(dataset) == 2
    assert {path.name: reason for path, reason in dataset.left_out} == {
        "c.txt": "no sound file",
        "spare": "a folder whose name says neither normal nor anomaly",
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


def test_a_machine_with_nothing_to_learn_from_is_named_and_left_out(tree) -> None:
    root = tree(["press/normal/a.wav", "fan/anomaly/a.wav"])
    (root / "lathe" / "normal").mkdir(parents=True)
    dataset = open_dataset(root)
    assert dataset.machines == ("press",)
    reasons = {path.name: reason for path, reason in dataset.left_out}
    assert {name: reason.split(" in /")[0] for name, reason in reasons.items()} == {
        "lathe": "no normal recording for training",
        "fan": "no normal recording for training",
    }


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
