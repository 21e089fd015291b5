"""Features that were computed elsewhere: nothing is left to do but to hand them on."""

from __future__ import annotations

import torch
from torch import Tensor

from thrum.embedders.base import Embedder
from thrum.errors import DataError


class Precomputed(Embedder):
    """Hands on frames (B, T, D) of any kind, as a dataset of arrays holds them, as float32.

    Parameters
    ----------
    embedding_size
        D; None takes what the first frames have.
    hop_seconds
        The time from one frame to the next; the default is that of DCASE's log-mel (512 samples at
        16 kHz).
    stack_frames, stack_hop
        The frames in one input of the ID classifier, and from one to the next; the defaults are the
        embedding-sharing paper's for PANNs and OpenL3 (section V-B).
    """

    def __init__(
        self,
        *,
        embedding_size: int | None = None,
        hop_seconds: float = 0.032,
        stack_frames: int = 32,
        stack_hop: int = 4,
    ) -> None:
        if embedding_size is not None:
            self.embedding_size = embedding_size
        self.hop_seconds = hop_seconds
        self.stack_frames = stack_frames
        self.stack_hop = stack_hop

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, T, D) as float32, and times that begin at 0.

        Raises
        ------
        DataError
            Where the features have another shape or D than wanted, no frame, or NaN or infinite
            values.
        """
        if audio.ndim != 3 or 0 in audio.shape[1:]:
            raise DataError(
                f"the embedder 'precomputed' wants features (B, T, D), got shape "
                f"{tuple(audio.shape)}; for recordings choose another embedder"
            )
        size = audio.shape[2]
        if getattr(self, "embedding_size", size) != size:
            raise DataError(
                f"the features have {size} dimensions, {self.embedding_size} were wanted: "
                f"all machines must share features of one kind"
            )
        if not torch.isfinite(audio).all():
            raise DataError("the features hold NaN or infinite values: compute them again")
        self.embedding_size = size
        features = audio.float()
        return features, self._times(features, first_seconds=0.0)
