"""YAMNet here against its published TFLite file, in that file's precision and in ours.

    python benchmarks/yamnet_original.py --tflite yamnet.tflite --weights yamnet.h5 --sound clip.wav

Needs ai-edge-litert. The published file holds its weights as 8-bit integers, and its runtime (XNNPACK)
computes with them in integers. For a comparison in one precision its graph is written anew with the same
weights as float32. The network is measured once more by itself, from the log-mel on, all patches of a clip
at a time: the file as it is takes one patch at a time, and its Fourier transform is a product with a matrix.

One thread; all are run in turns, so that they meet the same machine; processor time, medians. The
differences are the largest of a clip's embeddings, relative to the largest embedding, from ours in float32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import flatbuffers
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor

from thrum import audio
from thrum.embedders.pretrained import Precision
from thrum.embedders.weights import import_weights
from thrum.embedders.yamnet import (
    PATCH_FRAMES,
    PATCH_HOP_FRAMES,
    PATCH_HOP_SAMPLES,
    PATCH_SAMPLES,
    YAMNet,
)
from thrum.features.framing import frame, pad_to_length

Run = Callable[[], Tensor]

SECONDS = 10
NETWORK = ", network alone"
LOG_MEL_SHAPE = (1, 96, 64, 1)
EMBEDDING_SHAPE = (1, 1024)


def as_float32(model: schema.ModelT) -> None:
    """Give the graph the numbers that its 8-bit weights stand for, and leave out their conversion."""
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if tensor.type == schema.TensorType.INT8:
            (scale,), (zero,) = tensor.quantization.scale, tensor.quantization.zeroPoint
            integers = np.asarray(model.buffers[tensor.buffer].data, dtype=np.uint8).view(np.int8)
            weights = (integers.astype(np.float32) - zero) * np.float32(scale)
            model.buffers[tensor.buffer].data = weights.astype(np.float32).view(np.uint8)
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    conversions = [
        operator
        for operator in graph.operators
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.DEQUANTIZE
    ]
    source = {conversion.outputs[0]: conversion.inputs[0] for conversion in conversions}
    graph.operators = [operator for operator in graph.operators if operator not in conversions]
    for operator in graph.operators:
        operator.inputs = [source.get(index, index) for index in operator.inputs]


def cut(model: schema.ModelT, *, network_only: bool) -> None:
    """End the graph at the embedding instead of the classes; let it begin at the log-mel if asked."""
    graph = model.subgraphs[0]
    shapes = [tuple(graph.tensors[operator.outputs[0]].shape) for operator in graph.operators]
    last = shapes.index(EMBEDDING_SHAPE)
    graph.outputs = graph.operators[last].outputs
    first = 0
    if network_only:
        first = shapes.index(LOG_MEL_SHAPE) + 1
        graph.inputs = graph.operators[first - 1].outputs
    graph.operators = graph.operators[first : last + 1]
    model.signatureDefs = None


def original(path: Path, *, float32: bool, network_only: bool) -> Callable[[Tensor], Tensor]:
    """Return what takes the windows of a clip to its embeddings (P, 1024) by the file at `path`.

    Its windows are (P, 15600) samples one at a time, or all log-mels (P, 96, 64) at once.
    """
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    if float32:
        as_float32(model)
    cut(model, network_only=network_only)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = Interpreter(model_content=bytes(builder.Output()), num_threads=1)
    given = interpreter.get_input_details()[0]["index"]
    found = interpreter.get_output_details()[0]["index"]
    interpreter.allocate_tensors()

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(given, windows)
        interpreter.invoke()
        embeddings: NDArray[np.float32] = interpreter.get_tensor(found)
        return embeddings

    def all_at_once(patches: Tensor) -> Tensor:
        if interpreter.get_input_details()[0]["shape"][0] != len(patches):
            interpreter.resize_tensor_input(given, [len(patches), *LOG_MEL_SHAPE[1:]])
            interpreter.allocate_tensors()
        return torch.from_numpy(run(patches.numpy()[..., None]))

    def one_by_one(windows: Tensor) -> Tensor:
        return torch.from_numpy(np.concatenate([run(window[None]) for window in windows.numpy()]))

    return all_at_once if network_only else one_by_one


def ten_seconds(path: Path | None) -> Tensor:
    """Return (1, S) of the sound at `path`, repeated if shorter, or noise."""
    if path is None:
        generator = torch.Generator().manual_seed(0)
        return 0.1 * torch.randn(1, SECONDS * YAMNet.sample_rate, generator=generator)
    samples, rate = audio.read(path)
    samples = audio.resample(samples, rate, YAMNet.sample_rate)
    return torch.from_numpy(np.resize(samples, (1, SECONDS * YAMNet.sample_rate)))


def contestants(path: Path, ours: dict[Precision, YAMNet], sound: Tensor) -> dict[str, Run]:
    """Return what is compared by name: each embeds the same ten seconds, (P, 1024)."""
    log_mel = ours["float32"].log_mel(sound)  # (1, T, 64)
    patches = frame(log_mel.mT, length=PATCH_FRAMES, hop=PATCH_HOP_FRAMES)[0]  # (64, P, 96)
    patches = patches.permute(1, 2, 0).contiguous()  # (P, 96, 64)
    padded = pad_to_length(sound, PATCH_SAMPLES + (len(patches) - 1) * PATCH_HOP_SAMPLES)
    windows = frame(padded, length=PATCH_SAMPLES, hop=PATCH_HOP_SAMPLES)[0]  # (P, 15600)
    runs: dict[str, Run] = {}
    for part, given in (("", windows), (NETWORK, patches)):
        for kind, float32 in (("8-bit", False), ("float32", True)):
            file = original(path, float32=float32, network_only=part == NETWORK)
            runs[f"original, {kind}{part}"] = partial(file, given)
        for kind, embedder in ours.items():
            whole = partial(embedder.frames, sound)
            network = partial(embedder._run, patches)
            runs[f"ours, {kind}{part}"] = network if part else lambda whole=whole: whole()[0][0]
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tflite", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="the original .h5")
    parser.add_argument("--sound", type=Path, help="a recording instead of noise")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        import_weights("yamnet", arguments.weights, cache=Path(folder))
        precisions: tuple[Precision, ...] = ("float32", "bfloat16")
        ours = {kind: YAMNet(cache=Path(folder), precision=kind) for kind in precisions}
    with torch.inference_mode():
        runs = contestants(arguments.tflite, ours, ten_seconds(arguments.sound))
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.repeats + 1):  # the first does not count
            for name, run in runs.items():
                start = time.process_time()
                run()
                times[name].append(time.process_time() - start)
        reference = runs["ours, float32"]()
        print("| YAMNet | clips/s | embeddings differ by |\n| --- | --- | --- |")
        for name, run in runs.items():
            difference = (run() - reference).abs().max() / reference.abs().max()
            rate = 1 / statistics.median(times[name][1:])
            print(f"| {name} | {rate:.1f} | {difference:.1g} |")


if __name__ == "__main__":
    main()
