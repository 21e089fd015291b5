"""What the tables of docs/privacy.md attack: made once for several embedders, and kept."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.embedders.base import Embedder
from thrum.embedders.modulation import Modulation
from thrum.privacy.audit.asides import asides, spoken_beside
from thrum.privacy.audit.material import TARGET_SHARE, MachineKey, Material, Sample, cells_of
from thrum.privacy.audit.recorded import recorded
from thrum.privacy.audit.simulated import Simulation, simulated
from thrum.privacy.audit.voices import voices


def materials(
    data: str,
    embedders: Sequence[str],
    *,
    shared: Path,
    speech: Path | None,
    cache: Path,
    seed: int,
) -> dict[str, Material]:
    """Return the clips of a data set by each embedder; sound is rendered or read once for all."""
    paths = {name: cache / f"{data}-{seed}-{name}.pickle" for name in embedders}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        made = (
            _toycar(missing, shared, seed)
            if data == "ToyCar"
            else _heard(data, missing, shared, speech, seed)
        )
        for name, one in made.items():
            paths[name].write_bytes(pickle.dumps(replace(one, sounds=None)))
    return {
        name: pickle.loads(path.read_bytes())  # noqa: S301 - written above
        for name, path in paths.items()
    }


class _Several(Embedder):
    """The first of several embedders, that remembers what the others make of the same sound."""

    def __init__(self, names: Sequence[str]) -> None:
        self.models = {name: create_embedder(name) for name in names}
        self.first = self.models[names[0]]
        self.embedding_size = self.first.embedding_size
        self.heard: dict[bytes, dict[str, tuple[Any, Any]]] = {}

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        found = {}
        for name, model in self.models.items():
            frames, times = model.frames(audio)
            found[name] = frames[0].numpy().astype(np.float16), times[0].numpy().astype(float)
        own = found[next(iter(found))]
        self.heard[_print_of(own[0])] = found
        return torch.from_numpy(own[0].astype(np.float32))[None], torch.from_numpy(own[1])[None]

    def by(self, material: Material, name: str) -> Material:
        """Return clips that the first embedded, as another did."""

        def other(sample: Sample) -> Sample:
            frames, times = self.heard[_print_of(sample.frames)][name]
            return replace(sample, frames=frames, times=times)

        return replace(
            material,
            samples=[other(sample) for sample in material.samples],
            aside={which: self.by(own, name) for which, own in material.aside.items()},
        )


def _print_of(frames: Any) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(frames, np.float16).tobytes()).digest()


def _heard(
    data: str, names: Sequence[str], shared: Path, speech: Path | None, seed: int
) -> dict[str, Material]:
    several = _Several(names)
    if data == "simulated":
        simulation = Simulation()
        found = simulated(simulation, several, seed=seed)
        beside = asides(simulation.config(seed), several, voices(speech))
    else:
        found = recorded(open_dataset(shared / "testbed" / data), several)
        found = replace(found, attacked=_drawn(found.keys, seed))
        beside = spoken_beside(found, several, voices(speech), seed=seed)
    found = replace(found, aside=beside)
    return {name: several.by(found, name) for name in names}


def _toycar(names: Sequence[str], shared: Path, seed: int) -> dict[str, Material]:
    """Return ToyCar of stored log-mel, as `logmel` and as `modulation` makes of it; it has no sound."""
    dataset = open_dataset(shared / "testbed" / "toycar_logmel")
    stored = recorded(dataset, create_embedder("precomputed"))
    attacked, modulation = _drawn(stored.keys, seed), Modulation()
    found = {}
    for name in names:
        samples = []
        for sample in stored.samples:
            levels = sample.frames.astype(np.float32)
            frames, times = sample.frames, sample.times
            if name == "modulation":
                frames = modulation.from_logmel(torch.from_numpy(levels)[None])[0].numpy()
                frames = frames.astype(np.float16)
                times = 1.0 + np.arange(len(frames), dtype=np.float64) * modulation.hop_seconds
                times = times.astype(np.float64)
            samples.append(replace(sample, frames=frames, times=times, levels=cells_of(levels)))
        found[name] = Material(samples, attacked=attacked)
    return found


def _drawn(keys: Sequence[MachineKey], seed: int) -> frozenset[MachineKey]:
    """Return the machines that are attacked: a third of each kind, two at least."""
    random = np.random.default_rng(seed)
    shuffled = [keys[int(place)] for place in random.permutation(len(keys))]
    drawn: list[MachineKey] = []
    for kind in sorted({key[0] for key in keys}):
        own = [key for key in shuffled if key[0] == kind]
        drawn += own[len(own) - round(len(own) * TARGET_SHARE) :]
    return frozenset(drawn if len(drawn) > 1 else shuffled[:2])
