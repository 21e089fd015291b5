"""A frozen network as the bytes of an ONNX model (extra ``export``)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thrum.errors import UsageError

OPSET = 17
"""Read by onnxruntime 1.13 (2022) and later."""
OUTPUT = "output"


def input_names(count: int) -> list[str]:
    """Return what the inputs of such a model are called."""
    return [f"input_{number}" for number in range(count)]


def as_onnx(network: nn.Module, inputs: Sequence[Tensor], *, free: Sequence[int]) -> bytes:
    """Return a network in evaluation mode as an ONNX model, in float32.

    Parameters
    ----------
    inputs
        Of the kind that it will be given.
    free
        The axes along which other inputs may be longer or shorter than these.

    Raises
    ------
    UsageError
        Where the package ``onnx`` is missing.
    """
    try:
        import onnx  # noqa: F401  # torch's exporter wants it, and says so in a stack trace
    except ModuleNotFoundError as error:
        raise UsageError(
            "a network leaves PyTorch with the package onnx: pip install 'thrum[export]'"
        ) from error
    names = input_names(len(inputs))
    content = io.BytesIO()
    # The other exporter (dynamo) wants one more package, onnxscript.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(each.detach().clone() for each in inputs),
            content,  # type: ignore[arg-type]
            dynamo=False,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes={name: {axis: f"axis_{axis}" for axis in free} for name in names},
            opset_version=OPSET,
        )
    return content.getvalue()
