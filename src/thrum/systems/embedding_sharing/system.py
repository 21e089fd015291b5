"""Embedding sharing in one place: the centralised form of the collaboration, as a System."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

import numpy as np
import torch

from thrum import storage
from thrum.embedders.base import Embedder, create_embedder
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.errors import NotFittedError
from thrum.privacy.mechanisms import release
from thrum.systems.base import System
from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.fitting import train_classifier
from thrum.systems.embedding_sharing.pool import FramePool, Frames, MachineKey
from thrum.systems.embedding_sharing.scoring import (
    SharedScorer,
    fused,
    local_scores,
    local_whitened_scores,
)
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine, rows_by_machine

METHODS = ("local", "local_whitened", "collaborative", "fused")


class EmbeddingSharing(System):
    """What the sites and the server do together, with all clips in one place.

    The scores offered are ``local`` (k-NN on a machine's own mean embedding), ``local_whitened`` (the same
    after whitening by its own clips), ``collaborative`` (the ID classifier's) and ``fused`` (all of
    these), which is selected.
    """

    name = "embedding-sharing"
    Config: ClassVar[type[Config]] = Config

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Embed the training clips, train the ID classifier, and keep each machine's embeddings."""
        groups = group_by_machine(clips)
        embedder = self._embedder([clip for own in groups.values() for clip in own])
        self.frames_: dict[MachineKey, Sequence[Frames]] = {
            key: self._frames(own) for key, own in groups.items()
        }
        self.classifier_ = train_classifier(
            FramePool(self.frames_),
            self.config,
            stack_frames=embedder.stack_frames,
            stack_hop=embedder.stack_hop,
            seed=self.seed,
            device=self.device,
            checkpoint=self.folder and self.folder / "training.safetensors",
            progress=self.progress,
        )
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        columns = {method: np.zeros(len(clips)) for method in METHODS}
        classifier = self.classifier_.to(device_of(self.device))
        for key, rows in rows_by_machine(clips).items():
            train, test = self.frames_[key], self._frames([clips[row] for row in rows])
            shared = SharedScorer(classifier, key).fit(train).score(test)
            local, whitened = local_scores(train, test), local_whitened_scores(train, test)
            columns["local"][rows] = local.test
            columns["local_whitened"][rows] = whitened.test
            columns["collaborative"][rows] = shared.collaborative.test
            columns["fused"][rows] = fused(shared, local, whitened).test
        return Scores(clips, columns, "fused")

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        return sorted(self._trained_frames())

    def save(self, folder: Path) -> None:
        """Write the classifier, and the machines' embeddings to compare with."""
        frames = self._trained_frames()
        tensors, lengths = {}, {}
        for number, key in enumerate(self.machine_keys):
            tensors[str(number)] = torch.from_numpy(np.concatenate(list(frames[key])))
            lengths[str(number)] = [len(clip) for clip in frames[key]]
        keys = [list(key) for key in self.machine_keys]
        storage.save_state(folder, tensors, {"keys": keys, "lengths": lengths}, name="embeddings")
        self.classifier_.save(folder, system=self.name, seed=self.seed)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote."""
        tensors, description = storage.load_state(folder, name="embeddings")
        classifier = IDClassifier.load(folder)
        system = cls(classifier.config, device=device)
        system.classifier_ = classifier
        system.frames_ = {
            (machine, machine_id): np.split(
                tensors[str(number)].numpy(), np.cumsum(description["lengths"][str(number)])[:-1]
            )
            for number, (machine, machine_id) in enumerate(description["keys"])
        }
        return system

    def _trained_frames(self) -> dict[MachineKey, Sequence[Frames]]:
        if not hasattr(self, "classifier_"):
            raise NotFittedError("EmbeddingSharing was asked for scores before fit")
        return self.frames_

    def _embedder(self, clips: Sequence[Clip]) -> Embedder:
        stored = bool(clips) and clips[0].row is not None
        embedder = create_embedder("precomputed" if stored else self.config.embedder)
        return embedder.to(device_of(self.device))

    def _frames(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the released embeddings (T, D) of clips, from the run's folder where they are there."""
        embedder = self._embedder(clips)
        with TemporaryDirectory(prefix="thrum-") as temporary:
            store = EmbeddingStore((self.folder or Path(temporary)) / "embeddings")
            embed_into(store, clips, embedder, progress=self.progress)
            return [np.array(release(store.frames(clip))) for clip in clips]
