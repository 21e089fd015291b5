"""The reference outputs of the original embedders, and how far a port may be from them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from recipes import write_keras, write_torch

from thrum.embedders.checkpoints import CHECKPOINTS
from thrum.embedders.weights import Weights, import_weights, load_weights

CLIPS = ("tone", "machine", "clicks")


def fixtures(shared: Path, *names: str) -> dict[str, np.ndarray]:
    """Return the arrays of some fixtures together."""
    folder = shared / "fixtures/embedders"
    return {key: value for name in names for key, value in np.load(folder / f"{name}.npz").items()}


def batch(samples: np.ndarray) -> torch.Tensor:
    """Return samples (int16 or float) as audio (1, S)."""
    if samples.dtype == np.int16:
        samples = samples / np.float32(32768)
    return torch.from_numpy(samples.astype(np.float32))[None]


def recipe_weights(shared: Path, folder: Path, name: str, recipe: str) -> Weights:
    """Write the recipe's checkpoint in its original format, import it, return what is stored."""
    source = shared / f"fixtures/embedders/{recipe}.recipe.json"
    checkpoint = CHECKPOINTS[name]
    if checkpoint.layout == "keras":
        original = write_keras(source, folder / f"{name}.h5")
    elif checkpoint.layout == "huggingface":
        original = folder / name
        original.mkdir()
        write_torch(source, original / "pytorch_model.bin", prefix=checkpoint.prefix)
    else:
        original = write_torch(source, folder / f"{name}.pth", key=checkpoint.state_key)
    import_weights(name, original, cache=folder)
    return load_weights(name, cache=folder)


def relative(found: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    """Return ||found - expected|| / ||expected||."""
    found = np.asarray(found, np.float64)
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def every(reference: Mapping[str, np.ndarray], key: str) -> tuple[np.ndarray, int]:
    """Return a reference that was stored whole, or thinned out, and the step between its rows."""
    for name, value in reference.items():
        if name == key:
            return value, 1
        if name.startswith(f"{key}_every") and name.endswith(("th_token", "th_frame")):
            return value, int(name.removeprefix(f"{key}_every").split("th_")[0])
    raise KeyError(key)


__all__ = ["CLIPS", "batch", "every", "fixtures", "recipe_weights", "relative"]
