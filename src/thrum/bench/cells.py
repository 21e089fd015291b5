"""One cell of a table: one run on one set of data with one seed, in a folder of its own.

The folder is called by everything that the scores depend on. It holds ``cell.json`` (written last: it is the
sign that the cell is complete), ``config.toml``, ``scores/*.csv`` and ``results.csv``; while the cell is
being trained, ``work`` holds the checkpoints from which a killed one goes on.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatch
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thrum import config as configs
from thrum import storage
from thrum.bench.needs import counts_epochs
from thrum.bench.sources import Source
from thrum.bench.tables import COLLABORATION, FEW_CLIPS, Run
from thrum.errors import ConfigError, StorageError
from thrum.types import Clip, Dataset, Progress

SCHEMA = 1
Fill = Callable[["Cell", Dataset, Path, Progress | None], dict[str, Any]]
"""Writes the scores of a cell into its folder; returns machine IDs, the selected score, ID accuracies."""
PACKAGES = ("thrum", "torch", "numpy", "scikit-learn")


@dataclass(frozen=True, eq=False)
class Cell:
    """One run on one source with one seed.

    Parameters
    ----------
    run_name, run
        What is trained.
    source_name, source
        On what.
    seed
        Decides everything random.
    data, out
        The folders of ``--data`` and ``--out``.
    epochs
        The limit of ``--epochs``.
    device
        ``auto``, ``cpu`` or ``cuda``.
    """

    run_name: str
    run: Run
    source_name: str
    source: Source
    seed: int
    data: Path | None
    out: Path
    epochs: int | None = None
    device: str = "auto"

    @property
    def title(self) -> str:
        """How the cell is called in messages."""
        return f"{self.run_name} on {self.source_name}, seed {self.seed}"

    def open(self) -> Dataset:
        """Return the cell's clips: the training clips are those that the run is given."""
        dataset = self.source.open(self.data, self.out)
        if not self.run.trained:
            return dataset
        return replace(dataset, clips=tuple(clip for clip in dataset if self._takes(clip)))

    def _takes(self, clip: Clip) -> bool:
        name = "/".join(clip.machine_key)
        return clip.split != "train" or any(fnmatch(name, one) for one in self.run.trained)

    @property
    def per_machine_type(self) -> bool:
        """Whether a collaboration has one classifier a machine type."""
        if self.run.per_machine_type is not None:
            return self.run.per_machine_type
        from thrum.systems.embedding_sharing import PER_MACHINE_TYPE

        return self.run.system == COLLABORATION and PER_MACHINE_TYPE[self.run.preset]

    def config(self) -> Any:
        """Return the settings of the run, resolved."""
        base: Any
        if self.run.system == COLLABORATION:
            from thrum.systems.embedding_sharing import preset_config

            base = preset_config(self.run.preset)
        elif self.run.system == FEW_CLIPS:
            from thrum.bench.few_clips.config import Config
            from thrum.systems.embedding_sharing import preset_config

            base = Config(sharing=preset_config(self.run.preset))
        else:
            if self.run.per_machine_type or self.run.preset != "paper":
                raise ConfigError(
                    f"run {self.run_name!r}: presets and per_machine_type are a collaboration's"
                )
            from thrum.systems.base import SYSTEMS

            base = SYSTEMS.load(self.run.system).Config()
        values = _merged(configs.to_mapping(base), self.run.settings)
        config = configs.from_mapping(type(base), values, where=f"run {self.run_name!r}")
        return config if self.epochs is None else abridged(config, self.epochs)

    def folder(self, dataset: Dataset) -> Path:
        """Return where the cell is kept, named by all that its scores depend on but the seed."""
        what = {
            "schema": SCHEMA,
            "system": self.run.system,
            "config": configs.to_mapping(self.config()),
            "per_machine_type": self.per_machine_type,
            "clips": fingerprint(dataset),
            **({"weights": weights} if (weights := self._weights(dataset)) else {}),
        }
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{self.run.system}-{self.source_name}-{digest}-seed{self.seed}"
        return self.out / "cells" / name.replace(":", "_")

    def _weights(self, dataset: Dataset) -> str | None:
        """Return a checksum of the pretrained weights that the run reads."""
        config = self.config()
        if (folder := getattr(config, "wav2vec2", None)) is not None:
            network = folder / "model.safetensors"
            return storage.sha256(network) if network.exists() else None
        name = getattr(config, "embedder", None)
        return None if name is None or dataset.holds == "features" else _embedder_weights(name)


@lru_cache(maxsize=16)
def _embedder_weights(name: str) -> str | None:
    from thrum.embedders import create_embedder

    return create_embedder(name).settings.get("weights")


def abridged(config: Any, epochs: int) -> Any:
    """Return `config` with at most `epochs` epochs: the settings ``epochs`` and ``…_epochs``."""
    changes: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if counts_epochs(field.name):
            changes[field.name] = min(value, epochs)
        elif is_dataclass(value):
            changes[field.name] = abridged(value, epochs)
    return replace(config, **changes)


