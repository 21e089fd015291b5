"""Pretrained embedders as ONNX, samples to frames; the network comes as `PretrainedEmbedder` makes it."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import onnx
import torch
from torch import Tensor

from thrum.embedders import beats, efficientat, openl3, panns, yamnet
from thrum.embedders.beats import BEATs
from thrum.embedders.efficientat import MobileNet04
from thrum.embedders.openl3 import OpenL3
from thrum.embedders.panns import Cnn14, WavegramLogmelCnn14
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.embedders.yamnet import YAMNet
from thrum.errors import UsageError
from thrum.export.graph import Graph
from thrum.export.spectra import power_spectra, resampled, waves


def frames(graph: Graph, embedder: PretrainedEmbedder, samples: str) -> str:
    """Return the frames (T, D) of samples (S,) at 16 kHz.

    Raises
    ------
    UsageError
        Where the embedder cannot be exported.
    """
    exact = embedder.resampling_dtype == torch.float64
    sound = resampled(graph, samples, embedder.model_rate, dtype="float64" if exact else "float32")
    return _frames(
        embedder, graph, graph.silence_around(sound, least=graph.ints(embedder.min_samples))
    )


@singledispatch
def _frames(embedder: PretrainedEmbedder, graph: Graph, sound: str) -> str:
    raise UsageError(f"the embedder {type(embedder).__name__} cannot be exported")


@_frames.register
def _(embedder: YAMNet, graph: Graph, sound: str) -> str:
    first, hop = yamnet.PATCH_SAMPLES, yamnet.PATCH_HOP_SAMPLES
    beyond = graph.op("Sub", graph.length(sound, axis=0), graph.ints(first))
    hops = graph.op("Mul", graph.quotient_above(beyond, hop), graph.ints(hop))
    whole = graph.silence_around(sound, least=graph.op("Add", hops, graph.ints(first)))
    power = _power(graph, whole, embedder._window, fft_size=yamnet.FFT_SIZE, hop=yamnet.HOP)
    bands = graph.op("MatMul", graph.op("Sqrt", power), _matrix(graph, embedder._filterbank))
    levels = graph.op("Log", graph.op("Add", bands, graph.f32(yamnet.LOG_OFFSET)))  # (T, 64)
    patches = graph.windows(levels, length=yamnet.PATCH_FRAMES, hop=yamnet.PATCH_HOP_FRAMES)
    return _network(graph, embedder, [torch.zeros(1, yamnet.PATCH_FRAMES, yamnet.BANDS)], patches)


@_frames.register
def _(embedder: MobileNet04, graph: Graph, sound: str) -> str:
    ends = graph.ints(1), graph.ints(np.iinfo(np.int64).max), graph.ints(0)
    later = graph.op("Slice", sound, *ends)
    before = graph.op("Slice", sound, graph.ints(0), graph.ints(-1), graph.ints(0))
    emphasised = graph.op(
        "Sub", later, graph.op("Mul", before, graph.f32(efficientat.PRE_EMPHASIS))
    )
    half = graph.ints(efficientat.WINDOW // 2, efficientat.WINDOW // 2)
    padded = graph.op("Pad", emphasised, half, mode="reflect")
    fft_size, hop = efficientat.FFT_SIZE, efficientat.HOP
    power = _power(graph, padded, embedder._window, fft_size=fft_size, hop=hop)
    bands = graph.op("MatMul", power, _matrix(graph, embedder._filterbank))  # (T, 128)
    levels = graph.op("Log", graph.op("Add", bands, graph.f32(1e-5)))
    levels = graph.op("Div", graph.op("Add", levels, graph.f32(4.5)), graph.f32(5.0))
    maps = graph.op("Unsqueeze", graph.op("Transpose", levels, perm=[1, 0]), graph.ints(0, 1))
    heard = torch.zeros(1, 1, efficientat.BANDS, 10 * efficientat.MAP_HOP_FRAMES)
    last = _network(graph, embedder, [heard], maps)  # (1, D, 4, T / 32)
    columns = graph.op("Squeeze", graph.mean(last, axis=2), graph.ints(0))
    return graph.op("Transpose", columns, perm=[1, 0])


@_frames.register
def _(embedder: Cnn14, graph: Graph, sound: str) -> str:
    length, hop = panns.WINDOW_SAMPLES, panns.WINDOW_HOP_SAMPLES
    beyond = graph.op("Sub", graph.length(sound, axis=0), graph.ints(length))
    count = graph.op("Max", graph.quotient_above(beyond, hop), graph.ints(1))
    windows = graph.first(graph.windows(sound, length=length, hop=hop), count)

    def embedded(inner: Graph, window: str) -> str:
        half = inner.ints(panns.WINDOW // 2, panns.WINDOW // 2)
        padded = inner.op("Pad", window, half, mode="reflect")
        power = _power(inner, padded, embedder._window, fft_size=panns.WINDOW, hop=panns.HOP)
        bands = inner.op("MatMul", power, _matrix(inner, embedder._filterbank))
        levels = _decibels(inner, bands, floor=1e-10)
        inputs = [inner.op("Unsqueeze", each, inner.ints(0)) for each in (levels, window)]
        heard = [embedder.log_mel(torch.zeros(2, length)), torch.zeros(2, length)]
        used = 2 if isinstance(embedder, WavegramLogmelCnn14) else 1
        found = _network(inner, embedder, heard[:used], *inputs[:used])  # (1, D)
        return inner.op("Squeeze", found, inner.ints(0))

    return graph.each(windows, embedded)


@_frames.register
def _(embedder: OpenL3, graph: Graph, sound: str) -> str:
    length, hop = openl3.WINDOW_SAMPLES, openl3.WINDOW_HOP_SAMPLES
    half = length // 2
    beyond = graph.op("Sub", graph.length(sound, axis=0), graph.ints(length - half))
    hops = graph.quotient_above(graph.op("Max", beyond, graph.ints(0)), hop)
    least = graph.op("Add", graph.op("Mul", hops, graph.ints(hop)), graph.ints(length - half))
    whole = graph.silence_around(sound, before=half, least=least)
    windows = graph.windows(whole, length=length, hop=hop)

    def embedded(inner: Graph, window: str) -> str:
        levels = _openl3_levels(inner, embedder, window)  # (T, F)
        maps = inner.op("Unsqueeze", inner.op("Transpose", levels, perm=[1, 0]), inner.ints(0, 1))
        heard = embedder.spectrograms(torch.zeros(1, length)).unsqueeze(1)
        last = _network(inner, embedder, [heard], maps)  # (1, 512, F / 8, T / 8)
        pool = list(embedder._pool)
        pooled = inner.op("MaxPool", last, kernel_shape=pool, strides=pool)
        places = inner.op("Transpose", pooled, perm=[0, 2, 3, 1])
        return inner.op("Reshape", places, inner.ints(-1))

    return graph.each(windows, embedded)


@_frames.register
def _(embedder: BEATs, graph: Graph, sound: str) -> str:
    # Of each frame the mean is taken away, then a share of the sample before: both are linear.
    size = beats.WINDOW
    centred = np.eye(size) - 1 / size
    before = np.eye(size, k=-1)
    before[0, 0] = 1
    emphasised = (np.eye(size) - beats.PRE_EMPHASIS * before) @ centred
    turning = waves(embedder._window.double().numpy(), fft_size=beats.FFT_SIZE) @ emphasised
    batch = graph.op("Unsqueeze", sound, graph.ints(0))
    power = power_spectra(graph, batch, beats.FULL_SCALE * turning, hop=beats.HOP)  # (1, T, F)
    bands = graph.op("MatMul", power, _matrix(graph, embedder._filterbank))
    levels = graph.op("Log", graph.op("Max", bands, graph.f32(beats.FLOOR)))
    spread = graph.f32(2 * beats.DEVIATION)
    levels = graph.op("Div", graph.op("Sub", levels, graph.f32(beats.MEAN)), spread)
    heard = embedder.filterbank(torch.zeros(1, embedder.sample_rate))
    tokens = _network(graph, embedder, [heard], levels)  # (1, L, 768)
    shape = graph.ints(-1, beats.BANDS_OF_PATCHES, embedder.embedding_size)
    return graph.mean(graph.op("Reshape", tokens, shape), axis=1)


def _openl3_levels(graph: Graph, embedder: OpenL3, window: str) -> str:
    """Return what OpenL3's network sees of a window (S,), (T, F): in dB below the loudest.

    They reach down to 1e-8 of it, so the transform is made in double precision, by ONNX's own operator.
    """
    if embedder._filterbank is None:
        raise UsageError("OpenL3 with linear spectrograms cannot be exported: train with mel256")
    columns = -(-openl3.WINDOW_SAMPLES // openl3.STFT_HOP)
    whole = (columns - 1) * openl3.STFT_HOP + embedder._stft_samples
    padded = graph.cast(graph.silence_around(window, least=graph.ints(whole)), "float64")
    batch = graph.op("Unsqueeze", padded, graph.ints(0))
    hop = graph.constant(openl3.STFT_HOP, "int64")
    spectrum = graph.op("STFT", batch, hop, graph.f64(embedder._window.double().numpy()))
    power = graph.op("ReduceSumSquare", spectrum, axes=[3], keepdims=0)  # (1, T, F)
    magnitude = graph.cast(graph.op("Sqrt", power), "float32")
    bands = graph.op("MatMul", magnitude, _matrix(graph, embedder._filterbank))
    levels = _decibels(graph, graph.op("Squeeze", bands, graph.ints(0)), floor=1e-10)
    below = graph.op("Sub", levels, graph.op("ReduceMax", levels, keepdims=1))
    return graph.op("Max", below, graph.f32(-openl3.DYNAMIC_RANGE_DB))


def _power(graph: Graph, sound: str, window: Tensor, *, fft_size: int, hop: int) -> str:
    """Return the power spectra (T, F) of sound (S,)."""
    batch = graph.op("Unsqueeze", sound, graph.ints(0))
    turning = waves(window.double().numpy(), fft_size=fft_size)
    return graph.op("Squeeze", power_spectra(graph, batch, turning, hop=hop), graph.ints(0))


def _decibels(graph: Graph, power: str, *, floor: float) -> str:
    logarithm = graph.op("Log", graph.op("Max", power, graph.f32(floor)))
    return graph.op("Mul", logarithm, graph.f32(10 / np.log(10)))


def _matrix(graph: Graph, values: Tensor) -> str:
    return graph.f32(values.numpy())


def _network(graph: Graph, embedder: PretrainedEmbedder, heard: list[Tensor], *inputs: str) -> str:
    """Add the network; `heard` is the kind of input that it gets."""
    return graph.network(onnx.load_from_string(embedder.network_as_onnx(heard)), *inputs)
