"""What the embedder is trained on: simulated machines in many states, each state recorded several times.

A class is one machine under one condition in one state of health. Its recordings differ in performance, room,
microphone and noise: what an embedding should not hear. Machine and noise are kept apart, as log-mel spectra,
so that training can mix them at any ratio.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import textures  # noqa: F401 - enters the kind `texture`
from thrum import storage
from thrum.datasets.synthetic import FAULTS, Condition, draw_machine, simulate_scene
from thrum.embedders.logmel import LogMel
from thrum.types import Domain, Progress

INDIVIDUALS = 4  # of each product
CONDITIONS = 2
FAULTS_HEARD = 2  # of each machine: with the healthy one, three states under each condition
STATES = CONDITIONS * (1 + FAULTS_HEARD)
RECORDINGS = 4  # of each class
SECONDS = 3.0
SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Machines:
    """Simulated machines on disk, one file each: machine and noise in dB, (2, STATES, RECORDINGS, T, 128).

    Parameters
    ----------
    folder
        Where they lie.
    counts
        How many machines of each kind.
    seed
        Decides everything.
    """

    folder: Path
    counts: dict[str, int]
    seed: int

    def render(self, progress: Progress | None = None) -> None:
        """Simulate what is not there yet."""
        names = list(self._names())
        for done, (path, kind, number) in enumerate(names, start=1):
            if not path.exists():
                storage.write_array(path, _recordings(kind, number, self.seed))
            if progress is not None:
                progress("simulating machines", done, len(names))

    def load(self) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Return machine and noise, (classes, RECORDINGS, T, 128) each."""
        arrays = np.stack([storage.read_array(path) for path, _, _ in self._names()], axis=1)
        machine, noise = arrays.reshape(2, -1, *arrays.shape[3:])
        return machine, noise

    def _names(self) -> Iterator[tuple[Path, str, int]]:
        for kind, count in self.counts.items():
            for number in range(count):
                yield self.folder / f"{kind}_{self.seed}_{number:04d}.npy", kind, number


def _recordings(kind: str, number: int, seed: int) -> NDArray[np.float16]:
    random = np.random.default_rng([seed, sum(map(ord, kind)), number])
    product = np.random.default_rng([seed, sum(map(ord, kind)), number // INDIVIDUALS, 1])
    world = int(product.integers(2**31))
    # Sound played faster or slower is sound of a smaller or larger machine.
    sample_rate = round(SAMPLE_RATE / 2 ** product.uniform(-0.5, 0.6))
    machine = draw_machine(kind, number % INDIVIDUALS, seed=world)
    faults = random.permutation(list(FAULTS[kind]))[:FAULTS_HEARD].tolist()
    samples = int(SECONDS * SAMPLE_RATE)
    audio = np.zeros((2, STATES, RECORDINGS, samples), np.float32)
    for state in range(STATES):
        if state % (1 + FAULTS_HEARD) == 0:
            speed, load = random.integers(50, 151), random.integers(20, 101)
        fault = [None, *faults][state % (1 + FAULTS_HEARD)]
        severity = float(random.uniform(0.4, 1.0)) if fault else 0.0
        for recording in range(RECORDINGS):
            domain: Domain = "source" if random.random() < 0.5 else "target"
            scene = simulate_scene(
                machine,
                Condition(int(speed), int(load), domain),
                fault=fault,
                severity=severity,
                seed=int(random.integers(2**63)),
                duration_seconds=samples / sample_rate,
                sample_rate=sample_rate,
                snr_db=0.0,
            )
            audio[0, state, recording] = scene.machine[:samples]
            audio[1, state, recording] = scene.noise[:samples]
    levels, _ = LogMel().frames(torch.from_numpy(audio.reshape(-1, samples)))
    return levels.numpy().reshape(2, STATES, RECORDINGS, *levels.shape[1:]).astype(np.float16)
