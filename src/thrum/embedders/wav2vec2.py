"""wav2vec 2.0 (Baevski et al., 2020): 768 numbers every 0.02 s, from any of its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thrum.embedders.base import Embedder
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.errors import UsageError
from thrum.networks.wav2vec2 import EMBEDDING_SIZE, LAYERS

RECEPTIVE_SAMPLES = 400
HOP = 320
VARIANCE_FLOOR = 1e-7


class Wav2Vec2(PretrainedEmbedder):
    """The base model through transformers (extra `ssl`); 10 s give 499 embeddings.

    Sound longer than 30 s is embedded in pieces of that length, for attention needs the square of it.
    160 frames stacked last 3.2 s, as the embedding-sharing paper's do for OpenL3 and PANNs.

    Parameters
    ----------
    layer
        Which output: 0 for the input of the first layer, 1 to 12 for that of a layer.
    """

    checkpoint = "wav2vec2_base"
    embedding_size = EMBEDDING_SIZE
    hop_seconds = HOP / Embedder.sample_rate
    first_seconds = RECEPTIVE_SAMPLES / 2 / Embedder.sample_rate
    min_samples = RECEPTIVE_SAMPLES
    piece_frames = 1500
    fastest = ()  # transformers gives no plain tensor
    stack_frames = 160
    stack_hop = 20

    def __init__(self, *, layer: int = LAYERS, **settings: Any) -> None:
        if not 0 <= layer <= LAYERS:
            raise UsageError(f"wav2vec 2.0 has layers 0 to {LAYERS}, got {layer}")
        self.layer = layer
        super().__init__(**settings)

    def _prepare(self) -> None:
        encoder = self.network.get_submodule("encoder")
        layers = encoder.get_submodule("layers")
        assert isinstance(layers, nn.ModuleList)
        encoder.register_module("layers", layers[: self.layer])

    def normalised(self, audio: Tensor) -> Tensor:
        """Return audio (B, S) with mean 0 and variance 1 for each clip."""
        variance = audio.var(dim=1, correction=0, keepdim=True)
        return (audio - audio.mean(dim=1, keepdim=True)) / torch.sqrt(variance + VARIANCE_FLOOR)

    def _embed(self, audio: Tensor) -> Tensor:
        return self._in_pieces(self.normalised(audio), self._embed_piece)

    def _embed_piece(self, audio: Tensor) -> Tensor:
        output: Any = self._run(audio)
        embeddings: Tensor = output.last_hidden_state  # (B, T, 768)
        return embeddings

    @property
    def settings(self) -> dict[str, Any]:
        """Beside the usual ones, the layer."""
        return {**super().settings, "layer": self.layer}
