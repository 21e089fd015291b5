"""A simulated dataset on disk, in the layout of DCASE Challenge Task 2."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from thrum import audio, config, storage
from thrum.datasets.synthetic.config import SyntheticConfig
from thrum.datasets.synthetic.plan import SyntheticClip, plan, render
from thrum.errors import ConfigError
from thrum.types import Progress

SCHEMA = 1
SIMULATOR = 2
"""Raised whenever equal settings come to give other sound; what an older one began is not gone on with."""
DESCRIPTION = "simulation.json"
CLIPS_AT_ONCE = 64


def write_dataset(
    settings: SyntheticConfig, root: Path, *, progress: Progress | None = None
) -> tuple[SyntheticClip, ...]:
    """Render every clip of ``plan(settings)`` to a wav file under `root`, and return the plan.

    Beside the recordings lie ``simulation.json``, which holds the settings and the ground truth of every
    clip (fault, severity, condition, signal-to-noise ratio, seed), and in the naming of 2022
    ``attributes_<XX>.csv`` with the conditions. A killed call goes on when it is called again: files that
    are there are kept, and those added are what they would have been.

    Raises
    ------
    ConfigError
        Where `root` holds a simulation of other settings, or other files.
    """
    clips = plan(settings)
    _claim(root, settings, clips)
    if settings.naming != 2020:
        _write_attributes(root, clips)
    todo = [clip for clip in clips if not (root / clip.path).exists()]
    done = len(clips) - len(todo)

    def write(clip: SyntheticClip) -> None:
        audio.write(root / clip.path, render(clip, settings), settings.sample_rate)

    with ThreadPoolExecutor() as pool:  # the transforms and the disk release the interpreter
        for start in range(0, len(todo), CLIPS_AT_ONCE):
            group = todo[start : start + CLIPS_AT_ONCE]
            list(pool.map(write, group))
            done += len(group)
            if progress is not None:
                progress("simulating machines", done, len(clips))
    return clips


def _claim(root: Path, settings: SyntheticConfig, clips: Sequence[SyntheticClip]) -> None:
    """Write the description into an empty folder, or check that the one there says the same."""
    path = root / DESCRIPTION
    wanted = {"schema": SCHEMA, "simulator": SIMULATOR, "settings": config.to_mapping(settings)}
    if not path.exists():
        if root.exists() and any(root.iterdir()):
            raise ConfigError(f"{root} is not empty and holds no simulation: choose another folder")
        storage.write_json(path, {**wanted, "clips": [_truth(clip, settings) for clip in clips]})
        return
    found = storage.read_json(path)
    for key in ("schema", "simulator"):
        if found.get(key) != wanted[key]:
            raise ConfigError(
                f"{root} was written by {key} {found.get(key)}, this is {key} {wanted[key]}: "
                f"choose another folder, or remove it"
            )
    for key, value in config.to_mapping(settings).items():
        came = found["settings"].get(key)
        if came != value:
            raise ConfigError(
                f"{root} holds a simulation with {key} {came!r}, {value!r} was asked for: "
                f"choose another folder, or remove it"
            )


def _truth(clip: SyntheticClip, settings: SyntheticConfig) -> dict[str, Any]:
    return {
        "path": str(clip.path),
        "machine": clip.kind,
        "machine_id": clip.machine_id,
        "split": clip.split,
        "label": clip.label,
        "fault": clip.fault,
        "severity": clip.severity,
        "domain": clip.condition.domain,
        "speed_percent": clip.condition.speed_percent,
        "load_percent": clip.condition.load_percent,
        "snr_db": settings.snr_db,
        "seed": clip.seed,
    }


def _write_attributes(root: Path, clips: Sequence[SyntheticClip]) -> None:
    """Write one CSV a machine ID: file, and name and value of each operating condition."""
    machines: dict[tuple[str, int], list[SyntheticClip]] = {}
    for clip in clips:
        machines.setdefault((clip.kind, clip.index), []).append(clip)
    for (kind, index), own in machines.items():
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["file_name", "d1p", "d1v", "d2p", "d2v"])
        for clip in own:
            condition = clip.condition
            values = ["speed", condition.speed_percent, "load", condition.load_percent]
            rows.writerow([str(clip.path), *values])
        storage.write_text(root / kind / f"attributes_{index:02d}.csv", text.getvalue())
