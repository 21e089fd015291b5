"""Which clips a simulated dataset has: a list that can be rendered in any order, or in part."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from thrum.datasets.synthetic.config import SyntheticConfig
from thrum.datasets.synthetic.faults import FAULTS
from thrum.datasets.synthetic.machine import Machine, draw_machine
from thrum.datasets.synthetic.scene import Condition, simulate
from thrum.datasets.synthetic.signals import Signal
from thrum.types import Domain, Label, Split

SPEEDS_PERCENT: dict[Domain, tuple[int, ...]] = {"source": (60, 70, 80, 90), "target": (100, 110)}
LOADS_PERCENT: dict[Domain, tuple[int, ...]] = {"source": (40, 60, 80), "target": (20, 100)}


@dataclass(frozen=True)
class SyntheticClip:
    """One clip of a simulated dataset, not yet rendered.

    Parameters
    ----------
    kind, index
        The machine, as in `draw_machine`.
    machine_id
        How the dataset calls it.
    split, label
        As in `thrum.types.Clip`; here the label is always known.
    condition
        Speed, load and domain.
    fault, severity
        None and 0 where the machine is well.
    seed
        What `simulate` is given.
    path
        Under the dataset's folder.
    """

    kind: str
    index: int
    machine_id: str
    split: Split
    label: Label
    condition: Condition
    fault: str | None
    severity: float
    seed: int
    path: PurePosixPath


def plan(config: SyntheticConfig) -> tuple[SyntheticClip, ...]:
    """Return the clips of a dataset, machine by machine.

    What clip `number` of a machine is depends on the seed, the machine, the split, the label and the domain
    alone: more machines or more clips leave it as it is.
    """
    return tuple(
        _clip(config, kind, index, split, label, domain, number)
        for kind in config.kinds
        for index in range(config.individuals)
        for split, label, domain, count in _groups(config)
        for number in range(count)
    )


def render(clip: SyntheticClip, config: SyntheticConfig) -> Signal:
    """Return the audio of a clip of `plan(config)`, (S,) float32."""
    return simulate(
        _machine(clip.kind, clip.index, config.seed),
        clip.condition,
        fault=clip.fault,
        severity=clip.severity,
        seed=clip.seed,
        duration_seconds=config.duration_seconds,
        sample_rate=config.sample_rate,
        snr_db=config.snr_db,
    )


@functools.lru_cache(maxsize=1024)
def _machine(kind: str, index: int, seed: int) -> Machine:
    return draw_machine(kind, index, seed=seed)


def _groups(config: SyntheticConfig) -> list[tuple[Split, Label, Domain, int]]:
    normal, anomaly = config.test_normal_clips, config.test_anomaly_clips
    if not config.domains:
        return [
            ("train", "normal", "source", config.train_clips),
            ("test", "normal", "source", normal),
            ("test", "anomaly", "source", anomaly),
        ]
    return [
        ("train", "normal", "source", config.train_clips - config.target_train_clips),
        ("train", "normal", "target", config.target_train_clips),
        ("test", "normal", "source", normal - normal // 2),
        ("test", "normal", "target", normal // 2),
        ("test", "anomaly", "source", anomaly - anomaly // 2),
        ("test", "anomaly", "target", anomaly // 2),
    ]


def _clip(
    config: SyntheticConfig,
    kind: str,
    index: int,
    split: Split,
    label: Label,
    domain: Domain,
    number: int,
) -> SyntheticClip:
    group = zlib.crc32(f"{kind} {index} {split} {label} {domain}".encode())
    random = np.random.default_rng([config.seed, group, number])
    condition = Condition(
        speed_percent=int(random.choice(SPEEDS_PERCENT[domain])),
        load_percent=int(random.choice(LOADS_PERCENT[domain])),
        domain=domain,
    )
    fault, severity = None, 0.0
    if label == "anomaly":
        names = list(FAULTS[kind])
        fault = names[number % len(names)]  # in turn, so that all are equally many
        severity = round(float(random.uniform(*config.severity)), 3)
    seed = int(random.integers(2**63))
    if config.naming == 2020:
        machine_id = f"id_{index:02d}"
        name = f"{label}_{machine_id}_{number:08d}.wav"
    else:
        machine_id = f"section_{index:02d}"
        name = (
            f"{machine_id}_{domain}_{split}_{label}_{number:04d}"
            f"_speed_{condition.speed_percent}_load_{condition.load_percent}.wav"
        )
    path = PurePosixPath(kind, split, name)
    return SyntheticClip(
        kind, index, machine_id, split, label, condition, fault, severity, seed, path
    )
