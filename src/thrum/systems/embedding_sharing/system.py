"""Embedding sharing as a System: all machines in one place, or what one site knows after a round."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.embedders.base import create_embedder
from thrum.errors import DataError, NotFittedError
from thrum.privacy.mechanisms import parse_chain
from thrum.systems.base import System
from thrum.systems.baselines.frames import embedded
from thrum.systems.embedding_sharing.classifier import IDClassifier
from thrum.systems.embedding_sharing.config import Config as Settings
from thrum.systems.embedding_sharing.fitting import train_classifier
from thrum.systems.embedding_sharing.moments import Moments, moments_of, pooled
from thrum.systems.embedding_sharing.network_scores import Network, NetworkScores
from thrum.systems.embedding_sharing.others import pooled_without_each
from thrum.systems.embedding_sharing.pool import FramePool, Frames, MachineKey
from thrum.systems.embedding_sharing.scoring import MachineScorer, selected
from thrum.systems.embedding_sharing.statistics import ScorePair, mean_frames
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine, rows_by_machine


class EmbeddingSharing(System):
    """What sites and server do together.

    `fit` has all clips in one place: every machine is scored with the covariance of the *others*, and with
    the ID classifier of all. A site after a round is the same object with its own machines alone, and with
    what the server sent (`of_site`). The scores offered are those of
    `thrum.systems.embedding_sharing.scoring.METHODS` that there are.
    """

    name = "embedding-sharing"
    Config: ClassVar[type[Settings]] = Settings

    frames_: dict[MachineKey, list[Frames]]
    pools_: dict[MachineKey, Moments]
    classifier_: IDClassifier | None
    release_: tuple[str, bytes] = ("frames", b"")

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Embed the training clips, train the ID classifier, and keep each machine's embeddings."""
        groups = group_by_machine(clips)
        stored = any(clip.row is not None for own in groups.values() for clip in own)
        embedder = create_embedder("precomputed" if stored else self.config.embedder)
        frames = {key: self._frames(own) for key, own in groups.items()}
        classifier = train_classifier(
            FramePool(frames),
            self.config,
            stack_frames=embedder.stack_frames,
            stack_hop=embedder.stack_hop,
            seed=self.seed,
            device=self.device,
            checkpoint=self.folder and self.folder / "training.safetensors",
            progress=self.progress,
        )
        return self._know(frames, pools_of_others(frames), classifier)

    @classmethod
    def of_site(
        cls,
        frames: Mapping[MachineKey, Sequence[Frames]],
        *,
        config: Settings,
        pools: Mapping[MachineKey, Moments] | None = None,
        classifier: IDClassifier | None = None,
        release: tuple[str, bytes] = ("frames", b""),
        device: str = "auto",
    ) -> Self:
        """Return what a site knows: its own training clips (T, D), released, and what came from the server.

        Parameters
        ----------
        frames
            Of its own machines.
        config
            The settings of the round; its embedder is the site's.
        pools
            For each of its machines, the covariance of the others'.
        classifier
            The ID classifier (Algorithm 1).
        release
            The chain of mechanisms that `frames` have passed and every clip to score passes, and the key
            that decides its noise.
        """
        site = cls(config, device=device)
        site.release_ = release
        return site._know(frames, pools or {}, classifier)

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt; `selected` is what every one of them has."""
        clips = list(clips)
        self._require_learnt(clips)
        columns: dict[str, NDArray[np.float64]] = {}
        if not clips:
            columns = {name: np.zeros(0) for name in self._methods()}
        for key, rows in rows_by_machine(clips).items():
            pairs, _ = self._scorer(key).score(self._frames([clips[row] for row in rows]))
            for method, pair in pairs.items():
                columns.setdefault(method, np.full(len(clips), np.nan))[rows] = pair.test
        common = {name: own for name, own in columns.items() if not np.isnan(own).any()}
        return Scores(clips, common, selected(common))

    def pairs(
        self, key: MachineKey, frames: Sequence[Frames], *, received: NetworkScores | None = None
    ) -> tuple[dict[str, ScorePair], NetworkScores | None]:
        """Score released embeddings (T, D) of one machine ID; see `MachineScorer.score`."""
        return self._scorer(key).score(frames, received=received)

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The machine IDs that were learnt, sorted."""
        if not hasattr(self, "frames_"):
            raise NotFittedError("EmbeddingSharing was asked for scores before fit")
        return sorted(self.frames_)

    @property
    def wants_held_out(self) -> bool:
        """No: networks are cross-fitted, or their scores are not the selected ones."""
        return False

    @property
    def refits(self) -> bool:
        """Yes: clips are compared with others."""
        return True

    def left_out_scores(self) -> dict[MachineKey, NDArray[np.float64]]:
        """Return, by machine ID, the selected score (N,) of each training clip as if it had not been there.

        None of a machine ID with one training clip.
        """
        chosen = selected(self._methods())
        found = {}
        for key in self.machine_keys:
            left_out = self._scorer(key).left_out(chosen)
            found[key] = left_out if len(left_out) > 1 else np.zeros(0)
        return found

    def adapted(
        self, key: MachineKey, *, dropped: Sequence[int] = (), added: Sequence[Clip] = ()
    ) -> Self:
        """Return the same with other training clips of a machine ID; see `System.adapted`.

        Blend, detectors and left-out scores are made anew; the classifier and the pool stay. With a
        classifier, clips that no network has seen make it unclear which network had left out which clip:
        the score of the statistics is selected from then on.
        """
        self._require_learnt([*added])
        return self._changed(key, dropped, self._frames(list(added)) if added else [])

    def taking_over(
        self,
        earlier: System | None,
        key: MachineKey,
        *,
        places: Sequence[int],
        dropped: Sequence[int] = (),
    ) -> Self:
        """Return the same with training clips that an earlier round's knew; see `System.taking_over`."""
        if not places:
            return self._changed(key, dropped, [])
        if not isinstance(earlier, EmbeddingSharing):
            raise DataError("what was learnt of the clips is not there any more")
        if earlier.config.embedder != self.config.embedder:
            raise DataError(
                f"they were embedded by {earlier.config.embedder}, now it is {self.config.embedder}"
            )
        if earlier.release_ != self.release_:
            raise DataError("they were released by other mechanisms than the clips of this round")
        return self._changed(key, dropped, [earlier.frames_[key][place] for place in places])

    def _changed(self, key: MachineKey, dropped: Sequence[int], added: Sequence[Frames]) -> Self:
        kept = [own for place, own in enumerate(self.frames_[key]) if place not in set(dropped)]
        if not kept and not added:
            raise DataError(f"{'/'.join(key)} would have no normal clip left: add some first")
        other = copy.copy(self)
        return other._know({**self.frames_, key: [*kept, *added]}, self.pools_, None)

    def _know(
        self,
        frames: Mapping[MachineKey, Sequence[Frames]],
        pools: Mapping[MachineKey, Moments],
        classifier: IDClassifier | None,
    ) -> Self:
        self.frames_ = {
            key: list(own) if classifier is not None else list(mean_frames(own)[:, None, :])
            for key, own in frames.items()
        }  # without a network, nothing but the means is asked for
        self.pools_ = dict(pools)
        self.classifier_ = classifier
        self._scorers: dict[MachineKey, MachineScorer] = {}
        return self

    def _methods(self) -> list[str]:
        """Return the methods that every machine ID has."""
        per_key = [list(self._scorer(key).methods) for key in self.machine_keys]
        return [name for name in per_key[0] if all(name in own for own in per_key)]

    def _scorer(self, key: MachineKey) -> MachineScorer:
        """Return what scores a machine ID, fitted when it is first asked for."""
        if key not in self._scorers:
            classifier, network = self.classifier_, None
            if classifier is not None and key in classifier.keys:
                network = Network(classifier.to(device_of(self.device)), key)
            scorer = MachineScorer(pool=self.pools_.get(key), network=network)
            self._scorers[key] = scorer.fit(self.frames_[key])
        return self._scorers[key]

    def released(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return embeddings (T, D) of clips in the form in which they leave the site, and are scored."""
        return self._frames(clips)

    def _frames(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the released embeddings (T, D) of clips, from the run's folder where they are there."""
        with embedded(
            clips,
            self.config.embedder,
            folder=self.folder,
            device=device_of(self.device),
            progress=self.progress,
        ) as source:
            text, key = self.release_
            chain = parse_chain(text)
            return [np.array(chain.release(source.frames(clip), key=key)) for clip in clips]

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {}
        machines = []
        for number, key in enumerate(self.machine_keys):
            frames, pool = self.frames_[key], self.pools_.get(key)
            tensors[f"frames.{number}"] = torch.from_numpy(np.concatenate(frames))
            if pool is not None:
                tensors[f"pool.{number}"] = torch.from_numpy(pool.axes)
            told = None if pool is None else [pool.count, pool.rest]
            machines.append([list(key), [len(clip) for clip in frames], told])
        text, noise_key = self.release_
        described: dict[str, Any] = {"machines": machines, "classifier": None}
        if text != "frames":
            described["release"] = [text, noise_key.hex()]
        if self.classifier_ is not None:
            state, described["classifier"] = self.classifier_.message()
            tensors |= {f"classifier.{name}": torch.from_numpy(v) for name, v in state.items()}
        return tensors, described

    def _restore(self, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
        frames: dict[MachineKey, list[Frames]] = {}
        pools: dict[MachineKey, Moments] = {}
        for number, ((machine, machine_id), lengths, told) in enumerate(described["machines"]):
            key = (machine, machine_id)
            whole = tensors[f"frames.{number}"].numpy()
            frames[key] = np.split(whole, np.cumsum(lengths)[:-1])
            if told is not None:
                pools[key] = Moments(told[0], tensors[f"pool.{number}"].numpy(), told[1])
        classifier = None
        if described["classifier"] is not None:
            prefix = "classifier."
            state = {
                name.removeprefix(prefix): value.numpy()
                for name, value in tensors.items()
                if name.startswith(prefix)
            }
            classifier = IDClassifier.from_message(state, described["classifier"])
        text, key_text = described.get("release", ("frames", ""))
        self.release_ = (text, bytes.fromhex(key_text))
        self._know(frames, pools, classifier)


def pools_of_others(
    frames: Mapping[MachineKey, Sequence[Frames]],
) -> dict[MachineKey, Moments]:
    """Return, for each machine ID, the pooled covariance of all others that have two clips or more."""
    moments = {key: moments_of(mean_frames(own)) for key, own in frames.items() if len(own) > 1}
    without = pooled_without_each(list(moments.values()), [1.0] * len(moments))
    pools = {key: pool for key, pool in zip(moments, without, strict=True) if pool is not None}
    if moments and len(moments) < len(frames):
        everybody = pooled(list(moments.values()))
        pools |= {key: everybody for key in frames if key not in moments}
    return pools
