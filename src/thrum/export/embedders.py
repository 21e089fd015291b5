"""Embedders as ONNX: from the front end to frames (T, D)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from thrum.embedders.base import Embedder
from thrum.embedders.beats import BEATs
from thrum.embedders.logmel import FFT_SIZE, HOP, LogMel
from thrum.embedders.modulation import WINDOW_FRAMES, WINDOW_HOP, Modulation
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.errors import UsageError
from thrum.export import pretrained
from thrum.export.frontend import SAMPLES, Front, require_logmel
from thrum.export.graph import Graph
from thrum.export.layers import layer
from thrum.networks.modulation import (
    DECIBEL_SPREAD,
    LEARNT_SCALE,
    LEVEL_SHARE,
    RATE_BINS,
    SPECTRUM_SCALE,
)


class Exported(NamedTuple):
    """An embedder that can be exported.

    Parameters
    ----------
    frames
        Adds an embedder of this kind to a graph; frames (T, D) float32 come out.
    fewest_samples
        Shorter sound the log-mel spectrogram is padded to.
    longest_seconds
        Longer sound it cannot take; None takes any.
    """

    frames: Callable[[Graph, Front, Embedder], str]
    fewest_samples: int = FFT_SIZE
    longest_seconds: float | None = None


def exported(name: str) -> Exported:
    """Return how an embedder is exported.

    Raises
    ------
    UsageError
        Where it cannot be; it is named, with the reason and those that can.
    """
    if name not in KNOWN:
        why = _REFUSED.get(name, "it is not one of thrum's own")
        raise UsageError(
            f"the embedder {name!r} cannot be exported, for {why}; only {', '.join(sorted(KNOWN))} can: "
            f"train with one of these"
        )
    return KNOWN[name]


def _logmel(graph: Graph, front: Front, embedder: Embedder) -> str:
    assert isinstance(embedder, LogMel)
    require_logmel(embedder)
    return front.levels


def _modulation(graph: Graph, front: Front, embedder: Embedder) -> str:
    assert isinstance(embedder, Modulation)
    network = embedder._network
    windows = graph.windows(front.levels, length=WINDOW_FRAMES, hop=WINDOW_HOP)  # (B, 64, F)
    average = graph.mean(windows, axis=1)  # (B, F)
    level = graph.mean(average, axis=1, keep=True)
    inputs = layer(graph, network.inputs, _statistics(graph, windows, average, level))
    deep, direct = layer(graph, network.deep, inputs), layer(graph, network.direct, inputs)
    projected = layer(graph, network.outputs, graph.op("Add", deep, direct))  # (B, P)
    centred = graph.op("Sub", projected, graph.f32(network.mean.numpy()))
    learnt = graph.op("MatMul", centred, graph.f32(network.axes.numpy()))  # (B, K)
    spectrum = graph.op("Sub", average, graph.op("Mul", level, graph.f32(LEVEL_SHARE)))
    parts = [
        graph.op("Div", spectrum, graph.f32(SPECTRUM_SCALE)),
        graph.op("Mul", learnt, graph.f32(LEARNT_SCALE)),
    ]
    return graph.op("Concat", *parts, axis=1)


def _statistics(graph: Graph, windows: str, average: str, level: str) -> str:
    """Return what the network hears; see `thrum.networks.modulation.statistics`."""
    around = graph.op("Sub", windows, graph.op("Unsqueeze", average, graph.ints(1)))
    last = RATE_BINS[-1][1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_FRAMES) / WINDOW_FRAMES)
    turns = np.outer(np.arange(last), np.arange(WINDOW_FRAMES)) / WINDOW_FRAMES
    waves = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)]) * window
    spectrum = graph.op("MatMul", graph.f32(waves), around)  # (B, 2 last, F)
    squares = graph.op("Mul", spectrum, spectrum)
    power = graph.op("Add", *graph.several("Split", squares, outputs=2, axis=1))  # (B, last, F)
    rates = []
    for first, end in RATE_BINS:
        part = graph.op("Slice", power, graph.ints(first), graph.ints(end), graph.ints(1))
        rates.append(_half_log(graph, graph.mean(part, axis=1), added=1.0, less=2.0))
    variance = graph.mean(graph.op("Mul", around, around), axis=1)
    deviation = _half_log(graph, variance, added=0.1, less=1.0)
    coloured = graph.op("Div", graph.op("Sub", average, level), graph.f32(DECIBEL_SPREAD))
    return graph.op("Concat", coloured, *rates, deviation, axis=1)


def _half_log(graph: Graph, power: str, *, added: float, less: float) -> str:
    logarithm = graph.op("Log", graph.op("Add", power, graph.f32(added)))
    return graph.op("Sub", graph.op("Div", logarithm, graph.f32(2.0)), graph.f32(less))


def _pretrained(graph: Graph, front: Front, embedder: Embedder) -> str:
    assert isinstance(embedder, PretrainedEmbedder)
    return pretrained.frames(graph, embedder, SAMPLES)


_PRETRAINED = (
    "yamnet",
    "efficientat_mn04",
    "efficientat_mn10",
    "panns",
    "panns_cnn14",
    "openl3",
    "openl3_6144",
)
KNOWN: Mapping[str, Exported] = {
    "logmel": Exported(_logmel),
    "modulation": Exported(_modulation, (WINDOW_FRAMES - 1) * HOP),
    **{name: Exported(_pretrained) for name in _PRETRAINED},
    # Longer sound is embedded in pieces, which the file does not do.
    "beats": Exported(_pretrained, longest_seconds=BEATs.piece_frames * BEATs.hop_seconds),
}
"""Those that can be exported."""
_REFUSED: Mapping[str, str] = {
    "precomputed": "it takes features, not sound",
    "wav2vec2": "its network is transformers', which runs with PyTorch alone",
}
