"""From samples to the log-mel spectrogram, and to what a monitor hears of the machine's operating state."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

from thrum.embedders.logmel import FFT_SIZE, HOP, LogMel
from thrum.errors import UsageError
from thrum.export.graph import Graph
from thrum.export.spectra import power_spectra, waves

SAMPLES = "samples"
"""The input: (S,) float32 in [-1, 1], 16,000 a second."""


class Front(NamedTuple):
    """What comes of samples.

    Parameters
    ----------
    levels
        (T, 128) float32 in dB of the samples, padded with silence to what the embedder wants.
    own
        (T',) of these, the frames of the samples themselves.
    level_db
        Float64: root mean square about the mean, against full scale.
    """

    levels: str
    own: str
    level_db: str


def front(graph: Graph, *, fewest_samples: int) -> Front:
    """Add the front end; shorter sound is padded with silence at its end."""
    samples = graph.length(SAMPLES, axis=0)
    wanted = graph.op("Max", samples, graph.ints(max(fewest_samples, FFT_SIZE)))
    levels = _levels(graph, graph.op("Sub", wanted, samples))
    heard = graph.op("Max", samples, graph.ints(FFT_SIZE))
    frames = graph.op("Add", graph.op("Div", heard, graph.ints(HOP)), graph.ints(1))
    return Front(levels, graph.first(levels, frames), _level_db(graph))


def require_logmel(embedder: LogMel) -> None:
    """Raise a `UsageError` where a front end pads otherwise than this one."""
    if embedder.padding != "constant":
        raise UsageError(
            f"a log-mel front end with the padding {embedder.padding!r} cannot be exported, only "
            f"'constant': train with embedder = 'logmel'"
        )


def _levels(graph: Graph, missing: str) -> str:
    """Return (T, 128), the levels of the samples with so many zeros after them."""
    mel = LogMel()
    half = graph.ints(FFT_SIZE // 2)
    ends = graph.op("Concat", half, graph.op("Add", missing, half), axis=0)
    padded = graph.op("Unsqueeze", graph.op("Pad", SAMPLES, ends), graph.ints(0))  # (1, S')
    turning = waves(mel._window.double().numpy(), fft_size=FFT_SIZE)
    power = power_spectra(graph, padded, turning, hop=HOP)  # (1, T, 513)
    power = graph.op("Squeeze", power, graph.ints(0))
    bands = graph.op("MatMul", power, graph.f32(mel._filterbank.numpy()))  # (T, 128)
    # In double precision, for logarithms of other programs differ in their last digit.
    floored = graph.cast(graph.op("Max", bands, graph.f32(sys.float_info.epsilon)), "float64")
    decibels = graph.op("Mul", graph.op("Log", floored), graph.f64(10 / np.log(10)))
    return graph.cast(decibels, "float32")


def _level_db(graph: Graph) -> str:
    samples = graph.cast(SAMPLES, "float64")
    around = graph.op("Sub", samples, graph.op("ReduceMean", samples, axes=[0], keepdims=1))
    power = graph.op("ReduceMean", graph.op("Mul", around, around), axes=[0], keepdims=0)
    floored = graph.op("Max", power, graph.f64(1e-12))
    return graph.op("Mul", graph.op("Log", floored), graph.f64(10 / np.log(10)))
