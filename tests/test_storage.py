from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from thrum import storage
from thrum.errors import StorageError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


def test_state_round_trip_is_bit_equal(tmp_path: Path) -> None:
    storage.save_state(tmp_path, TENSORS, {"kind": "test"})
    tensors, description = storage.load_state(tmp_path)
    assert description["kind"] == "test"
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)


def test_a_file_of_another_state_is_found_out(tmp_path: Path) -> None:
    storage.save_state(tmp_path, TENSORS, {})
    storage.save_state(tmp_path / "other", {"a": torch.zeros(1)}, {})
    os.replace(tmp_path / "other" / "model.safetensors", tmp_path / "model.safetensors")  # noqa: PTH105
    with pytest.raises(StorageError, match="damaged or belongs to another"):
        storage.load_state(tmp_path)


def test_a_flipped_bit_is_found_out(tmp_path: Path) -> None:
    storage.save_state(tmp_path, TENSORS, {})
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="sha256 differs"):
        storage.load_state(tmp_path)


@pytest.mark.parametrize("name", ["a file/x.csv", "a file/below/x.csv", f"{'n' * 300}.csv"])
def test_where_nothing_can_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StorageError, match=f"cannot write .*{name}"):
        storage.write_text(tmp_path / name, "")
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    storage.save_state(tmp_path, TENSORS, {})
    description = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(description | {"schema": 99}))
    with pytest.raises(StorageError, match="schema 99"):
        storage.load_state(tmp_path)


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_a_missing_half_is_named(tmp_path: Path, missing: str) -> None:
    storage.save_state(tmp_path, TENSORS, {})
    (tmp_path / missing).unlink()
    with pytest.raises(StorageError, match=f"{missing} is missing"):
        storage.load_state(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    storage.write_text(path, "old")
    with pytest.raises(RuntimeError), storage.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        storage.write_text(tmp_path / "file.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_arrays_and_json(tmp_path: Path) -> None:
    array = np.arange(4, dtype=np.float16)
    checksum = storage.write_array(tmp_path / "a.npy", array)
    assert checksum == storage.sha256(tmp_path / "a.npy")
    np.testing.assert_array_equal(storage.read_array(tmp_path / "a.npy"), array)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(StorageError, match="is not a readable"):
        storage.read_array(tmp_path / "bad.npy")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StorageError, match="not valid JSON"):
        storage.read_json(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "nan.json", {"score": float("nan")})


def test_an_array_is_mapped_as_it_was_written_and_cannot_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array in (np.arange(24.0).reshape(4, 6), np.asfortranarray(np.eye(3)), np.zeros((0, 5))):
        storage.write_array(path, array)
        mapped = storage.read_array(path)
        assert (mapped.dtype, mapped.shape) == (array.dtype, array.shape)
        assert mapped.flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(mapped, array)
        with pytest.raises(ValueError, match="read-only"):
            mapped[...] = 1
    storage.write_array(path, np.arange(24.0))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(StorageError, match="is not a readable"):
        storage.read_array(path)


def test_mapped_arrays_keep_no_files_open(tmp_path: Path, few_files: int) -> None:
    arrays = []
    for number in range(3 * few_files):
        path = tmp_path / f"{number}.npy"
        storage.write_array(path, np.full(4, number))
        arrays.append(storage.read_array(path))
    assert [int(array[0]) for array in arrays] == list(range(3 * few_files))


@pytest.mark.parametrize("left", [0, 1])
def test_too_many_open_files_are_told_from_a_bad_file(
    tmp_path: Path, few_files: int, left: int
) -> None:
    path = tmp_path / "a.npy"
    storage.write_array(path, np.arange(4.0))
    with ExitStack() as stack:
        held = []
        with suppress(OSError):
            while True:
                held.append(stack.enter_context(path.open("rb")))
        for file in held[:left]:
            file.close()
        with pytest.raises(StorageError, match="Too many open files.* ulimit -n"):
            storage.read_array(path)
    np.testing.assert_array_equal(storage.read_array(path), np.arange(4.0))


def test_a_checkpoint_round_trip(tmp_path: Path) -> None:
    storage.save_tensors(tmp_path / "c.safetensors", TENSORS, {"epoch": 3})
    tensors, description = storage.load_tensors(tmp_path / "c.safetensors")
    assert description["epoch"] == 3
    assert torch.equal(tensors["b"], TENSORS["b"])
    (tmp_path / "c.safetensors").write_bytes(b"torn")
    with pytest.raises(StorageError, match="not a safetensors file"):
        storage.load_tensors(tmp_path / "c.safetensors")


def test_whatever_bit_of_what_is_stored_changes_is_found_out(tmp_path: Path) -> None:
    """Or it says the same; nothing ends in an error that is none of ours."""
    one = {"a": torch.arange(2.0)}
    storage.save_tensors(tmp_path / "checkpoint", one, {"done": [1, 0.5]})
    storage.save_state(tmp_path, one, {"kind": "test"})
    storage.write_sealed(tmp_path / "sealed", {"text": "é", "n": 1e-5})
    storage.write_secret(tmp_path / "secret", bytes(range(32)))
    kinds = {
        "checkpoint": storage.load_tensors,
        "model.json": lambda path: storage.load_state(path.parent),
        "model.safetensors": lambda path: storage.load_state(path.parent),
        "sealed": lambda path: storage.read_sealed(path),
        "secret": storage.read_secret,
    }
    for name, read in kinds.items():
        path = tmp_path / name
        content, wanted = path.read_bytes(), str(read(path))
        for bit in range(8 * len(content)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with suppress(StorageError):
                assert _without_seal(str(read(path))) == wanted, (name, bit)
        path.write_bytes(content)


def _without_seal(told: str) -> str:
    """What `read` says where the name of the seal itself has changed: what was written, and that."""
    return re.sub(r", '(?!sha256')[^']{1,8}': '[0-9a-f]{64}'", "", told)


def test_tensors_under_a_prefix_lose_it() -> None:
    tensors = {"1.network.weight": torch.ones(1), "10.network.weight": torch.zeros(1)}
    found = storage.under(storage.under(tensors, "1"), "network")
    assert list(found) == ["weight"]
    assert found["weight"] == 1
