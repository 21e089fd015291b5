"""A monitor whose network computes in 8 bits, learnt again from the site's own normal clips.

A network in 8 bits hears otherwise than the one in single precision, by a fifth of an embedding's length: a
clip heard by one must not be compared with clips heard by the other. So the clips that the monitor knows are
embedded once more, and the left-out scores, by which p-values are made, are those of the new network.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thrum.embedders.base import create_embedder
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.errors import DataError, UsageError
from thrum.monitoring.baseline import content_of
from thrum.monitoring.monitor import Monitor
from thrum.networks.as_onnx import input_names
from thrum.systems.baselines.knn import NearestNeighbours
from thrum.types import Clip

EMBEDDERS = ("yamnet",)
"""Those that are faster so (docs/edge.md): EfficientAT, of small layers, is slower."""
CALIBRATION_CLIPS = 32
"""From which the range of each layer's values is read."""
PERCENTILE = 99.9
"""Of the values that a layer's range holds: with all of them, rare ones cost the others their digits."""


@dataclass(frozen=True)
class Quantised:
    """What became of a monitor.

    Parameters
    ----------
    monitor, embedder
        To be exported together.
    clips
        From which it was learnt.
    rank_agreement
        Spearman's correlation of the left-out scores before and after.
    bytes_before, bytes_after
        Of the network.
    """

    monitor: Monitor
    embedder: PretrainedEmbedder
    clips: int
    rank_agreement: float
    bytes_before: int
    bytes_after: int


def quantised(monitor: Monitor) -> Quantised:
    """Return a monitor with a network of 8 bits, learnt from the normal clips that it knows.

    Raises
    ------
    UsageError
        Where its system or embedder is not offered so; both are named.
    DataError
        Where clips that it knows are gone, or are others by now.
    """
    system = monitor.system
    if not isinstance(system, NearestNeighbours):
        raise UsageError(
            f"int8 is offered for the system 'knn' alone, this one is {system.name!r}: leave --int8 out"
        )
    name = system.config.embedder
    if name not in EMBEDDERS:
        raise UsageError(
            f"int8 is offered where it pays, for {', '.join(EMBEDDERS)}, not for {name!r}: leave --int8 out"
        )
    clips = _clips(monitor)
    embedder = create_embedder(name, backend="onnxruntime")
    assert isinstance(embedder, PretrainedEmbedder)
    with TemporaryDirectory(prefix="thrum-") as temporary:
        with _heard_by(embedder) as heard:
            step = max(1, len(clips) // CALIBRATION_CLIPS)
            embed_into(EmbeddingStore(Path(temporary) / "heard"), clips[::step], embedder)
        before = embedder.network_as_onnx(heard[0])
        inputs = [[each.numpy() for each in given] for given in heard]
        after = _quantised(before, inputs, Path(temporary))
        small = embedder.with_model(after)
        embed_into(EmbeddingStore(Path(temporary) / "embeddings"), clips, small)
        learnt = NearestNeighbours(
            system.config, folder=Path(temporary), device="cpu", seed=system.seed
        ).fit(clips)
    left_out = learnt.left_out_scores()[monitor.key]
    learnt.folder = None
    return Quantised(
        Monitor(
            monitor.key,
            learnt,
            replace(monitor.baseline, left_out=left_out),
            history=monitor.history,
            takings=monitor.takings,
            alarms=monitor.alarms,
        ),
        small,
        len(clips),
        _rank_agreement(monitor.baseline.left_out, left_out),
        len(before),
        len(after),
    )


def _clips(monitor: Monitor) -> list[Clip]:
    """Return the normal clips that a monitor knows, as they were."""
    known = monitor.baseline.clips
    if not known:
        raise DataError(
            f"{monitor.name} does not know its normal clips any more, only their scores: train again"
        )
    clips = [each.clip(monitor.key) for each in known]
    for each, clip in zip(known, clips, strict=True):
        if not clip.path.is_file() or content_of(clip) != each.sha256:
            raise DataError(
                f"{clip.path} is not there, or not what was learnt: int8 wants all normal clips of "
                f"{monitor.name} where they were, to learn them again"
            )
    return clips


@contextlib.contextmanager
def _heard_by(embedder: PretrainedEmbedder) -> Iterator[list[Sequence[Tensor]]]:
    """Yield a list to which everything is added that an embedder's network is given."""
    heard: list[Sequence[Tensor]] = []
    run = embedder._run

    def noting(*inputs: Tensor) -> Tensor:
        heard.append(inputs)
        return run(*inputs)

    embedder._run = noting  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        del embedder._run


def _quantised(
    model: bytes, inputs: Sequence[Sequence[NDArray[np.float32]]], folder: Path
) -> bytes:
    """Return a network in 8 bits: weights of each channel, and values by the ranges that `inputs` lead to."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Sequence[NDArray[np.float32]]] = iter(inputs)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            given = next(self._left, None)
            return None if given is None else dict(zip(input_names(len(given)), given, strict=True))

    plain, prepared, found = (folder / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
    plain.write_bytes(model)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how far it is
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            found,
            Reader(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
    return found.read_bytes()


def _rank_agreement(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    first, second = (np.argsort(np.argsort(each)) for each in (before, after))
    return float(np.corrcoef(first, second)[0, 1]) if len(before) > 1 else float("nan")
