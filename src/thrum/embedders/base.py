"""The contract of all embedders, after HEAR's: embeddings of frames with times, one of a scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.errors import AudioError
from thrum.registry import Registry


class Embedder(ABC):
    """A frozen model from sound to vectors.

    For every embedder: outputs are float32 and finite, the same input gives the same output, and a
    batch gives what its clips give one by one. Sound shorter than one frame is padded with silence
    to one frame.
    """

    sample_rate: ClassVar[int] = 16000
    """Samples per second of the audio it is given; what the model itself needs it resamples to."""

    embedding_size: int
    hop_seconds: float
    stack_frames: int
    """Frames in one input of the ID classifier (embedding-sharing paper, V-B, where it says)."""
    stack_hop: int
    """Frames from one such input to the next."""

    @abstractmethod
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embed audio (B, S) float32 in [-1, 1].

        Returns
        -------
        embeddings, times
            (B, T, D) float32, and (B, T) the centre of each frame in seconds.

        Raises
        ------
        AudioError
            Where the audio has another shape, no samples, or samples that are NaN or infinite.
        """

    def scenes(self, audio: Tensor) -> Tensor:
        """Return one embedding a clip, (B, D): the mean over its frames."""
        embeddings, _ = self.frames(audio)  # (B, T, D)
        return embeddings.mean(dim=1)  # (B, D)

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the embeddings, as plain values; embedders of equal settings agree."""
        return {"class": type(self).__qualname__}

    def larger(self) -> Embedder | None:
        """Return an embedder whose frames these can be pooled from; None where there is none."""
        return None

    def from_larger(self, frames: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return this embedder's frames (T, D) from those of the larger one, to the bit."""
        raise NotImplementedError(f"{type(self).__name__} is not pooled from a larger embedder")

    def to(self, device: torch.device | str) -> Self:
        """Move the model's tensors to `device`; returns the embedder itself."""
        return self

    def _checked(self, audio: Tensor) -> Tensor:
        """Return `audio` as float32, or raise an `AudioError` that says what is wrong with it."""
        name = type(self).__name__
        if audio.ndim != 2 or audio.shape[1] == 0 or not audio.is_floating_point():
            raise AudioError(
                f"{name} wants audio (B, S) as floats in [-1, 1] with at least one sample, "
                f"got {audio.dtype} of shape {tuple(audio.shape)}"
            )
        # Least and most are NaN where any sample is, and found ten times as fast as each one's being finite.
        if len(audio) and not torch.isfinite(torch.stack(torch.aminmax(audio))).all():
            raise AudioError(f"{name} got audio with NaN or infinite samples")
        return audio.float()

    def _times(self, embeddings: Tensor, *, first_seconds: float) -> Tensor:
        """Return the times (B, T) of embeddings (B, T, D), one every `hop_seconds`."""
        clips, frames, _ = embeddings.shape
        steps = torch.arange(frames, dtype=torch.float64) * self.hop_seconds + first_seconds
        return steps.float().to(embeddings.device).expand(clips, -1)  # (B, T)


EMBEDDERS: Registry[Embedder] = Registry(
    "embedder",
    {
        "logmel": "thrum.embedders.logmel:LogMel",
        "modulation": "thrum.embedders.modulation:Modulation",
        "precomputed": "thrum.embedders.precomputed:Precomputed",
        "yamnet": "thrum.embedders.yamnet:YAMNet",
        "panns": "thrum.embedders.panns:WavegramLogmelCnn14",
        "panns_cnn14": "thrum.embedders.panns:Cnn14",
        "openl3": "thrum.embedders.openl3:OpenL3",
        "openl3_6144": "thrum.embedders.openl3:OpenL3Large",
        "efficientat_mn04": "thrum.embedders.efficientat:MobileNet04",
        "efficientat_mn10": "thrum.embedders.efficientat:MobileNet10",
        "beats": "thrum.embedders.beats:BEATs",
        "wav2vec2": "thrum.embedders.wav2vec2:Wav2Vec2",
    },
)


def create_embedder(name: str, **settings: Any) -> Embedder:
    """Return the embedder called `name` (or ``module:Class``) with the given settings."""
    return EMBEDDERS.load(name)(**settings)


def name_of(embedder: Embedder) -> str:
    """Return the name under which an embedder is made again: the registered one, or ``module:Class``."""
    target = f"{type(embedder).__module__}:{type(embedder).__qualname__}"
    return next((name for name, entry in EMBEDDERS.entries.items() if entry == target), target)
