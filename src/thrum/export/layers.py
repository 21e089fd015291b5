"""Layers of PyTorch as operators of ONNX."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from thrum.errors import UsageError
from thrum.export.graph import Graph


def layer(graph: Graph, module: nn.Module, rows: str) -> str:
    """Apply a layer, or several in a row, to rows (B, D) in single precision.

    Raises
    ------
    UsageError
        Where there is no such layer here; its name is said.
    """
    if isinstance(module, nn.Sequential):
        for part in module:
            rows = layer(graph, part, rows)
        return rows
    if isinstance(module, nn.Linear):
        rows = graph.op("MatMul", rows, graph.f32(_array(module.weight).T))
        return (
            graph.op("Add", rows, graph.f32(_array(module.bias)))
            if module.bias is not None
            else rows
        )
    if isinstance(module, nn.BatchNorm1d):
        return _normalised(graph, module, rows)
    if isinstance(module, nn.ReLU):
        return graph.op("Relu", rows)
    raise UsageError(f"a layer {type(module).__name__} cannot be exported")


def _normalised(graph: Graph, module: nn.BatchNorm1d, rows: str) -> str:
    if module.running_mean is None or module.running_var is None:
        raise UsageError("a batch normalisation without kept statistics cannot be exported")
    scale = 1 / np.sqrt(_array(module.running_var).astype(np.float64) + module.eps)
    if module.weight is not None:
        scale = scale * _array(module.weight)
    shift = -_array(module.running_mean) * scale
    if module.bias is not None:
        shift = shift + _array(module.bias)
    return graph.op("Add", graph.op("Mul", rows, graph.f32(scale)), graph.f32(shift))


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
