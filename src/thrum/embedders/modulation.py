"""Our own embedder: small, its weights part of the package, trained on simulated machines alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from thrum import storage
from thrum.embedders.base import Embedder
from thrum.embedders.logmel import HOP, LogMel
from thrum.features.framing import pad_to_length
from thrum.networks.modulation import ModulationNet

WEIGHTS = Path(__file__).with_name("modulation.safetensors")
WINDOW_FRAMES = 64
WINDOW_HOP = 8
WINDOWS_AT_ONCE = 256  # bounds the memory


class Modulation(Embedder):
    """Average spectrum and learnt modulations of 2 s windows, every quarter of a second.

    The weights are made again by ``python training/modulation.py``.

    Parameters
    ----------
    weights
        A file that the training wrote; None takes the package's.
    """

    embedding_size = 192
    hop_seconds = WINDOW_HOP * HOP / Embedder.sample_rate
    stack_frames = 16
    stack_hop = 2

    def __init__(self, *, weights: Path | None = None) -> None:
        self.weights = weights or WEIGHTS
        self._logmel = LogMel()
        self._network = ModulationNet()
        tensors, _ = storage.load_tensors(self.weights)
        self._network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
        self._network.requires_grad_(requires_grad=False).eval()

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embed audio (B, S) at 16 kHz; see `Embedder.frames`."""
        audio = pad_to_length(self._checked(audio), (WINDOW_FRAMES - 1) * HOP)
        levels, _ = self._logmel.frames(audio)  # (B, T, 128)
        embeddings = self.from_logmel(levels)
        first_seconds = (WINDOW_FRAMES - 1) / 2 * HOP / self.sample_rate
        return embeddings, self._times(embeddings, first_seconds=first_seconds)

    @torch.inference_mode()
    def from_logmel(self, levels: Tensor) -> Tensor:
        """Return the embeddings (B, T', 192) of what `LogMel` gives, (B, T, 128) with T of 64 at least."""
        windows = levels.unfold(1, WINDOW_FRAMES, WINDOW_HOP).transpose(2, 3)  # (B, T', 64, 128)
        flat = windows.flatten(0, 1)
        embedded = [self._network(part) for part in torch.split(flat, WINDOWS_AT_ONCE)]
        return torch.cat(embedded).view(*windows.shape[:2], -1)

    @property
    def settings(self) -> dict[str, Any]:
        """The class, and the sha256 of the weights."""
        return {**super().settings, "weights": _sha256(self.weights)}

    def to(self, device: torch.device | str) -> Self:
        """Move the front end and the network to `device`."""
        self._logmel.to(device)
        self._network.to(device)
        return self


@lru_cache(maxsize=8)
def _sha256(path: Path) -> str:
    return storage.sha256(path)
