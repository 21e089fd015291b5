"""wav2vec 2.0 fine-tuned on normal machine sound, before its features are used (section II-A)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from thrum import storage
from thrum.errors import DataError
from thrum.systems.self_supervised.config import FineTuning
from thrum.systems.self_supervised.inputs import Inputs, is_stored
from thrum.systems.self_supervised.wav2vec2 import Wav2Vec2Features, normalised, write_network
from thrum.training import device_of, train, uncompiled
from thrum.types import Clip, Progress, group_by_machine


class _Classifier(nn.Module):
    """The network, its output averaged over time, a linear layer to the sections."""

    def __init__(self, network: nn.Module, sections: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(int(cast("Any", network.config).hidden_size), sections)

    def forward(self, audio: Tensor) -> Tensor:
        """Return the logits (B, K) of audio (B, S)."""
        frames = self.network(normalised(audio)).last_hidden_state  # (B, T, D)
        logits: Tensor = self.head(frames.mean(dim=1))
        return logits


def fine_tune(
    clips: Iterable[Clip],
    folder: Path,
    *,
    weights: Path | None = None,
    config: FineTuning | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[float]:
    """Train wav2vec 2.0 to tell the sections of normal clips apart; write it to `folder`.

    Classification is what the features are for and needs no more than the network itself, where going on
    with the contrastive pre-training would need its quantiser, which published base models often lack.
    As Baevski et al. do it, the convolutions on the waveform stay as they are.

    Parameters
    ----------
    clips
        Recordings of normal machines, two machine IDs at least.
    folder
        Where the network goes, in transformers' format. A killed run goes on where it was.
    weights
        The network to begin with, see `Wav2Vec2Features.load`.
    seed
        Decides everything random.

    Returns
    -------
    list of float
        The loss of each epoch.
    """
    config = config or FineTuning()
    groups = group_by_machine(clips)
    ordered = [clip for own in groups.values() for clip in own]
    if len(groups) < 2 or is_stored(ordered):
        raise DataError(
            f"fine-tuning tells the sound of machine IDs apart: wanted recordings of two at least, got "
            f"{'features' if is_stored(ordered) else 'recordings'} of {len(groups)}"
        )
    labels = np.repeat(np.arange(len(groups)), [len(own) for own in groups.values()])
    start = Wav2Vec2Features.load(weights)
    model, inputs = _prepared(start, ordered, len(groups), seed=seed, device=device)
    length = inputs.native_length(config.crop_seconds)

    def batches(epoch: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = random.permutation(len(ordered))
        for rows in np.array_split(order, math.ceil(len(order) / config.batch_size)):
            starts = random.integers(0, np.maximum(0, inputs.lengths[rows] - length) + 1)
            sound = inputs.batch(rows.tolist(), starts.tolist(), length)["tgram"]
            yield sound, torch.from_numpy(labels[rows]).to(inputs.device)

    def loss_of(batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = train(
        model,
        batches=batches,
        loss_of=loss_of,
        optimizer=uncompiled(torch.optim.Adam)(learnt, lr=config.learning_rate),
        epochs=config.epochs,
        seed=seed,
        checkpoint=folder / "work" / "fine_tuning.safetensors",
        fingerprint=f"{inputs.fingerprint} {start.sha256} {config} {seed}",
        progress=progress,
        stage="fine-tuning wav2vec 2.0",
    )
    write_network(model.network, folder)
    keys = ["/".join(key) for key in groups]
    told = {**asdict(config), "seed": seed, "began_with": start.sha256, "machines": keys}
    storage.write_json(folder / "fine_tuning.json", {**told, "losses": losses})
    return losses


def _prepared(
    start: Wav2Vec2Features, clips: list[Clip], sections: int, *, seed: int, device: str
) -> tuple[_Classifier, Inputs]:
    """Return the classifier with what is to be learnt unfrozen, and the clips' waveforms."""
    torch.manual_seed(seed)
    model = _Classifier(start.network.requires_grad_(requires_grad=True), sections)
    model.network.get_submodule("feature_extractor").requires_grad_(requires_grad=False)
    # Masking draws from NumPy's global generator, which no seed of ours reaches.
    cast("Any", model.network.config).apply_spec_augment = False
    on = device_of(device)
    # No folder is needed: waveforms come from the recordings themselves.
    return model.to(on), Inputs(clips, features=["tgram"], folder=Path(), device=on)
