"""What every dataset reader promises, on the smallest folder of its layout."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thrum.datasets import DATASETS, open_dataset
from thrum.errors import DatasetError
from thrum.types import Dataset


def _recordings(root: Path, names: list[str]) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16), 16000, format="WAV")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(file.getvalue())


def _dcase(root: Path) -> None:
    names = [f"train/normal_id_00_{number}.wav" for number in range(3)]
    _recordings(root, [f"fan/{name}" for name in [*names, "test/normal_id_00_0.wav"]])
    _recordings(root, ["fan/test/anomaly_id_00_0.wav", "pump/train/normal_id_02_0.wav"])


def _mimii(root: Path) -> None:
    names = [f"normal/0000000{number}.wav" for number in range(4)]
    _recordings(root, [f"6_dB_fan/fan/id_00/{name}" for name in [*names, "abnormal/00000000.wav"]])
    _recordings(root, [f"6_dB_fan/fan/id_02/{name}" for name in names])


def _folder(root: Path) -> None:
    names = [f"normal/{number}.wav" for number in range(4)]
    _recordings(root, [f"press/{name}" for name in [*names, "anomaly/0.wav"]])
    _recordings(root, ["lathe/0.wav"])


def _arrays(root: Path) -> None:
    root.mkdir()
    for name in ("fan_id_00", "pump"):
        np.savez(
            root / f"{name}.npz",
            train_normal=np.zeros((3, 2, 4)),
            test_normal=np.zeros((1, 2, 4)),
            test_anomaly=np.zeros((1, 2, 4)),
        )


SMALLEST: dict[str, Callable[[Path], None]] = {
    "arrays": _arrays,
    "dcase": _dcase,
    "folder": _folder,
    "mimii": _mimii,
}


@pytest.fixture(params=list(DATASETS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    SMALLEST[name](tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return open_dataset(root)


def test_the_layout_is_found_out(name: str, root: Path) -> None:
    assert open_dataset(root) == DATASETS.load(name).read(root)


def test_every_path_exists_below_the_root(dataset: Dataset, root: Path) -> None:
    assert len(dataset) >= 5
    assert all(clip.path.is_file() and root in clip.path.parents for clip in dataset)


def test_reading_again_gives_the_same_in_the_same_order(dataset: Dataset, root: Path) -> None:
    assert open_dataset(root).clips == dataset.clips
    keys = [clip.machine_key for clip in dataset]
    assert keys == sorted(keys)


def test_training_clips_are_normal_and_test_clips_are_labelled(dataset: Dataset) -> None:
    assert {clip.label for clip in dataset.where(split="train")} == {"normal"}
    assert {clip.label for clip in dataset.where(split="test")} == {"normal", "anomaly"}
    assert len(dataset.machine_keys) == 2


def test_names_tell_the_clips_of_a_split_apart(dataset: Dataset) -> None:
    names = [(*clip.machine_key, clip.split, clip.name) for clip in dataset]
    assert len(set(names)) == len(names)
    assert all(names)


def test_clips_cannot_be_changed(dataset: Dataset) -> None:
    with pytest.raises(FrozenInstanceError):
        dataset.clips[0].label = "anomaly"  # type: ignore[misc]
    with pytest.raises(TypeError):
        dataset.clips[0].attributes["speed"] = "1"  # type: ignore[index]


def test_clips_are_recordings_or_rows_as_the_dataset_says(dataset: Dataset) -> None:
    assert {clip.row is None for clip in dataset} == {dataset.holds == "audio"}


def test_an_empty_folder_is_named_with_what_was_wanted(name: str, tmp_path: Path) -> None:
    assert not DATASETS.load(name).recognises(tmp_path)
    with pytest.raises(DatasetError, match=f"no clips in {tmp_path}.*: wanted "):
        DATASETS.load(name).read(tmp_path)
