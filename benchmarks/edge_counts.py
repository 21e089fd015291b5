"""How many multiplications an exported monitor takes for a clip: counted while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper


def multiplications(file: Path, samples: int) -> float:
    """Return those of the matrix products and convolutions for so many samples, those of windows too."""
    model = onnx.load(file)
    counts = _counted(model.graph, {})
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in counts
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found = session.run(counts, {"samples": np.zeros(samples, np.float32)})
    return float(sum(np.sum(each) for each in found))


def _counted(graph: onnx.GraphProto, around: Mapping[str, Sequence[int]]) -> list[str]:
    """Have a graph count, in itself and in what it repeats; return the names of the counts."""
    shapes = dict(around) | {each.name: each.dims for each in graph.initializer}
    counts = []
    for place, node in enumerate(list(graph.node)):
        name = f"{graph.name}_multiplications_{place}"
        if node.op_type == "Scan":
            (body,) = [each.g for each in node.attribute if each.name == "body"]
            for inner in _counted(body, shapes):
                body.output.append(helper.make_tensor_value_info(inner, TensorProto.INT64, None))
                node.output.append(f"{inner}_of_all")
                counts.append(f"{inner}_of_all")
        elif node.op_type == "Conv":
            deep = math.prod(shapes[node.input[1]][1:])
            graph.initializer.append(
                helper.make_tensor(f"{name}_deep", TensorProto.INT64, [1], [deep])
            )
            counts.append(_count(graph, node, name))
        elif node.op_type in ("MatMul", "Gemm"):
            graph.node.append(
                helper.make_node("Shape", [node.input[0]], [f"{name}_deep"], start=-1)
            )
            counts.append(_count(graph, node, name))
    return counts


def _count(graph: onnx.GraphProto, node: onnx.NodeProto, name: str) -> str:
    graph.node.append(helper.make_node("Size", [node.output[0]], [f"{name}_size"]))
    graph.node.append(helper.make_node("Mul", [f"{name}_size", f"{name}_deep"], [name]))
    return name
