"""What pretrained embedders do with samples before their network: other rates, power spectra.

A Fourier transform is a convolution with windowed cosines and sines: as fast under onnxruntime as its own
operator for it, or faster, and as near to what PyTorch computes (docs/edge.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thrum.embedders.base import Embedder
from thrum.export.graph import Graph, Type
from thrum.features.resampling import kaiser_best


def waves(window: NDArray[np.floating], *, fft_size: int) -> NDArray[np.float64]:
    """Return the windowed cosines and sines (2 F, L) of a window (L,), F = fft_size // 2 + 1."""
    bins = np.arange(fft_size // 2 + 1)
    turns = np.outer(bins, np.arange(len(window))) % fft_size / fft_size
    both = np.concatenate([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)])
    return np.asarray(both * window)


def power_spectra(graph: Graph, sound: str, waves: NDArray[np.float64], *, hop: int) -> str:
    """Return (B, T, F), re² + im² of the whole frames of sound (B, S), one every `hop` samples."""
    channel = graph.op("Unsqueeze", sound, graph.ints(1))  # (B, 1, S)
    spectrum = graph.op("Conv", channel, graph.f32(waves[:, None]), strides=[hop])  # (B, 2 F, T)
    squares = graph.op("Mul", spectrum, spectrum)
    power = graph.op("Add", *graph.several("Split", squares, outputs=2, axis=1))  # (B, F, T)
    return graph.op("Transpose", power, perm=[0, 2, 1])


def resampled(graph: Graph, samples: str, rate: int, *, dtype: Type = "float32") -> str:
    """Bring samples (S,) to another rate, as `thrum.features.resampling` does by ``kaiser_best``."""
    if rate == Embedder.sample_rate:
        return samples
    filters = kaiser_best(Embedder.sample_rate, rate)
    block, taps = filters.kernel.shape
    there = graph.length(samples, axis=0)
    wanted = graph.op(
        "Div", graph.op("Mul", there, graph.ints(filters.up)), graph.ints(filters.down)
    )
    blocks = graph.quotient_above(wanted, block)
    needed = graph.op(
        "Add",
        graph.op("Mul", graph.op("Sub", blocks, graph.ints(1)), graph.ints(filters.step)),
        graph.ints(taps - filters.reach),
    )
    padded = graph.silence_around(samples, before=filters.reach, least=needed)
    windows = graph.windows(padded, length=taps, hop=filters.step)  # (W, K)
    if dtype != "float32":
        windows = graph.cast(windows, dtype)
    found = graph.op("MatMul", windows, graph.constant(filters.kernel.T, dtype))  # (W, L)
    flat = graph.op("Reshape", found, graph.ints(-1))
    return graph.first(flat if dtype == "float32" else graph.cast(flat, "float32"), wanted)
