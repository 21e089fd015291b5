"""From the original format of a checkpoint to the state of the network here.

Nothing is taken on trust: a file is accepted only where every name and shape is the network's.
"""

from __future__ import annotations

import gzip
import importlib
import pickle
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from thrum.embedders.checkpoints import Checkpoint
from thrum.errors import WeightsError

State = dict[str, Tensor]
KerasLayer = dict[str, NDArray[np.float32]]
"""The arrays of one layer by the last part of their names: ``kernel``, ``bias``, ``gamma`` …"""

_NAMES_SHOWN = 3


def convert(checkpoint: Checkpoint, path: Path) -> State:
    """Return the state of the checkpoint's network from the original file (or folder) at `path`.

    Raises
    ------
    WeightsError
        Where the file is missing, damaged, of another format, or of another network.
    """
    if not path.exists():
        raise WeightsError(f"no file at {path}: wanted the original weights of {checkpoint.name}")
    if path.suffix == ".gz":
        with _unpacked(path) as unpacked:
            return convert(checkpoint, unpacked)
    network = build_network(checkpoint)
    if checkpoint.layout == "keras":
        state = _keras_state(read_keras(path), network, checkpoint=checkpoint, path=path)
    else:
        state = _torch_state(path, checkpoint)
    check_state(state, network, what=f"{path} is not {checkpoint.name}")
    return state


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` with the content of the gzip file at `path`."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=Path(path.stem).suffix) as file:
        try:
            with gzip.open(path) as packed:
                shutil.copyfileobj(packed, file)
        except (OSError, EOFError, zlib.error) as error:
            raise WeightsError(f"{path} cannot be unpacked: {error}") from error
        file.flush()
        yield Path(file.name)


def build_network(checkpoint: Checkpoint) -> nn.Module:
    """Return the checkpoint's network without values: shapes only, no memory."""
    module_name, _, class_name = checkpoint.network.partition(":")
    with torch.device("meta"):
        network: nn.Module = getattr(importlib.import_module(module_name), class_name)(
            **checkpoint.arguments
        )
    return network.eval()


def original_file(path: Path) -> Path:
    """Return the file of weights: `path` itself, or the one in the Hugging Face folder `path`."""
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).exists():
            return path / name
    raise WeightsError(f"{path} holds neither model.safetensors nor pytorch_model.bin")


def check_state(state: Mapping[str, Tensor], network: nn.Module, *, what: str) -> None:
    """Raise a `WeightsError` beginning with `what` where names or shapes are not the network's."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing = [name for name in wanted if name not in state]
    foreign = [name for name in state if name not in wanted]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    faults = [
        f"{len(names)} {fault} ({_first_of(names)})"
        for fault, names in (
            ("missing", missing),
            ("unknown", foreign),
            ("of another shape", misshapen),
        )
        if names
    ]
    if faults:
        raise WeightsError(f"{what}: of {len(wanted)} arrays wanted, {'; '.join(faults)}")
    broken = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if broken:
        raise WeightsError(f"{what}: {broken[0]} holds NaN or infinite values")


def _first_of(names: list[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")


def read_keras(path: Path) -> list[KerasLayer]:
    """Return the layers that have weights of a Keras HDF5 file, in the order of the file."""
    try:
        with h5py.File(path) as file:
            layers = []
            for layer_name in file.attrs["layer_names"]:
                group = file[_text(layer_name)]
                names = [_text(name) for name in group.attrs["weight_names"]]
                if names:
                    layers.append({_kind(name): np.asarray(group[name]) for name in names})
            return layers
    except (OSError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a Keras file of weights (HDF5): {error}") from error


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _kind(name: str) -> str:
    """``layer1/conv/kernel:0`` -> ``kernel``."""
    return name.rpartition("/")[2].partition(":")[0]


def _keras_state(
    layers: list[KerasLayer], network: nn.Module, *, checkpoint: Checkpoint, path: Path
) -> State:
    """Give the layers, in the order of the file, to the network's modules in their order."""
    modules = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    ]
    layers = [layer for layer in layers if not _is_spectrogram(layer)]
    if len(layers) != len(modules):
        raise WeightsError(
            f"{path} is not {checkpoint.name}: it has {len(layers)} layers with weights, "
            f"{len(modules)} were wanted"
        )
    state: State = {}
    for layer, (name, module) in zip(layers, modules, strict=True):
        for key, array in _torch_arrays(layer, module).items():
            state[f"{name}.{key}"] = torch.from_numpy(np.array(array, order="C"))
    return state


def _is_spectrogram(layer: KerasLayer) -> bool:
    """Whether a layer is the spectrogram that OpenL3's files before 0.4 carry along."""
    return any(re.search("dft|freq2mel", kind) for kind in layer)


def _torch_arrays(layer: KerasLayer, module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a layer's arrays under torch's names and in torch's order of axes."""
    arrays: dict[str, NDArray[Any]] = {}
    for kind, array in layer.items():
        match kind:
            case "kernel" if array.ndim == 4:
                arrays["weight"] = array.transpose(3, 2, 0, 1)  # HWIO -> OIHW
            case "depthwise_kernel" if array.ndim == 4:
                arrays["weight"] = array.transpose(2, 3, 0, 1)  # HWC1 -> C1HW
            case "kernel":
                arrays["weight"] = array.T
            case "gamma":
                arrays["weight"] = array
            case "beta" | "bias":
                arrays["bias"] = array
            case "moving_mean":
                arrays["running_mean"] = array
            case "moving_variance":
                arrays["running_var"] = array
            case _:
                arrays[kind] = array
    if isinstance(module, nn.BatchNorm2d):
        arrays["num_batches_tracked"] = np.zeros((), np.int64)
        arrays.setdefault("weight", np.ones(module.num_features, np.float32))
    return arrays


def _torch_state(path: Path, checkpoint: Checkpoint) -> State:
    content = read_torch(path)
    if checkpoint.state_key is not None:
        if not isinstance(content, dict) or checkpoint.state_key not in content:
            raise WeightsError(
                f"{path} is not {checkpoint.name}: it has no entry {checkpoint.state_key!r}"
            )
        content = content[checkpoint.state_key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} is not {checkpoint.name}: it holds no table of tensors")
    names = {_renamed(str(name), checkpoint): value for name, value in content.items()}
    # clone(): arrays that share memory in the original are stored each for itself.
    return {
        name: value.detach().clone()
        for name, value in names.items()
        if not name.startswith(checkpoint.ignored)
    }


def _renamed(name: str, checkpoint: Checkpoint) -> str:
    name = name.removeprefix(checkpoint.prefix)
    for old, new in checkpoint.renamed.items():
        name = name.replace(old, new)
    return name


def read_torch(path: Path) -> Any:
    """Return what a torch or safetensors file, or a Hugging Face folder, holds; no pickle."""
    path = original_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
        ValueError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path} is damaged or no file of torch weights: {reason}") from error
