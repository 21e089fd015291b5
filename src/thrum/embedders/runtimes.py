"""What runs a frozen network on a CPU: PyTorch, onnxruntime or OpenVINO.

All three compute in float32 and agree to some 2e-6 (docs/embedders.md), so that a run does not depend on
which it was. A GPU, and any precision but float32, is PyTorch's.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from thrum.errors import UsageError

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
VARIABLE = "THRUM_BACKEND"
"""The environment variable that chooses where nothing else does; ``--backend`` sets it."""
Array = NDArray[np.float32]
Runner = Callable[[Sequence[Array]], Array]


def asked_backend(backend: str | None = None) -> Backend:
    """Return the backend asked for: by name, else by the environment, else ``auto``.

    Raises
    ------
    UsageError
        Where there is none of that name.
    """
    name = backend or os.environ.get(VARIABLE) or "auto"
    for known in BACKENDS:
        if name == known:
            return known
    raise UsageError(f"no backend is called {name!r}: say {', '.join(BACKENDS)}")


def chosen_backend(asked: Backend, *, fastest: Sequence[Backend], of: str) -> Backend:
    """Return what runs a network: what was asked for, or the first installed of the `fastest`.

    Raises
    ------
    UsageError
        Where what was asked for is not installed, or the network of the embedder `of` is only PyTorch's.
    """
    if asked == "auto":
        return next((each for each in fastest if is_installed(each)), "torch")
    if asked != "torch" and not fastest:
        raise UsageError(f"{of} runs with PyTorch alone: leave --backend {asked} out, or say torch")
    if not is_installed(asked):
        wanted = "'thrum[export]'" if asked == "onnxruntime" else "'thrum[openvino]'"
        raise UsageError(f"--backend {asked} wants packages that are missing: pip install {wanted}")
    return asked


def is_installed(backend: Backend) -> bool:
    """Whether what a backend wants is here."""
    return backend == "torch" or all(
        importlib.util.find_spec(module) for module in ("onnx", backend)
    )


def runner(backend: Backend, model: bytes) -> Runner:
    """Return a function from a network's inputs to its output; `model` is its ONNX model.

    It has as many threads as PyTorch has now.
    """
    threads = torch.get_num_threads()
    return _onnxruntime(model, threads) if backend == "onnxruntime" else _openvino(model, threads)


def _onnxruntime(model: bytes, threads: int) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[Array]) -> Array:
        output: Array = session.run(None, dict(zip(names, inputs, strict=True)))[0]
        return output

    return run


def _openvino(model: bytes, threads: int) -> Runner:
    import openvino

    core = openvino.Core()
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where a processor has it
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()

    def run(inputs: Sequence[Array]) -> Array:
        return np.array(request.infer(dict(enumerate(inputs)))[0])

    return run
