"""An ONNX graph put together operator by operator: it is plain what it computes, and in which type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import onnx
import onnx.compose
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""Read by onnxruntime 1.13 (2022) and later."""
IR_VERSION = 8
NETWORK = "network/"
"""What the names of a pretrained network's nodes begin with."""

Type = Literal["float16", "float32", "float64", "int64"]
_TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
}


class Graph:
    """Nodes and constants; every method that computes returns the name of what comes out.

    Parameters
    ----------
    prefix
        Of all names in it; a graph inside another has its own.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of one output."""
        return self.several(kind, *inputs, outputs=1, **attributes)[0]

    def several(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add an operator of several outputs."""
        names = [f"{self._prefix}{kind}_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: Any, dtype: Type) -> str:
        """Return the name of a constant; equal ones are kept once."""
        array = np.asarray(values, dtype)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = name = f"{self._prefix}constant_{len(self._known)}"
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            if not array.shape:  # `ascontiguousarray` makes a scalar (1,)
                del self._constants[-1].dims[:]
        return self._known[key]

    def f32(self, values: Any) -> str:
        """Return a constant in single precision."""
        return self.constant(values, "float32")

    def f64(self, values: Any) -> str:
        """Return a constant in double precision."""
        return self.constant(values, "float64")

    def ints(self, *values: int) -> str:
        """Return whole numbers (N,)."""
        return self.constant(values, "int64")

    def cast(self, value: str, dtype: Type) -> str:
        """Bring a value to another type."""
        return self.op("Cast", value, to=_TYPES[dtype])

    def mean(self, value: str, *, axis: int, keep: bool = False) -> str:
        """Return the mean along an axis."""
        return self.op("ReduceMean", value, axes=[axis], keepdims=int(keep))

    def sum(self, value: str, *, axis: int, keep: bool = False) -> str:
        """Return the sum along an axis."""
        return self.op("ReduceSum", value, self.ints(axis), keepdims=int(keep))

    def length(self, value: str, *, axis: int) -> str:
        """Return how long a value is along an axis, (1,)."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def first(self, value: str, count: str) -> str:
        """Return the first `count` (1,) rows."""
        return self.op("Slice", value, self.ints(0), count, self.ints(0))

    def quotient_above(self, count: str, divisor: int) -> str:
        """Return a count that is not negative, divided by `divisor` and rounded up."""
        return self.op("Div", self.op("Add", count, self.ints(divisor - 1)), self.ints(divisor))

    def silence_around(self, samples: str, *, least: str, before: int = 0) -> str:
        """Return samples (S,) with so many zeros before, and as many after that S is at `least` (1,)."""
        missing = self.op("Sub", least, self.length(samples, axis=0))
        after = self.op("Max", missing, self.ints(0))
        return self.op("Pad", samples, self.op("Concat", self.ints(before), after, axis=0))

    def windows(self, rows: str, *, length: int, hop: int) -> str:
        """Return all whole windows (W, length, D) of rows (T, D), one every `hop`."""
        last = self.op("Sub", self.length(rows, axis=0), self.ints(length - 1))
        scalar = self.op("Squeeze", last, self.ints(0))
        zero, step = self.constant(0, "int64"), self.constant(hop, "int64")
        starts = self.op("Range", zero, scalar, step)
        places = self.op(
            "Add", self.op("Unsqueeze", starts, self.ints(1)), self.ints(*range(length))
        )
        return self.op("Gather", rows, places, axis=0)

    def euclidean(self, vector: str, others: NDArray[np.floating[Any]]) -> str:
        """Return the distances (N,) of a vector (D,) in double precision to others (N, D)."""
        known = self.f64(others)
        if others.dtype == np.float32:  # half the size, and the same numbers
            known = self.cast(self.f32(others), "float64")
        apart = self.op("Sub", known, vector)
        return self.op("Sqrt", self.sum(self.op("Mul", apart, apart), axis=1))

    def network(self, model: onnx.ModelProto, *inputs: str) -> str:
        """Return the one output of a model whose inputs are these; its nodes are called ``network/…``."""
        inner = onnx.compose.add_prefix(model, f"{self._prefix}{NETWORK}").graph
        for value, taken in zip(inputs, inner.input, strict=True):
            self._nodes.append(helper.make_node("Identity", [value], [taken.name]))
        self._nodes += inner.node
        self._constants += inner.initializer
        return str(inner.output[0].name)

    def each(self, rows: str, compute: Callable[[Graph, str], str]) -> str:
        """Return what `compute` makes of each row of float32, one after the other: bounds the memory."""
        prefix = f"{self._prefix}each_{len(self._nodes)}_"
        inner = Graph(prefix)
        row = f"{prefix}row"
        found = compute(inner, row)
        nodes, constants = inner._content()
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (row, found)
        ]
        body = helper.make_graph(nodes, prefix, values[:1], values[1:], constants)
        return self.op("Scan", rows, body=body, num_scan_inputs=1)

    def output(self, name: str, value: str, dtype: Type, shape: Sequence[int] = ()) -> None:
        """Call a value by the name under which it comes out."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))

    def model(self, name: str, *, inputs: str, told: dict[str, str]) -> onnx.ModelProto:
        """Return the whole as a model of one input, float32 (S,), checked.

        Parameters
        ----------
        told
            What goes into the file beside, by name.
        """
        nodes, constants = self._content()
        taken = helper.make_tensor_value_info(inputs, TensorProto.FLOAT, ["samples"])
        graph = helper.make_graph(nodes, name, [taken], self._outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name = "thrum"
        helper.set_model_props(model, told)
        onnx.checker.check_model(model)
        return model

    def _content(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Return all nodes, and the constants that they use."""
        used = {name for node in self._nodes for name in node.input}
        return self._nodes, [each for each in self._constants if each.name in used]
