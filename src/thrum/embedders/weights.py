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
from thrum.download import download
from thrum.embedders.checkpoints import CHECKPOINTS, Checkpoint, checkpoint_called
from thrum.embedders.conversion import (
    State,
    build_network,
    check_state,
    convert,
    original_file,
)
from thrum.errors import DownloadError, StorageError, WeightsError
from thrum.types import Progress

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "Weights",
    "cache_folder",
    "checkpoint_called",
    "fetch_weights",
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


def import_weights(
    name: str, path: Path, *, cache: Path | None = None, fetched: bool = False
) -> dict[str, Any]:
    """Convert the original file at `path` and store it as the weights called `name`.

    Parameters
    ----------
    fetched
        Whether the file came straight from the checkpoint's official address.

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
    file = original_file(path)
    description = {
        "checkpoint": name,
        "source": checkpoint.url or checkpoint.page,
        "licence": checkpoint.licence,
        "fetched": fetched,
        "original": file.name,
        "original_bytes": file.stat().st_size,
        "original_sha256": storage.sha256(file),
    }
    storage.save_state(cache_folder(cache), state, description, name=name)
    return description


def fetch_weights(
    name: str, *, cache: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Download the checkpoint called `name` from its official address, convert and store it.

    Where its sha256 was never published, that of the first download is recorded, and every later
    download must have it.

    Returns
    -------
    dict
        As `import_weights` does.

    Raises
    ------
    WeightsError
        Where the download fails, or what came is not the checkpoint; then nothing is stored.
    """
    checkpoint = checkpoint_called(name)
    if checkpoint.url is None:
        raise WeightsError(
            f"{name} is not offered at a fixed address: download it by hand from {checkpoint.page}, "
            f"then: thrum weights fetch {name} --from FILE"
        )
    folder = cache_folder(cache)
    original = folder / checkpoint.url.partition("?")[0].rpartition("/")[2]
    known = checkpoint.sha256 or _recorded_sha256(folder / f"{name}.json")
    try:
        checksum = download(checkpoint.url, original, expected=known, progress=progress)
    except DownloadError as error:
        raise WeightsError(
            f"{error}; or find the file by hand and pass it on: "
            f"thrum weights fetch {name} --from FILE"
        ) from error
    try:
        description = import_weights(name, original, cache=cache, fetched=True)
    finally:
        original.unlink()
    return {**description, "sha256_was_known": known == checksum}


def _recorded_sha256(path: Path) -> str | None:
    if not path.exists():
        return None
    description = storage.read_json(path)
    return description["original_sha256"] if description.get("fetched") else None


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
            f"or take the file from {checkpoint.url or checkpoint.page} by hand and pass it on:\n"
            f"    thrum weights fetch {name} --from FILE"
        )
    try:
        state, description = storage.load_state(folder, name=name)
    except StorageError as error:
        raise WeightsError(f"{error}; or fetch them again: thrum weights fetch {name}") from error
    return Weights(state, description["sha256"])


def load_network(name: str, weights: Weights) -> nn.Module:
    """Return the network called `name` with its weights, in evaluation mode."""
    network = build_network(checkpoint_called(name))
    check_state(weights.state, network, what=f"the stored weights are not {name}")
    network.load_state_dict(weights.state, assign=True)
    return network.requires_grad_(requires_grad=False)
