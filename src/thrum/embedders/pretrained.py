"""What pretrained embedders share: weights, device, precision, and resampling before the model."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from thrum.embedders.base import Embedder
from thrum.embedders.compiled import compiled
from thrum.embedders.runtimes import Backend, Runner, asked_backend, chosen_backend, runner
from thrum.embedders.weights import Weights, cache_folder, load_network, load_weights
from thrum.features.framing import pad_to_length
from thrum.features.resampling import Resampler, resample
from thrum.networks.folding import fold_batch_norms

Precision = Literal["float32", "bfloat16"]


class PretrainedEmbedder(Embedder):
    """A published network behind its own front end.

    Parameters
    ----------
    weights
        The weights; None takes those stored on this machine under `checkpoint`.
    cache
        The folder to look for stored weights in; None takes the usual one.
    resampler
        From 16 kHz to `model_rate`: ``kaiser_best``, as the models' authors do it, or ``soxr``, which
        moves the embeddings by 1 to 4 %.
    backend
        What runs the network on a CPU: ``torch``, ``onnxruntime`` or ``openvino``; ``auto`` takes what was
        measured to be fastest of what is installed. None takes the environment's ``THRUM_BACKEND``, else
        ``auto``. They agree to some 2e-6, so this is no part of `settings`.
    precision
        ``bfloat16`` runs the network (not the front end) in that precision: faster on GPUs, and on
        CPUs that have it, at some three digits. It runs in PyTorch.
    """

    checkpoint: str
    """The name of the weights."""
    model_rate: ClassVar[int] = Embedder.sample_rate
    """Samples per second that the model was made for."""
    min_samples: ClassVar[int]
    """Samples of one frame at `model_rate`: shorter audio is padded with silence to this length."""
    first_seconds: float
    """The centre of the first frame."""
    windows_per_batch: ClassVar[int] = 16
    """Windows that the network is given at a time: bounds its memory."""
    resampling_dtype: ClassVar[torch.dtype] = torch.float32
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format
    """The order of the weights in memory: whichever was measured to be faster on a CPU."""

    fastest: ClassVar[tuple[Backend, ...]] = ("onnxruntime", "openvino", "torch")
    """What ``auto`` tries, in this order, as measured on one core (docs/performance.md). Empty where only
    PyTorch runs the network: then another backend that is asked for is refused."""
    free_axes: ClassVar[tuple[int, ...]] = (0,)
    """Axes of the network's inputs that are not always equally long."""

    piece_frames: ClassVar[int]
    """Frames embedded together where a model cannot take sound of any length."""

    def __init__(
        self,
        *,
        weights: Weights | None = None,
        cache: Path | None = None,
        resampler: Resampler = "kaiser_best",
        precision: Precision = "float32",
        backend: Backend | None = None,
    ) -> None:
        self._backend = asked_backend(backend)
        self._models = cache_folder(cache).parent / "networks" if weights is None else None
        self._runners: dict[Backend, Runner] = {}
        self._model: bytes | None = None
        weights = weights or load_weights(self.checkpoint, cache=cache)
        self.resampler: Resampler = resampler
        self.precision: Precision = precision
        self._weights_sha256 = weights.sha256
        self._device = torch.device("cpu")
        network = fold_batch_norms(load_network(self.checkpoint, weights))
        self.network: nn.Module = network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self._prepare()

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embed audio (B, S) at 16 kHz; see `Embedder.frames`."""
        audio = self._checked(audio).to(self._device, self.resampling_dtype)
        audio = resample(audio, self.sample_rate, self.model_rate, method=self.resampler).float()
        embeddings = self._embed(pad_to_length(audio, self.min_samples)).float()  # (B, T, D)
        return embeddings, self._times(embeddings, first_seconds=self.first_seconds)

    @abstractmethod
    def _prepare(self) -> None:
        """Make the tensors of the front end, as attributes of this object."""

    @abstractmethod
    def _embed(self, audio: Tensor) -> Tensor:
        """Return the embeddings (B, T, D) of audio (B, S) at `model_rate`."""

    def _run(self, *inputs: Tensor) -> Tensor:
        """Return the network's output in the precision asked for, by the backend chosen."""
        backend = self.backend
        if backend != "torch":
            run = self._runners.get(backend) or self._compiled(backend, inputs)
            return torch.from_numpy(run([each.contiguous().numpy() for each in inputs]))
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        ):
            output: Tensor = self.network(*inputs)
        return output

    @property
    def backend(self) -> Backend:
        """What runs the network: what was asked for, with ``auto`` the first of `fastest` that is installed.

        On a GPU, and in another precision than float32, it is PyTorch. A `UsageError` where what was asked
        for is not installed.
        """
        if self._device.type != "cpu" or self.precision != "float32":
            return "torch"
        return chosen_backend(self._backend, fastest=self.fastest, of=type(self).__name__)

    def with_model(self, model: bytes) -> Self:
        """Return this embedder with another network: an ONNX model, such as one of 8-bit whole numbers.

        `settings` do not tell it apart: keep its embeddings apart from others.
        """
        other = copy.copy(self)
        other._model, other._backend, other._runners = model, "onnxruntime", {}
        return other

    def _compiled(self, backend: Backend, inputs: Sequence[Tensor]) -> Runner:
        self._runners[backend] = runner(backend, self.network_as_onnx(inputs))
        return self._runners[backend]

    def network_as_onnx(self, inputs: Sequence[Tensor]) -> bytes:
        """Return the network as an ONNX model, for inputs as long as these but along the free axes."""
        if self._model is not None:
            return self._model
        return compiled(
            self.network,
            inputs,
            free=self.free_axes,
            name=self.checkpoint,
            weights_sha256=self._weights_sha256,
            folder=self._models,
        )

    def _each_window(self, windows: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the embeddings (B, T, D) of windows (B, T, …), a few windows at a time."""
        clips, count = windows.shape[:2]
        flat = windows.flatten(0, 1)  # (B·T, …)
        parts = [embed(part) for part in torch.split(flat, self.windows_per_batch)]
        return torch.cat(parts).view(clips, count, -1)

    def _in_pieces(self, audio: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the embeddings (B, T, D) of audio (B, S), `piece_frames` frames at a time."""
        hop = round(self.hop_seconds * self.model_rate)
        length = (self.piece_frames - 1) * hop + self.min_samples
        starts = range(0, audio.shape[1] - self.min_samples + 1, self.piece_frames * hop)
        return torch.cat([embed(audio[:, start : start + length]) for start in starts], dim=1)

    @property
    def settings(self) -> dict[str, Any]:
        """The class, the sha256 of the weights, the precision, and the resampler if one is used."""
        settings = {
            **super().settings,
            "weights": self._weights_sha256,
            "precision": self.precision,
        }
        if self.model_rate != self.sample_rate:
            settings["resampler"] = self.resampler
        return settings

    def to(self, device: torch.device | str) -> Self:
        """Move the network and the front end to `device`."""
        self._device = torch.device(device)
        self.network.to(self._device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(self._device))
        return self
