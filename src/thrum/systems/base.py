"""The contract of all systems: from clips of normal machines to scores of other clips."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from thrum import config as configs
from thrum import storage
from thrum.errors import DataError, StorageError, UnknownNameError, UsageError
from thrum.registry import Registry
from thrum.types import Clip, Progress, Scores, rows_by_machine

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from thrum.evaluation.report import EmbeddingMaps


_logger = logging.getLogger(__name__)
C = TypeVar("C")


class System(ABC):
    """A complete method: it learns from normal clips and scores others.

    For every system: the seed decides everything random, a killed `fit` goes on where it was when it is
    called again with the same `folder`, and a saved and loaded system gives bit-equal scores.

    Parameters
    ----------
    config
        An instance of the class's `Config`.
    seed
        Decides everything random.
    device
        ``auto``, ``cpu`` or ``cuda``.
    folder
        Where checkpoints and caches are kept while fitting; None keeps nothing.
    progress
        Told how far the work has come.
    """

    held_out_: dict[tuple[str, str], NDArray[np.float64]]

    name: ClassVar[str]
    """As it is registered, and as a saved one says."""
    Config: ClassVar[type[Any]]

    def __init__(
        self,
        config: Any = None,
        *,
        seed: int = 0,
        device: str = "auto",
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.config = config if config is not None else self.Config()
        self.seed = seed
        self.device = device
        self.folder = folder
        self.progress = progress

    @abstractmethod
    def fit(self, clips: Iterable[Clip]) -> Self:
        """Learn from normal clips; every machine ID that is to be scored must be among them."""

    @abstractmethod
    def score(self, clips: Iterable[Clip]) -> Scores:
        """Score clips of the machine IDs that were learnt; higher is more anomalous."""

    @property
    def wants_held_out(self) -> bool:
        """Whether left-out scores need normal clips that `fit` was not given.

        A network scores what it was trained on as less strange than other normal sound: that is measured on
        clips held back from it. Where only a detector has learnt a clip, it can be left out afterwards.
        """
        return True

    @property
    def refits(self) -> bool:
        """Whether `adapted` changes what clips are compared with, and not only what they are ranked among."""
        return False

    def calibrate(self, clips: Iterable[Clip]) -> Self:
        """Keep the scores of normal clips that `fit` was not given, as left-out scores."""
        clips = list(clips)
        scores = self.score(clips)
        values = scores.columns[scores.selected]
        self.held_out_ = {key: values[rows] for key, rows in rows_by_machine(clips).items()}
        return self

    def left_out_scores(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Return, by machine ID, the selected scores (N,) of normal clips as if none had been learnt.

        They are in the order of the clips that `fit` was given, or `calibrate` where the system wants such
        clips; then of those that `adapted` added. Without such clips there are none.
        """
        none = np.zeros(0)
        return {key: self._held_out().get(key, none) for key in self.machine_keys}

    def adapted(
        self, key: tuple[str, str], *, dropped: Sequence[int] = (), added: Sequence[Clip] = ()
    ) -> Self:
        """Return a system that knows other normal clips of a machine ID; its network stays as it is.

        Where the system compares with normal clips, those added are compared with from now on. Where it does
        not, as a network that puts sound together again, only the left-out scores change.

        Parameters
        ----------
        dropped
            Places in `left_out_scores` of the clips to forget.
        added
            Normal clips that are new to it.
        """
        self._require_learnt([*added])
        own = np.delete(self.left_out_scores()[key], list(dropped))
        if added:
            scores = self.score(added)
            own = np.concatenate([own, scores.columns[scores.selected]])
        other = copy.copy(self)
        other.held_out_ = {**self._held_out(), key: own}
        return other

    def taking_over(
        self,
        earlier: System | None,
        key: tuple[str, str],
        *,
        places: Sequence[int],
        dropped: Sequence[int] = (),
    ) -> Self:
        """Return a system that also knows normal clips of a machine ID that an earlier one of its kind knew.

        Parameters
        ----------
        earlier
            As it was before this one learnt; None where there are none to take over.
        places
            Places in the earlier one's `left_out_scores` of the clips to take over.
        dropped
            Places in `left_out_scores` of the clips to forget.

        Raises
        ------
        DataError
            Where the earlier one heard in another way.
        """
        if places:
            raise DataError(f"{self.name} cannot take over clips without their recordings")
        return self.adapted(key, dropped=dropped)

    def with_left_out(self, key: tuple[str, str], scores: NDArray[np.float64]) -> Self:
        """Return a system with these left-out scores of a machine ID, where it wants held-out clips."""
        other = copy.copy(self)
        other.held_out_ = {**self._held_out(), key: scores}
        return other

    def embedding_maps(self, clips: Iterable[Clip]) -> EmbeddingMaps | None:
        """Return embeddings of clips for the maps in the run's report; None where there are none."""
        return None

    @property
    def thresholds(self) -> Mapping[tuple[str, str], float]:
        """For some machine IDs, the selected score from which a clip raises an alarm."""
        return {}

    @property
    @abstractmethod
    def machine_keys(self) -> list[tuple[str, str]]:
        """The machine IDs that were learnt, sorted."""

    def learnt_among(self, clips: Iterable[Clip]) -> list[Clip]:
        """Return the clips of machine IDs that were learnt; a warning in the log names the others."""
        clips, known = list(clips), set(self.machine_keys)
        if others := sorted({clip.machine_key for clip in clips} - known):
            names = ", ".join(map("/".join, others))
            _logger.warning("not scored, since they were not learnt: %s", names)
        return [clip for clip in clips if clip.machine_key in known]

    def _held_out(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        return getattr(self, "held_out_", {})

    def _require_learnt(self, clips: Iterable[Clip]) -> None:
        """Raise a `DataError` where a clip is of a machine ID that was not learnt."""
        known = self.machine_keys
        for clip in clips:
            if clip.machine_key not in known:
                names = ", ".join("/".join(key) for key in known)
                raise DataError(f"{'/'.join(clip.machine_key)} was not learnt; there are: {names}")

    def save(self, folder: Path) -> None:
        """Write everything that scoring needs to `folder`, safetensors and JSON."""
        tensors, described = self._state()
        told = {
            "system": self.name,
            "seed": self.seed,
            "config": configs.to_mapping(self.config),
        }
        if self._held_out():
            told["held_out"] = [[*key, values.tolist()] for key, values in self._held_out().items()]
        storage.save_state(folder, tensors, {**told, **described})

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote; a `StorageError` where it is damaged or of another system."""
        tensors, described = storage.load_state(folder)
        try:
            config = saved_config(cls.Config, described["config"], where=str(folder))
            system = cls(config, seed=described["seed"], device=device)
            system._restore(tensors, described)
            system.held_out_ = {
                (machine, machine_id): np.array(values, np.float64)
                for machine, machine_id, values in described.get("held_out", [])
            }
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError, UsageError) as error:
            raise StorageError(f"{folder} does not hold the system {cls.name}: {error}") from error
        return system

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what was learnt, for `save`: tensors, and what JSON can say."""
        raise NotImplementedError

    def _restore(self, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
        """Take back what `_state` returned, for `load`; what does not fit may raise any error."""
        raise NotImplementedError


SYSTEMS: Registry[System] = Registry(
    "system",
    {
        "autoencoder": "thrum.systems.baselines.autoencoder:AutoencoderBaseline",
        "embedding-sharing": "thrum.systems.embedding_sharing:EmbeddingSharing",
        "glow": "thrum.systems.baselines.glow:GlowBaseline",
        "idnn": "thrum.systems.baselines.idnn:IDNNBaseline",
        "knn": "thrum.systems.baselines.knn:NearestNeighbours",
        "mobilenetv2": "thrum.systems.baselines.mobilenetv2:SectionClassifierBaseline",
        "multitask-conformer": "thrum.systems.multitask_conformer:MultitaskConformer",
        "outlier-flow": "thrum.systems.outlier_flow:OutlierFlow",
        "self-supervised": "thrum.systems.self_supervised:SelfSupervised",
        "vae": "thrum.systems.baselines.vae:VAEBaseline",
        "vidnn": "thrum.systems.baselines.idnn:VIDNNBaseline",
    },
)


def create_system(name: str, config: Any = None, **settings: Any) -> System:
    """Return the system called `name` (or ``module:Class``); `settings` as of `System`."""
    return SYSTEMS.load(name)(config, **settings)


def load_system(folder: Path | str, *, device: str = "auto") -> System:
    """Load the system that was saved to `folder`, whichever of the registered ones it is.

    Raises
    ------
    StorageError
        Where it is damaged, or of a class of somebody's own: that has to be asked itself (``Own.load``).
    """
    folder = Path(folder)
    if not folder.is_file() and not (folder / "model.json").exists():
        raise StorageError(
            f"{folder / 'model.json'} is missing: give the folder that `thrum train` or `thrum collaborate` "
            f"wrote; if that was stopped on the way, let it end (`thrum train --resume`)"
        )
    description = storage.read_json(folder / "model.json")
    try:
        name = description["system"]
        SYSTEMS.require(name)
    except (KeyError, TypeError) as error:
        raise StorageError(f"{folder / 'model.json'} does not say which system it is of") from error
    except UnknownNameError as error:
        raise StorageError(f"{folder / 'model.json'}: {error}") from error
    return SYSTEMS.load(name).load(folder, device=device)


def saved_config(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Build settings from a file or a message: what they name to be imported must be registered.

    Raises
    ------
    UsageError
        Where an embedder or a detector is not, or a setting is unknown or of the wrong kind.
    """
    from thrum.detectors.base import DETECTORS
    from thrum.embedders.base import EMBEDDERS

    for name, registry in (("embedder", EMBEDDERS), ("detector", DETECTORS)):
        if name in values:
            registry.require(values[name])
    return configs.from_mapping(kind, values, where=where)
