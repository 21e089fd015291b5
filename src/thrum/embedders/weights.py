"""Pretrained weights on this machine: where they lie, how they get there, whether they are whole.

They are kept in one folder, ``$THRUM_CACHE/weights`` or ``~/.cache/thrum/weights``, as safetensors
and JSON, converted from their original format. Nothing is ever fetched unasked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from thrum import storage
from thrum.embedders.checkpoints import CHECKPOINTS, Checkpoint, checkpoint_called
from thrum.embedders.conversion import State, build_network, check_state, convert
from thrum.errors import StorageError, WeightsError

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "Weights",
    "cache_folder",
    "checkpoint_called",
    "import_weights",
    "is_stored",
    "load_network",
    "load_weights",
]


@dataclass(frozen=True)
class Weights:
    """The state of a network, and the sha256 that tells it from any other."""

    state: State
    sha256: str


def cache_folder(cache: Path | None = None) -> Path:
    """Return the folder of weights: `cache`, or what ``THRUM_CACHE`` says, or the user's cache."""
    if cache is None:
        home = os.environ.get("THRUM_CACHE")
        cache = Path(home) if home else Path.home() / ".cache" / "thrum"
    return cache / "weights"


def is_stored(name: str, *, cache: Path | None = None) -> bool:
    """Whether the weights called `name` are on this machine."""
    return (cache_folder(cache) / f"{name}.json").exists()


def import_weights(name: str, path: Path, *, cache: Path | None = None) -> dict[str, Any]:
    """Convert the original file at `path` and store it as the weights called `name`.

    Returns
    -------
    dict
        What is stored beside the weights: source, licence, size and sha256 of the original.

    Raises
    ------
    WeightsError
        Where the file is not what it should be; then nothing is stored.
    """
    checkpoint = checkpoint_called(name)
    state = convert(checkpoint, path)
    description = {
        "checkpoint": name,
        "source": checkpoint.url,
        "licence": checkpoint.licence,
        "original": None if path.is_dir() else path.name,
        "original_bytes": None if path.is_dir() else path.stat().st_size,
        "original_sha256": None if path.is_dir() else storage.sha256(path),
    }
    storage.save_state(cache_folder(cache), state, description, name=name)
    return description


def load_weights(name: str, *, cache: Path | None = None) -> Weights:
    """Return the stored weights called `name`.

    Raises
    ------
    WeightsError
        Where they are not stored (the message says how to get them), or damaged.
    """
    checkpoint = checkpoint_called(name)
    folder = cache_folder(cache)
    if not is_stored(name, cache=cache):
        raise WeightsError(
            f"the weights {name!r} are not in {folder}. Fetch them:\n"
            f"    thrum weights fetch {name}\n"
            f"or, without a network, download {checkpoint.url} elsewhere and hand the file over:\n"
            f"    thrum weights fetch {name} --from FILE"
        )
    try:
        state, description = storage.load_state(folder, name=name)
    except StorageError as error:
        raise WeightsError(
            f"{error}; or fetch again: thrum weights fetch {name} --force"
        ) from error
    return Weights(state, description["sha256"])


def load_network(name: str, weights: Weights) -> nn.Module:
    """Return the network called `name` with its weights, in evaluation mode."""
    network = build_network(checkpoint_called(name))
    check_state(weights.state, network, what=f"the stored weights are not {name}")
    network.load_state_dict(weights.state, assign=True)
    return network.requires_grad_(requires_grad=False)
