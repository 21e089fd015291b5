"""Self-supervised classification in one place, as a System."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import DataError, NotFittedError
from thrum.evaluation.report import EmbeddingMaps
from thrum.systems.base import System
from thrum.systems.confirmed import Confirmed
from thrum.systems.self_supervised.classifier import Classifier, groups_of
from thrum.systems.self_supervised.config import Config
from thrum.systems.self_supervised.fine_tuning import fine_tune
from thrum.systems.self_supervised.inputs import Inputs, is_stored
from thrum.systems.self_supervised.scoring import distance_scores, posterior_scores
from thrum.systems.self_supervised.wav2vec2 import Wav2Vec2Features
from thrum.training import device_of
from thrum.types import Clip, Scores, group_by_machine, rows_by_machine

MachineKey = tuple[str, str]

_log = logging.getLogger(__name__)


class SelfSupervised(System):
    """A classifier of sections, whose posterior or embedding tells what is unlike its own.

    It is of all machines' sections, or there is one for those of each machine type. The scores offered are
    ``posterior`` (eq. 6) and ``distance`` (eq. 7); `Config.score` selects.
    """

    name = "self-supervised"
    Config: ClassVar[type[Config]] = Config

    confirmed_: dict[MachineKey, Confirmed]

    def fit(self, clips: Iterable[Clip]) -> Self:
        """Train the classifier, and keep each section's embeddings to measure distances to."""
        groups = group_by_machine(clips)
        parts = groups_of(list(groups), per_machine_type=self.config.per_machine_type)
        for name, keys in parts.items() or {"": ()}.items():
            if len(keys) < 2:
                known = ", ".join("/".join(key) for key in keys) or "none"
                instead = ", or set per_machine_type=false" if name else ""
                raise DataError(
                    f"self-supervised classification tells machine IDs apart, so it wants two of them "
                    f"at least, got {known}: train with other machines' normal clips beside{instead}"
                )
        ordered = [clip for own in groups.values() for clip in own]
        noises = sorted({clip.attributes["snr"] for clip in ordered if "snr" in clip.attributes})
        if len(noises) > 1:  # of MIMII: each machine once a folder
            _log.warning(
                "these clips are of several signal-to-noise ratios, %s: give one folder at a time, or the "
                "classifier learns the noise, which tells these machines apart",
                ", ".join(noises),
            )
        features = self._possible_features(ordered)
        self.wav2vec2_ = self._pretrained(ordered) if "wav2vec2" in features else None
        self.classifiers_: list[Classifier] = []
        self.embeddings_: dict[MachineKey, NDArray[np.float32]] = {}
        for name, keys in parts.items():
            own = [clip for key in keys for clip in groups[key]]
            with self._inputs(own, features) as inputs:
                classifier = Classifier.fit(
                    inputs,
                    self.config,
                    wav2vec2=self.wav2vec2_.embedding_size if self.wav2vec2_ else 0,
                    seed=self.seed,
                    name=name,
                    folder=self.folder,
                    progress=self.progress,
                )
                embeddings, _ = classifier.embedded(inputs)
            self.classifiers_.append(classifier)
            for key, rows in rows_by_machine(own).items():
                self.embeddings_[key] = embeddings[rows]
        return self

    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the sections that were learnt."""
        clips = list(clips)
        self._require_learnt(clips)
        columns = {method: np.zeros(len(clips)) for method in ("posterior", "distance")}
        for key, rows in rows_by_machine(clips).items():
            embeddings, logits = self._embedded(key, [clips[row] for row in rows])
            section = self._classifier(key).keys.index(key)
            columns["posterior"][rows] = posterior_scores(logits, section)
            columns["distance"][rows] = distance_scores(
                self.embeddings_[key], embeddings, neighbours=self.config.neighbours
            )
        return Scores(clips, columns, self.config.score)

    def calibrate(self, clips: Iterable[Clip]) -> Self:
        """Keep the scores of clips that `fit` was not given, and their embeddings."""
        clips = list(clips)
        super().calibrate(clips)
        if self.refits and clips:
            self.confirmed_ = {
                key: Confirmed.held_back(self._embedded(key, [clips[row] for row in rows])[0])
                for key, rows in rows_by_machine(clips).items()
            }
        return self

    @property
    def refits(self) -> bool:
        """Whether clips are compared with: not by the posterior."""
        return bool(self.config.score == "distance")

    def adapted(
        self, key: MachineKey, *, dropped: Sequence[int] = (), added: Sequence[Clip] = ()
    ) -> Self:
        """Return the same with other embeddings of a section to compare with; see `System.adapted`."""
        self._require_learnt(added)
        confirmed = self._confirmed().get(key)
        if not self.refits or confirmed is None:
            return super().adapted(key, dropped=dropped, added=added)
        new = [self._embedded(key, added)[0]] if added else []
        reference, confirmed = confirmed.changed(self.embeddings_[key], dropped=dropped, added=new)
        own = confirmed

        def score(vectors: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return distance_scores(vectors, own.parts[0][rows], neighbours=self.config.neighbours)

        other = self.with_left_out(key, confirmed.left_out(reference, score))
        other.embeddings_ = {**self.embeddings_, key: reference}
        other.confirmed_ = {**self._confirmed(), key: confirmed}
        return other

    def embedding_maps(self, clips: Iterable[Clip]) -> EmbeddingMaps:
        """Return clips as their mean log-mel spectrum and as the classifier sees them (figure 2)."""
        clips = list(clips)
        self._require_learnt(clips)
        features = self.classifiers_[0].sizes.features
        with self._inputs(clips, features) as inputs:
            levels = inputs.mean_levels()
        size = self.classifiers_[0].network.tdnn.embedding_size
        embeddings = np.zeros((len(clips), size), np.float32)
        for key, rows in rows_by_machine(clips).items():
            embeddings[rows] = self._embedded(key, [clips[row] for row in rows])[0]
        told = f"embedding of {' + '.join(features)}"
        return EmbeddingMaps(clips, {"mean log-mel spectrum": levels, told: embeddings})

    @property
    def machine_keys(self) -> list[MachineKey]:
        """The sections that were learnt, sorted."""
        if not hasattr(self, "embeddings_"):
            raise NotFittedError("SelfSupervised was asked for scores before fit")
        return sorted(self.embeddings_)

    def save(self, folder: Path) -> None:
        """Write the network, the sections' embeddings and, where it is used, wav2vec 2.0."""
        if self.wav2vec2_ is not None:
            self.wav2vec2_.save(folder / "wav2vec2")
        super().save(folder)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote."""
        system = super().load(folder, device=device)
        if system.classifiers_[0].sizes.wav2vec2:
            system.wav2vec2_ = Wav2Vec2Features.load(folder / "wav2vec2")
        return system

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        keys = self.machine_keys
        tensors = {
            f"{number}.network.{name}": value
            for number, classifier in enumerate(self.classifiers_)
            for name, value in classifier.network.state_dict().items()
        }
        for number, key in enumerate(keys):
            tensors[f"embeddings.{number}"] = torch.from_numpy(self.embeddings_[key])
            if key in self._confirmed():
                own = self._confirmed()[key].tensors()
                tensors |= {f"confirmed.{number}.{name}": value for name, value in own.items()}
        classifiers = [classifier.described() for classifier in self.classifiers_]
        return tensors, {"keys": [list(key) for key in keys], "classifiers": classifiers}

    def _restore(self, tensors: Mapping[str, torch.Tensor], described: Mapping[str, Any]) -> None:
        device = device_of(self.device)
        # Versions before `per_machine_type` kept one classifier, under these names.
        several = described.get("classifiers")
        self.classifiers_ = [
            Classifier.restored(
                storage.under(tensors, f"{number}.network" if several else "network"),
                own,
                self.config,
                device=device,
            )
            for number, own in enumerate(several or [described])
        ]
        self.embeddings_ = {
            (machine, machine_id): tensors[f"embeddings.{number}"].numpy()
            for number, (machine, machine_id) in enumerate(described["keys"])
        }
        confirmed = {
            (machine, machine_id): storage.under(tensors, f"confirmed.{number}")
            for number, (machine, machine_id) in enumerate(described["keys"])
        }
        self.confirmed_ = {k: Confirmed.from_tensors(own) for k, own in confirmed.items() if own}
        self.wav2vec2_ = None

    def _confirmed(self) -> dict[MachineKey, Confirmed]:
        return getattr(self, "confirmed_", {})

    def _classifier(self, key: MachineKey) -> Classifier:
        return next(own for own in self.classifiers_ if key in own.keys)

    def _embedded(
        self, key: MachineKey, clips: Sequence[Clip]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the embeddings (N, E) of clips of a section, and their logits (N, K)."""
        classifier = self._classifier(key)
        with self._inputs(clips, classifier.sizes.features) as inputs:
            return classifier.embedded(inputs)

    def _pretrained(self, clips: Sequence[Clip]) -> Wav2Vec2Features:
        """Return wav2vec 2.0 as it is stored, or fine-tuned on the training clips."""
        if not self.config.fine_tuned:
            return Wav2Vec2Features.load(self.config.wav2vec2)
        with TemporaryDirectory(prefix="thrum-") as temporary:
            folder = (self.folder or Path(temporary)) / "fine_tuned"
            fine_tune(
                clips,
                folder,
                weights=self.config.wav2vec2,
                config=self.config.fine_tuning,
                seed=self.seed,
                device=self.device,
                progress=self.progress,
            )
            return Wav2Vec2Features.load(folder)

    def _possible_features(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """Return the features wanted, less those that need a waveform where there is none."""
        wanted: tuple[str, ...] = self.config.features
        if not is_stored(clips) or wanted == ("logmel",):
            return wanted
        dropped = ", ".join(feature for feature in wanted if feature != "logmel")
        if "logmel" not in wanted:
            raise DataError(
                f"{clips[0].path} holds features, {dropped} wants recordings: choose features "
                f"('logmel',), or give the recordings"
            )
        _log.warning("%s left out: these clips are features, not recordings", dropped)
        return ("logmel",)

    @contextmanager
    def _inputs(self, clips: Sequence[Clip], features: Sequence[str]) -> Iterator[Inputs]:
        """Yield the inputs of clips, kept in the run's folder where there is one."""
        with TemporaryDirectory(prefix="thrum-") as temporary:
            yield Inputs(
                clips,
                features=features,
                folder=self.folder or Path(temporary),
                wav2vec2=self.wav2vec2_,
                device=device_of(self.device),
                progress=self.progress,
            )
