"""The contract of all embedders, after HEAR's: time-stamped embeddings of frames, one embedding of a scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from thrum.registry import Registry


class Embedder(ABC):
    """A frozen model from sound to vectors.

    For every embedder: outputs are float32 and finite, the same input gives the same output, and a batch
    gives what its clips give one by one. Sound shorter than one frame is padded with silence to one frame.
    """

    sample_rate: ClassVar[int] = 16000
    """Samples per second of the audio it is given; what the model itself needs it resamples to."""
    invertible: ClassVar[bool] = False
    """Whether the embeddings can be turned back into sound that a person would recognise."""

    embedding_size: int
    hop_seconds: float
    stack_frames: int
    """Frames in one input of the ID classifier (embedding-sharing paper, section V-B, where it says)."""
    stack_hop: int
    """Frames from one such input to the next."""

    @abstractmethod
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embed audio (B, S) float32 in [-1, 1].

        Returns
        -------
        embeddings, times
            (B, T, D) float32, and (B, T) the centre of each frame in seconds.
        """

    def scenes(self, audio: Tensor) -> Tensor:
        """Return one embedding a clip, (B, D): the mean over its frames."""
        embeddings, _ = self.frames(audio)  # (B, T, D)
        return embeddings.mean(dim=1)  # (B, D)

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the embeddings, as plain values: two embedders with equal settings agree."""
        return {"class": type(self).__qualname__}

    def to(self, device: torch.device | str) -> Embedder:
        """Move the model's tensors to `device`; returns the embedder itself."""
        return self


EMBEDDERS: Registry[Embedder] = Registry(
    "embedder",
    {
        "logmel": "thrum.embedders.logmel:LogMel",
        "yamnet": "thrum.embedders.yamnet:YAMNet",
    },
)


def create_embedder(name: str, **settings: Any) -> Embedder:
    """Return the embedder called `name` (or ``module:Class``) with the given settings."""
    return EMBEDDERS.load(name)(**settings)
