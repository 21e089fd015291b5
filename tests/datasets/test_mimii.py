"""MIMII: three mixtures, eight channels, no published split."""

from __future__ import annotations

import pytest

from thrum.datasets import open_dataset
from thrum.errors import DatasetError


def individual(top: str, *, normal: int = 5, abnormal: int = 2) -> list[str]:
    return [f"{top}/normal/{number:08d}.wav" for number in range(normal)] + [
        f"{top}/abnormal/{number:08d}.wav" for number in range(abnormal)
    ]


def test_the_first_normal_recordings_are_tested_with_the_abnormal_ones(tree) -> None:
    dataset = open_dataset(tree(individual("6_dB_fan/fan/id_00"), channels=8))
    assert dataset.machine_keys == (("fan_6_dB", "id_00"),)
    assert [clip.name for clip in dataset.where(split="train")] == [
        "normal/00000002.wav",
        "normal/00000003.wav",
        "normal/00000004.wav",
    ]
    assert {(clip.name, clip.label) for clip in dataset.where(split="test")} == {
        ("normal/00000000.wav", "normal"),
        ("normal/00000001.wav", "normal"),
        ("abnormal/00000000.wav", "anomaly"),
        ("abnormal/00000001.wav", "anomaly"),
    }


@pytest.mark.parametrize(
    ("top", "machine", "snr"),
    [
        ("-6_dB_pump/pump", "pump_-6_dB", "-6_dB"),
        ("0_dB_pump/pump", "pump_0_dB", "0_dB"),
        ("min6dB/pump", "pump_-6_dB", "-6_dB"),
        ("6dB/pump", "pump_6_dB", "6_dB"),
        ("pump", "pump", None),
    ],
)
def test_the_signal_to_noise_ratio(tree, top: str, machine: str, snr: str | None) -> None:
    dataset = open_dataset(tree(individual(f"{top}/id_02")))
    assert dataset.machines == (machine,)
    assert {clip.attributes.get("snr") for clip in dataset} == {snr}


def test_one_snr_opened_by_itself_is_called_the_same(tree) -> None:
    root = tree(individual("6_dB_fan/fan/id_00") + individual("0_dB_fan/fan/id_00"))
    assert open_dataset(root).machines == ("fan_0_dB", "fan_6_dB")
    assert open_dataset(root / "6_dB_fan").machines == ("fan_6_dB",)


@pytest.mark.parametrize(
    ("machine", "channel"), [("valve", 0), ("pump", 2), ("fan", 4), ("slider", 6)]
)
def test_the_microphone_that_faces_the_machine_is_read(tree, machine: str, channel: int) -> None:
    dataset = open_dataset(tree(individual(f"6dB/{machine}/id_00"), channels=8))
    assert {clip.channel for clip in dataset} == {channel}


def test_copies_with_fewer_channels_are_mixed(tree) -> None:
    assert {clip.channel for clip in open_dataset(tree(individual("fan/id_00")))} == {None}


def test_too_few_normal_recordings_to_train_and_test(tree) -> None:
    root = tree(individual("fan/id_00", normal=2, abnormal=2))
    with pytest.raises(DatasetError, match="has 2 normal and 2 abnormal recordings: wanted more"):
        open_dataset(root)


def test_one_mixture_under_two_names(tree) -> None:
    root = tree(individual("6_dB_fan/fan/id_00") + individual("6dB/fan/id_00"))
    with pytest.raises(DatasetError, match="clips of fan_6_dB id_00 are called normal/00000002"):
        open_dataset(root)
