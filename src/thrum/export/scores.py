"""What systems make of a clip's frames, as ONNX: its score, the one that the system acts on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.knn import KNN
from thrum.detectors.local_density import LocalDensity
from thrum.errors import UsageError
from thrum.export.graph import Graph
from thrum.export.layers import layer
from thrum.systems.base import System
from thrum.systems.baselines.autoencoder import AutoencoderBaseline
from thrum.systems.baselines.knn import NearestNeighbours
from thrum.systems.baselines.vae import VAEBaseline
from thrum.systems.embedding_sharing.scoring import selected
from thrum.systems.embedding_sharing.statistics import Statistics, Whitened
from thrum.systems.embedding_sharing.system import EmbeddingSharing

MachineKey = tuple[str, str]


def score(graph: Graph, system: System, key: MachineKey, frames: str) -> str:
    """Add what scores a clip of one machine ID: frames (T, D) float32 in, the score in double precision out.

    Raises
    ------
    UsageError
        Where the system, or the score that it acts on, cannot be exported; it is named.
    """
    # As a store of embeddings keeps them: in half precision, each frame rounded.
    return _score(system, graph, key, graph.cast(frames, "float16"))


@singledispatch
def _score(system: System, graph: Graph, key: MachineKey, frames: str) -> str:
    raise UsageError(
        f"the system {system.name!r} cannot be exported yet, only {', '.join(sorted(EXPORTED))}: judge with "
        f"`thrum score`, or train one of these"
    )


@_score.register
def _(system: NearestNeighbours, graph: Graph, key: MachineKey, frames: str) -> str:
    config = system.config
    exact = graph.cast(frames, "float64")
    vector = graph.mean(exact, axis=0)  # (D,)
    train = system.vectors_[key]
    if config.score == "mean":
        train = train[:, : train.shape[1] // 2]
    else:
        around = graph.op("Sub", exact, vector)
        variance = graph.mean(graph.op("Mul", around, around), axis=0)
        vector = graph.op("Concat", vector, graph.op("Sqrt", variance), axis=0)
    vector = graph.cast(graph.cast(vector, "float32"), "float64")
    detector = KNN(neighbours=config.neighbours, metric=config.metric).fit(train)
    return _nearest(graph, detector, vector, train)


@_score.register
def _(system: EmbeddingSharing, graph: Graph, key: MachineKey, frames: str) -> str:
    if system.release_[0] != "frames":
        raise UsageError(
            f"embeddings that pass {system.release_[0]!r} before they are scored cannot be exported, only "
            f"'frames'"
        )
    method = selected(system._methods())
    part = system._scorer(key)._parts[method]
    assert isinstance(part, Whitened | Statistics)
    vector = graph.mean(graph.cast(frames, "float64"), axis=0)
    size = system.frames_[key][0].shape[-1]
    if isinstance(part, Whitened):
        return _whitened(graph, part, vector, size)
    weighted = [
        graph.op("Mul", _whitened(graph, one, vector, size), graph.f64(weight / scale))
        for one, weight, scale in zip(part.parts_, part.weights_, part.scales_, strict=True)
    ]
    return graph.op("Sum", *weighted)


@_score.register
def _(system: AutoencoderBaseline, graph: Graph, key: MachineKey, frames: str) -> str:
    fitted = _fitted(system, key)
    inputs = _inputs(graph, system, frames)
    outputs = layer(graph, fitted.network.decoder, layer(graph, fitted.network.encoder, inputs))
    residuals = graph.cast(graph.op("Sub", outputs, inputs), "float64")  # (W, stack F)
    if system.config.score == "mse":
        return _mean_square(graph, residuals)
    flat = graph.op("Reshape", residuals, graph.ints(-1, fitted.bands))  # (W stack, F)
    if system.config.score == "mahalanobis":
        flat = graph.mean(flat, axis=0, keep=True)
    distances = [
        graph.sum(graph.op("Mul", graph.op("MatMul", flat, graph.f64(precision)), flat), axis=1)
        for precision in fitted.statistics["precisions"]
    ]
    least = graph.op("Min", *distances) if len(distances) > 1 else distances[0]
    return graph.mean(least, axis=0)


@_score.register
def _(system: VAEBaseline, graph: Graph, key: MachineKey, frames: str) -> str:
    if system.config.score != "mse":
        raise UsageError(
            f"the score {system.config.score!r} of 'vae' cannot be exported, only 'mse': train with "
            f"--set score=mse"
        )
    network = _fitted(system, key).network
    inputs = _inputs(graph, system, frames)
    moments = layer(graph, network.moments, layer(graph, network.encoder, inputs))
    means = graph.several("Split", moments, outputs=2, axis=1)[0]
    outputs = layer(graph, network.decoder, means)
    exact = graph.cast(outputs, "float64"), graph.cast(inputs, "float64")
    return _mean_square(graph, graph.op("Sub", *exact))


EXPORTED: Mapping[str, type[System]] = {
    kind.name: kind
    for kind in (NearestNeighbours, EmbeddingSharing, AutoencoderBaseline, VAEBaseline)
}
"""The systems that can be exported."""


def _fitted(system: AutoencoderBaseline | VAEBaseline, key: MachineKey) -> Any:
    return next(fitted for fitted in system.fitted_.values() if key in fitted.keys)


def _inputs(graph: Graph, system: AutoencoderBaseline | VAEBaseline, frames: str) -> str:
    """Return windows of stacked frames (W, stack · F) float32; too few frames are repeated to fill one."""
    config = system.config
    rows = graph.cast(frames, "float32")
    if config.stack_frames > 1:
        rows = _filled(graph, rows, config.stack_frames)
    windows = graph.windows(rows, length=config.stack_frames, hop=config.hop_frames)
    return graph.op("Flatten", windows, axis=1)


def _filled(graph: Graph, rows: str, stack: int) -> str:
    """Return rows (T, D), where there are fewer than `stack` so many, again and again from the first."""
    there = graph.length(rows, axis=0)
    wanted = graph.op("Squeeze", graph.op("Max", there, graph.ints(stack)), graph.ints(0))
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    places = graph.op("Mod", graph.op("Range", zero, wanted, one), there)
    return graph.op("Gather", rows, places, axis=0)


def _mean_square(graph: Graph, values: str) -> str:
    return graph.op("ReduceMean", graph.op("Mul", values, values), keepdims=0)


def _nearest(graph: Graph, detector: KNN, vector: str, train: NDArray[np.float32]) -> str:
    """Return the mean distance to the nearest training vectors."""
    if detector.metric == "euclidean":
        distances = graph.euclidean(vector, train)
    else:
        exact = train.astype(np.float64)
        lengths = np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), np.finfo(float).tiny)
        own = graph.op("Sqrt", graph.op("ReduceSumSquare", vector, keepdims=0))
        product = graph.op("MatMul", graph.f64(exact / lengths), vector)
        distances = graph.op("Sub", graph.f64(1.0), graph.op("Div", product, own))
    return graph.mean(_smallest(graph, distances, min(detector.neighbours, len(train)))[0], axis=0)


def _whitened(graph: Graph, part: Whitened, vector: str, size: int) -> str:
    """Return the local density's score of a vector (D,), after the map that whitens."""
    # The map is affine, whatever it is made of: x A + c.
    shift = part.blend_(np.zeros((1, size)))
    slope = part.blend_(np.eye(size)) - shift
    mapped = graph.op("Add", graph.op("MatMul", vector, graph.f64(slope)), graph.f64(shift[0]))
    detector: LocalDensity = part._detector
    distances = graph.euclidean(mapped, detector.vectors_)
    nearest, places = _smallest(graph, distances, detector.compared)
    spreads = graph.op("Gather", graph.f64(detector.spreads_), places, axis=0)
    return graph.mean(graph.op("Div", nearest, spreads), axis=0)


def _smallest(graph: Graph, values: str, count: int) -> tuple[str, str]:
    """Return the smallest of values (N,) and where they are."""
    found, places = graph.several("TopK", values, graph.ints(count), outputs=2, largest=0)
    return found, places