def fingerprint(dataset: Dataset) -> str:
    """Return a checksum of what the clips are: names, sizes of the files, labels, attributes."""
    sizes: dict[Path, int] = {}
    digest = hashlib.sha256()
    for clip in dataset:
        if clip.path not in sizes:
            sizes[clip.path] = clip.path.stat().st_size
        told = (
            clip.path.relative_to(dataset.root).as_posix(),
            sizes[clip.path],
            *clip.machine_key,
            clip.split,
            clip.domain,
            clip.label,
            sorted(clip.attributes.items()),
            clip.channel,
            clip.row,
        )
        digest.update(repr(told).encode())
        if clip.stretch is not None:
            digest.update(repr(clip.stretch).encode())
    return digest.hexdigest()


def is_complete(folder: Path) -> bool:
    """Whether the cell in `folder` need not be trained."""
    return (folder / "cell.json").exists()


def read(folder: Path) -> dict[str, Any]:
    """Return ``cell.json``: machines, selected method, ID accuracies, seconds, versions."""
    found = storage.read_json(folder / "cell.json")
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise StorageError(f"{folder / 'cell.json'} is not of schema {SCHEMA}: remove the folder")
    return found


def train(cell: Cell, *, progress: Progress | None = None) -> Path:
    """Train and score one cell, unless it is complete; return its folder."""
    from thrum.training import counting_steps

    dataset = cell.open()
    folder = cell.folder(dataset)
    if is_complete(folder):
        return folder
    started, worked = time.monotonic(), time.process_time()
    resumed = (folder / "work").exists()
    with counting_steps() as steps:
        outcome = _filling(cell.run.system)(cell, dataset, folder, progress)
    storage.write_text(folder / "config.toml", configs.to_toml(cell.config()))
    storage.write_json(
        folder / "cell.json",
        {
            "schema": SCHEMA,
            "system": cell.run.system,
            "run": cell.run_name,
            "source": cell.source_name,
            "data": dataset.name,
            "seed": cell.seed,
            **outcome,
            "train_clips": len(dataset.where(split="train")),
            "test_clips": len(dataset.where(split="test")),
            "steps": steps.taken,
            "seconds": round(time.monotonic() - started, 1),
            "processor_seconds": round(time.process_time() - worked, 1),
            "resumed": resumed,
            "versions": {name: version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
        },
    )
    shutil.rmtree(folder / "work", ignore_errors=True)
    return folder


def _filling(system: str) -> Fill:
    if system == FEW_CLIPS:
        from thrum.bench.few_clips.filling import fill

        return fill
    return _collaborate if system == COLLABORATION else _fit


def _fit(cell: Cell, dataset: Dataset, folder: Path, progress: Progress | None) -> dict[str, Any]:
    from thrum.evaluation.table import results_of, write_results, write_scores
    from thrum.systems.base import create_system

    system = create_system(
        cell.run.system,
        cell.config(),
        seed=cell.seed,
        device=cell.device,
        folder=folder / "work",
        progress=progress,
    )
    system.fit(dataset.where(split="train"))
    scores = system.score(system.learnt_among(dataset.where(split="test")))
    system.save(folder / "model")
    write_scores(folder / "scores", scores)
    write_results(folder / "results.csv", results_of(scores, seed=cell.seed))
    keys = sorted({clip.machine_key for clip in scores.clips})
    return {"machines": keys, "selected": scores.selected, "id_accuracy": []}


def _collaborate(
    cell: Cell, dataset: Dataset, folder: Path, progress: Progress | None
) -> dict[str, Any]:
    from thrum.bench.once import embedded
    from thrum.embedders import create_embedder
    from thrum.evaluation.table import write_results, write_scores
    from thrum.federation.inprocess import simulate

    config = cell.config()
    embedder = create_embedder("precomputed" if dataset.holds == "features" else config.embedder)
    simulation = simulate(
        dataset,
        embedder=embedder,
        embeddings=embedded(
            dataset, embedder, cell.out / "embeddings", device=cell.device, progress=progress
        ),
        config=config,
        folder=folder / "work",
        seed=cell.seed,
        device=cell.device,
        per_machine_type=cell.per_machine_type,
        sharing="embeddings",  # the server pools statistics of these, too
        whitening_from=0,  # methods are compared, not what a round of few sites keeps back (docs/privacy.md)
        progress=progress,
    )
    tested = [own for own in simulation.scores if len(own.clips) > 0]
    for own in tested:
        write_scores(folder / "scores", own.test)
    write_results(folder / "results.csv", simulation.results)
    return {
        "machines": sorted(own.key for own in tested),
        "selected": "fused",
        "id_accuracy": [
            [*own.key, own.id_accuracy] for own in simulation.scores if own.id_accuracy is not None
        ],
    }


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with changes; a group that is changed keeps its other settings."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        both = isinstance(change, Mapping) and isinstance(before, Mapping)
        merged[key] = _merged(before, change) if both else change  # type: ignore[arg-type]
    return merged
