"""What all pretrained embedders share: weights, device, precision, resampling before the model."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from thrum.embedders.base import Embedder
from thrum.embedders.weights import Weights, load_network, load_weights
from thrum.features.framing import pad_to_length
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
    precision
        ``bfloat16`` runs the network (not the front end) in that precision: faster on GPUs, and on
        CPUs that have it, at some three digits.
    """

    checkpoint: str
    """The name of the weights."""
    min_samples: ClassVar[int]
    """Samples of one frame: shorter audio is padded with silence to this length."""
    first_seconds: float
    """The centre of the first frame."""

    def __init__(
        self,
        *,
        weights: Weights | None = None,
        cache: Path | None = None,
        precision: Precision = "float32",
    ) -> None:
        weights = weights or load_weights(self.checkpoint, cache=cache)
        self.precision: Precision = precision
        self._weights_sha256 = weights.sha256
        self._device = torch.device("cpu")
        self.network: nn.Module = fold_batch_norms(load_network(self.checkpoint, weights))
        self._prepare()

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embed audio (B, S) at 16 kHz; see `Embedder.frames`."""
        audio = pad_to_length(self._checked(audio).to(self._device), self.min_samples)
        embeddings = self._embed(audio).float()  # (B, T, D)
        return embeddings, self._times(embeddings, first_seconds=self.first_seconds)

    @abstractmethod
    def _prepare(self) -> None:
        """Make the tensors of the front end, as attributes of this object."""

    @abstractmethod
    def _embed(self, audio: Tensor) -> Tensor:
        """Return the embeddings (B, T, D) of checked audio (B, S) of at least `min_samples`."""

    def _run(self, inputs: Tensor) -> Tensor:
        """Return the network's output in the precision asked for."""
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        ):
            output: Tensor = self.network(inputs)
        return output

    @property
    def settings(self) -> dict[str, Any]:
        """The class, the sha256 of the weights, and the precision."""
        return {
            **super().settings,
            "weights": self._weights_sha256,
            "precision": self.precision,
        }

    def to(self, device: torch.device | str) -> Self:
        """Move the network and the front end to `device`."""
        self._device = torch.device(device)
        self.network.to(self._device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(self._device))
        return self
