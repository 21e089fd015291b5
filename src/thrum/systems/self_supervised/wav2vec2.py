"""wav2vec 2.0 of any size, from a folder on this machine (eq. 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from thrum import storage
from thrum.embedders.base import Embedder
from thrum.embedders.wav2vec2 import HOP, RECEPTIVE_SAMPLES, VARIANCE_FLOOR
from thrum.embedders.weights import load_network, load_weights
from thrum.errors import UsageError, WeightsError
from thrum.features.framing import pad_to_length

CHECKPOINT = "wav2vec2_base"
PIECE_FRAMES = 1500  # 30 s: attention needs the square of what is embedded together
NEVER_USED = {"masked_spec_embed"}  # what replaces masked frames while pre-training


class Wav2Vec2Features(Embedder):
    """The last layer's output, every 20 ms.

    Parameters
    ----------
    network
        Of transformers' class ``Wav2Vec2Model``.
    sha256
        Of its weights.
    """

    hop_seconds = HOP / Embedder.sample_rate
    first_seconds = RECEPTIVE_SAMPLES / 2 / Embedder.sample_rate

    def __init__(self, network: nn.Module, sha256: str) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.embedding_size = int(cast("Any", network.config).hidden_size)
        self.sha256 = sha256

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """Load the model in `folder`, or the base model that is stored on this machine.

        Raises
        ------
        WeightsError
            Where there is none, or it is not whole.
        """
        if folder is not None:
            return cls(read_network(folder), storage.sha256(folder / "model.safetensors"))
        weights = load_weights(CHECKPOINT)
        return cls(load_network(CHECKPOINT, weights), weights.sha256)

    def save(self, folder: Path) -> None:
        """Write the model to `folder`, in transformers' format."""
        write_network(self.network, folder)

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, T, D) of audio (B, S) at 16 kHz, and their times (B, T)."""
        device = next(self.network.parameters()).device
        audio = normalised(pad_to_length(self._checked(audio).to(device), RECEPTIVE_SAMPLES))
        length = (PIECE_FRAMES - 1) * HOP + RECEPTIVE_SAMPLES
        starts = range(0, audio.shape[1] - RECEPTIVE_SAMPLES + 1, PIECE_FRAMES * HOP)
        pieces = [
            self.network(audio[:, start : start + length]).last_hidden_state for start in starts
        ]
        embeddings = torch.cat(pieces, dim=1)  # (B, T, D)
        return embeddings, self._times(embeddings, first_seconds=self.first_seconds)

    @property
    def settings(self) -> dict[str, Any]:
        """The class and the sha256 of the weights."""
        return {**super().settings, "weights": self.sha256}

    def to(self, device: torch.device | str) -> Self:
        """Move the network to `device`."""
        self.network.to(device)
        return self


def normalised(audio: Tensor) -> Tensor:
    """Return audio (B, S) with mean 0 and variance 1 for each clip, as the model was trained on."""
    variance, mean = torch.var_mean(audio, dim=1, correction=0, keepdim=True)
    return (audio - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


def read_network(folder: Path) -> nn.Module:
    """Return the network in `folder` (``config.json``, ``model.safetensors``).

    Raises
    ------
    WeightsError
        Where the folder holds no whole wav2vec 2.0.
    UsageError
        Where transformers is not installed.
    """
    try:
        from transformers import Wav2Vec2Model
        from transformers.utils import logging as chatter
    except ImportError as error:
        raise UsageError(
            "wav2vec 2.0 needs the package transformers: pip install 'thrum[ssl]'"
        ) from error
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise WeightsError(
                f"no {name} in {folder}: wanted a folder of transformers' Wav2Vec2Model, with "
                f"config.json and model.safetensors"
            )
    chatter.disable_progress_bar()
    try:
        network, report = Wav2Vec2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{folder} holds no wav2vec 2.0 that can be read: {error}") from error
    missing = sorted(set(report["missing_keys"]) - NEVER_USED)
    if missing:
        raise WeightsError(
            f"{folder}/model.safetensors lacks {len(missing)} tensors of the network, the first "
            f"{missing[0]}: are these weights of another model?"
        )
    return cast("nn.Module", network)


def write_network(network: nn.Module, folder: Path) -> None:
    """Write a network to `folder` so that `read_network` reads it."""
    from safetensors.torch import save

    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    storage.write_bytes(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
    storage.write_text(folder / "config.json", cast("Any", network.config).to_json_string())
