"""Features in ``.npz`` files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thrum.datasets import arrays, open_dataset
from thrum.errors import DatasetError

RNG = np.random.default_rng(0)


def features(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float16)


def test_each_row_is_a_clip(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "ToyCar_id_01.npz",
        train_normal=features(3, 4, 5),
        test_normal=features(1, 4, 5),
        test_anomaly=features(2, 4, 5),
        test_anomaly_name=np.array(["loose wheel", "bent axle"]),
    )
    np.savez(tmp_path / "fan_section_02.npz", train_normal=features(1, 4, 5))
    np.savez(tmp_path / "lathe.npz", train_normal=features(1, 4, 5))
    (tmp_path / "manifest.csv").write_text("")
    dataset = open_dataset(tmp_path)
    assert dataset.holds == "features"
    assert dataset.machine_keys == (("ToyCar", "id_01"), ("fan", "section_02"), ("lathe", "id_00"))
    car = dataset.where(machine="ToyCar")
    assert [(clip.split, clip.label, clip.row, clip.name) for clip in car] == [
        ("train", "normal", ("train_normal", 0), "train_normal_0000"),
        ("train", "normal", ("train_normal", 1), "train_normal_0001"),
        ("train", "normal", ("train_normal", 2), "train_normal_0002"),
        ("test", "anomaly", ("test_anomaly", 0), "loose wheel"),
        ("test", "anomaly", ("test_anomaly", 1), "bent axle"),
        ("test", "normal", ("test_normal", 0), "test_normal_0000"),
    ]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int16", "uint8"])
def test_features_are_read_in_any_order_and_type(tmp_path: Path, save, dtype: str) -> None:
    values = RNG.integers(0, 100, (20, 4, 5)).astype(dtype)
    other = RNG.integers(0, 100, (3, 2, 5)).astype(dtype)
    save(tmp_path / "fan.npz", train_normal=values, test_normal=other)
    clips = [*open_dataset(tmp_path)]
    RNG.shuffle(clips)
    for clip, found in zip(clips, arrays.read_features(clips), strict=True):
        name, row = clip.row
        assert found.dtype == np.float32
        np.testing.assert_array_equal(
            found, {"train_normal": values, "test_normal": other}[name][row]
        )


def test_one_vector_a_clip_is_one_frame(tmp_path: Path) -> None:
    values = features(3, 6)
    np.savez(tmp_path / "fan.npz", train_normal=values)
    found = arrays.read_features([*open_dataset(tmp_path)])
    np.testing.assert_array_equal(np.stack(found), values[:, None, :].astype(np.float32))


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    values = features(3, 4, 5).astype(np.float64)
    values[1, 0, 0] = np.nan
    values[2, 0, :2] = 1e300  # beyond float32
    np.savez(tmp_path / "fan.npz", train_normal=values)
    clips = [*open_dataset(tmp_path)]
    with pytest.raises(DatasetError, match=r"train_normal\[1\] holds 1 values that are NaN"):
        arrays.read_features(clips)
    found = dict(arrays.each(clips))
    np.testing.assert_array_equal(found[0], values[0].astype(np.float32))
    assert "train_normal[2] holds 2 values" in str(found[2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"x": features(3, 4)}, "fan.npz holds x: wanted <machine>_id_<XX>.npz with the arrays"),
        ({}, "fan.npz holds nothing: wanted"),
        (
            {"train_normal": features(3)},
            r"shape \(3,\) and type float16: wanted real numbers of shape",
        ),
        ({"train_normal": features(3, 2, 2, 2)}, "wanted real numbers of shape"),
        ({"train_normal": np.ones((3, 4), bool)}, "type bool: wanted real numbers"),
        ({"train_normal": np.ones((3, 4), complex)}, "type complex128: wanted real numbers"),
        ({"train_normal": np.full((3, 4), None)}, "holds Python objects, which are never loaded"),
        ({"train_normal": features(3, 0, 4)}, "its rows are empty"),
        ({"train_normal": np.asfortranarray(features(3, 4))}, "numpy.ascontiguousarray"),
        ({"train_normal": features(0, 4)}, "no clips in"),
        (
            {"train_normal": features(3, 4), "train_normal_name": np.array(["a", "b"])},
            r"train_normal_name has shape \(2,\) and type <U1, wanted \(3,\) names",
        ),
        (
            {"train_normal": features(1, 4), "train_normal_name": np.array(["a"], object)},
            "train_normal_name cannot be read .*Object arrays",
        ),
        (
            {"train_normal": features(2, 4), "train_normal_name": np.array(["a", "a"])},
            r"two train clips of fan id_00 are called a: .*train_normal\[0\] and .*train_normal\[1\]",
        ),
        (
            {"train_normal": features(2, 4), "test_normal": features(2, 5)},
            r"differ in form .*train_normal is \(2, 4\); .*test_normal is \(2, 5\)",
        ),
        (
            {"train_normal": features(2, 4), "test_normal": features(2, 3, 4)},
            "differ in form",
        ),
    ],
)
def test_arrays_of_another_kind(tmp_path: Path, content: dict, reason: str) -> None:
    np.savez(tmp_path / "fan.npz", **content)
    with pytest.raises(DatasetError, match=reason):
        open_dataset(tmp_path)


def test_machines_with_features_of_two_kinds(tmp_path: Path) -> None:
    np.savez(tmp_path / "fan_id_00.npz", train_normal=features(1, 3, 4))
    np.savez(tmp_path / "fan_id_01.npz", train_normal=features(1, 3, 8))
    with pytest.raises(DatasetError, match="wanted one kind for all machines"):
        open_dataset(tmp_path)


def test_two_files_of_one_machine_id(tmp_path: Path) -> None:
    np.savez(tmp_path / "fan.npz", train_normal=features(1, 4))
    np.savez(tmp_path / "fan_id_00.npz", train_normal=features(1, 4))
    with pytest.raises(DatasetError, match=r"fan\.npz, .* and .*fan_id_00\.npz, "):
        open_dataset(tmp_path)


def test_an_array_without_meaning_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "fan.npz", train_normal=features(1, 4), labels=features(1))
    assert [reason for _, reason in open_dataset(tmp_path).left_out] == [
        "the array 'labels' has no meaning here"
    ]


@pytest.mark.parametrize("content", [b"", b"these are words"])
def test_a_file_that_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fan.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"fan\.npz: .* cannot be read .*copy the file again"):
        open_dataset(tmp_path)


def test_a_file_damaged_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "fan.npz"
    np.savez(path, train_normal=features(50, 40))
    clips = [*open_dataset(tmp_path)]
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF  # found out by the archive's checksum at the end of the array
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"train_normal cannot be read .*Bad CRC"):
        arrays.read_features(clips)
    found = list(arrays.each(clips))
    assert [index for index, _ in found] == list(range(50))
    assert isinstance(found[-1][1], DatasetError)
    path.unlink()
    with pytest.raises(DatasetError, match="no file at"):
        arrays.read_features(clips)


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "fan.npz", train_normal=features(2, 4))
    clip = open_dataset(tmp_path).clips[0]
    with pytest.raises(
        DatasetError, match=r"train_normal\[2\] was asked for, the array has 2 rows"
    ):
        arrays.read_features([replace(clip, row=("train_normal", 2))])
    with pytest.raises(DatasetError, match="is a recording, features were wanted"):
        arrays.read_features([replace(clip, row=None)])
