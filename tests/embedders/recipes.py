"""Original checkpoints filled with reproducible pseudo-random weights, after the recipes."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch


def arrays(recipe: dict[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield each array's entry and its values; those that the port makes itself are zeros."""
    for entry in recipe["arrays"]:
        value = _values(entry)
        if entry["rule"] != "fixed":
            checksum = f"{zlib.crc32(np.ascontiguousarray(value).tobytes()):08x}"
            assert entry["crc32"].removeprefix("0x").zfill(8) == checksum, entry["name"]
        yield entry, value


def write_keras(recipe_path: Path, path: Path) -> Path:
    """Write a Keras file of weights, in the legacy HDF5 layout."""
    recipe = json.loads(recipe_path.read_text())
    layers: dict[str, list[tuple[str, np.ndarray]]] = {name: [] for name in recipe["layer_names"]}
    for entry, value in arrays(recipe):
        layer = entry["layer"]
        layers[layer].append((entry["name"].removeprefix(layer + "/"), value))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = recipe["h5_keras_version"].encode()
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, value in weights:
                group[name] = value
    return path


def write_torch(recipe_path: Path, path: Path, *, key: str | None = None, prefix: str = "") -> Path:
    """Write a state as torch's `save` does, alone or under `key`."""
    recipe = json.loads(recipe_path.read_text())
    state = {prefix + entry["name"]: torch.from_numpy(value) for entry, value in arrays(recipe)}
    content: dict[str, Any] = state if key is None else {key: state}
    if "cfg" in recipe:
        content["cfg"] = recipe["cfg"]
    torch.save(content, path)
    return path


def _values(entry: dict[str, Any]) -> np.ndarray:
    shape = entry["shape"]
    rng = np.random.default_rng(zlib.crc32(entry.get("tied_to", entry["name"]).encode()))
    match entry["rule"]:
        case "normal_fan":
            value = rng.standard_normal(shape) * np.sqrt(2 / entry["fan_in"])
        case "normal_0.1":
            value = 0.1 * rng.standard_normal(shape)
        case "one_plus_0.2u":
            value = 1 + 0.2 * rng.random(shape)
        case "zero_int":
            return np.zeros(shape, np.int64)
        case "fixed":
            value = np.zeros(shape)
        case rule:
            raise ValueError(rule)
    return np.asarray(value, np.float32)
