"""A pretrained network as an ONNX model, made once: it is kept by what determines it."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from thrum import storage
from thrum.networks.as_onnx import as_onnx

_log = logging.getLogger(__name__)


def compiled(
    network: nn.Module,
    inputs: Sequence[Tensor],
    *,
    free: Sequence[int],
    name: str,
    weights_sha256: str,
    folder: Path | None,
) -> bytes:
    """Return a network's ONNX model: from `folder`, else made now and kept there.

    Parameters
    ----------
    inputs, free
        As `as_onnx` takes them.
    name, weights_sha256
        Of its weights.
    folder
        None keeps nothing: the weights came from elsewhere than the cache.
    """
    if folder is None:
        return as_onnx(network, inputs, free=free)
    path = folder / f"{name}-{_determined_by(network, weights_sha256)}.onnx"
    seal = path.with_suffix(".sha256")
    try:
        content = path.read_bytes()
        if seal.read_text() == storage.sha256_bytes(content):
            return content
        _log.warning("%s is damaged; it is made again", path)
    except (OSError, UnicodeDecodeError):  # not made yet
        pass
    content = as_onnx(network, inputs, free=free)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage.write_bytes(path, content)
        storage.write_text(seal, storage.sha256_bytes(content))
    except OSError as error:
        _log.warning("%s cannot be kept (%s); it is made again next time", path, error)
    return content


def _determined_by(network: nn.Module, weights_sha256: str) -> str:
    """Return a digest of the weights, of the code of the network, and of what brings it to ONNX."""
    parts = [weights_sha256, torch.__version__]
    parts += [inspect.getsource(inspect.getmodule(each)) for each in (type(network), as_onnx)]  # type: ignore[arg-type]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
