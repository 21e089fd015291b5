"""Weights: what is stored, what is refused, what a user is told."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from thrum import storage
from thrum.embedders import checkpoints, weights
from thrum.embedders.weights import fetch_weights, import_weights, load_network, load_weights
from thrum.embedders.yamnet import YAMNet
from thrum.errors import UnknownNameError, WeightsError

SHAPES = {"0": {"kernel": (3, 3, 1, 4), "bias": (4,)}, "1": {"kernel": (4, 2), "bias": (2,)}}


class Tiny(nn.Sequential):
    """A convolution and a dense layer."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3), nn.Linear(4, 2))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thrum.embedders.conversion.Tiny", Tiny, raising=False)
    checkpoint = checkpoints.Checkpoint(
        name="tiny",
        url="http://127.0.0.1:9/tiny.h5",
        page="nowhere",
        licence="none",
        layout="keras",
        network="thrum.embedders.conversion:Tiny",
    )
    both = {
        **checkpoints.CHECKPOINTS,
        "tiny": checkpoint,
        "tiny_torch": replace(checkpoint, name="tiny_torch", layout="torch", state_key="model"),
    }
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", both)


def write_keras(path: Path, shapes: dict[str, dict[str, tuple[int, ...]]] = SHAPES) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(shapes)
        for layer, arrays in shapes.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{kind}:0" for kind in arrays]
            for kind, shape in arrays.items():
                group[f"{layer}/{kind}:0"] = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    return path


def stored(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "weights").glob("*"))


@pytest.mark.usefixtures("tiny")
def test_keras_weights_come_back_in_torchs_order(tmp_path: Path) -> None:
    original = write_keras(tmp_path / "tiny.h5")
    description = import_weights("tiny", original, cache=tmp_path)
    assert description["original_sha256"] == storage.sha256(original)
    assert stored(tmp_path) == ["tiny.json", "tiny.safetensors"]
    network = load_network("tiny", load_weights("tiny", cache=tmp_path))
    kernel = np.arange(36).reshape(3, 3, 1, 4)
    assert network[0].weight[2, 0].tolist() == kernel[:, :, 0, 2].tolist()
    assert network[1].weight.tolist() == np.arange(8).reshape(4, 2).T.tolist()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"0": SHAPES["0"]}, "1 layers with weights, 2 were wanted"),
        (
            {**SHAPES, "1": {"kernel": (4, 3), "bias": (3,)}},
            r"1.weight \(3, 4\) instead of \(2, 4\)",
        ),
        ({**SHAPES, "1": {"kernel": (4, 2)}}, r"1 missing \(1.bias\)"),
        ({**SHAPES, "1": {**SHAPES["1"], "extra": (1,)}}, r"1 unknown \(1.extra\)"),
    ],
)
def test_another_models_keras_file_is_refused(
    tmp_path: Path, shapes: dict[str, dict[str, tuple[int, ...]]], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        import_weights("tiny", write_keras(tmp_path / "x.h5", shapes), cache=tmp_path)
    assert stored(tmp_path) == []


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "4 missing"),
        ({"other.weight": torch.zeros(3)}, "4 missing.*1 unknown"),
        ({**Tiny().state_dict(), "1.bias": torch.full((2,), torch.nan)}, "1.bias holds NaN"),
        ([1, 2], "no table of tensors"),
    ],
)
def test_another_models_torch_file_is_refused(tmp_path: Path, state: object, message: str) -> None:
    torch.save({"model": state}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=message):
        import_weights("tiny_torch", tmp_path / "x.pth", cache=tmp_path)
    assert stored(tmp_path) == []


class Evil:
    """Runs a function when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("evil"),)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("damage", ["text", "cut", "empty", "pickle", "no state", "missing"])
def test_a_corrupt_torch_file_is_refused(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pth"
    match damage:
        case "text":
            path.write_text("no weights")
        case "cut":
            torch.save({"model": Tiny().state_dict()}, path)
            path.write_bytes(path.read_bytes()[:500])
        case "empty":
            path.touch()
        case "pickle":
            torch.save({"model": Evil()}, path)
        case "no state":
            torch.save({"state": Tiny().state_dict()}, path)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        import_weights("tiny_torch", path, cache=tmp_path)
    assert stored(tmp_path) == []
    assert not Path("evil").exists()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_corrupt_keras_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(WeightsError, match="not a Keras file"):
        import_weights("tiny", tmp_path / "x.h5", cache=tmp_path)


def test_missing_weights_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRUM_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="thrum weights fetch yamnet --from FILE"):
        YAMNet()


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'yamnet'"):
        load_weights("yamnte", cache=tmp_path)


@pytest.mark.usefixtures("tiny")
def test_damage_to_stored_weights_is_found(tmp_path: Path) -> None:
    import_weights("tiny", write_keras(tmp_path / "tiny.h5"), cache=tmp_path)
    path = tmp_path / "weights/tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged.*thrum weights fetch tiny"):
        load_weights("tiny", cache=tmp_path)


@pytest.mark.usefixtures("tiny")
def test_the_first_fetch_records_the_checksum_and_later_ones_are_held_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def served(url: str, path: Path, *, expected: str | None, progress: object) -> str:
        asked.append(expected)
        path.parent.mkdir(parents=True, exist_ok=True)
        return storage.sha256(write_keras(path))

    monkeypatch.setattr(weights, "download", served)
    first = fetch_weights("tiny", cache=tmp_path)
    second = fetch_weights("tiny", cache=tmp_path)
    assert asked == [None, first["original_sha256"]]
    assert (first["sha256_was_known"], second["sha256_was_known"]) == (False, True)
    assert stored(tmp_path) == ["tiny.json", "tiny.safetensors"]
    assert json.loads((tmp_path / "weights/tiny.json").read_text())["fetched"] is True


@pytest.mark.usefixtures("tiny")
def test_a_fetched_page_that_is_no_checkpoint_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def served(url: str, path: Path, *, expected: str | None, progress: object) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<html>Sign in</html>")
        return storage.sha256(path)

    monkeypatch.setattr(weights, "download", served)
    with pytest.raises(WeightsError, match="not a Keras file"):
        fetch_weights("tiny", cache=tmp_path)
    assert stored(tmp_path) == []
