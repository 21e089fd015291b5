"""What a system's scores of a test split came to, as the report that a person reads."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from thrum import audio
from thrum import config as configs
from thrum.datasets.arrays import read_features
from thrum.detectors.threshold import calibrations
from thrum.embedders.precomputed import Precomputed
from thrum.evaluation.listening import LogMel, Recording
from thrum.evaluation.report import Report, write_report
from thrum.systems.base import System
from thrum.types import Clip, Scores

LISTENING_RATE = 16000
PACKAGES = ("thrum", "torch", "numpy", "scikit-learn")


def write_summary(path: Path, system: System, scores: Scores, *, name: str, data: str) -> None:
    """Write the report of a system called `name` on the test clips of a dataset called `data`."""
    settings = configs.to_mapping(system.config)
    write_report(
        path,
        Report(
            title=f"{name} on {data}",
            scores=scores,
            seed=system.seed,
            facts={
                "data": data,
                "system": name,
                "machine IDs": str(len(system.machine_keys)),
                "test clips": str(len(scores.clips)),
                "seed": str(system.seed),
            },
            thresholds=system.thresholds,
            calibrations=calibrations(system.left_out_scores()),
            sound=_sound,
            maps=system.embedding_maps(scores.clips),
            settings={"system": name, "seed": system.seed, **settings},
            versions={package: version(package) for package in PACKAGES}
            | {"python": platform.python_version()},
        ),
    )


def _sound(clip: Clip) -> Recording | LogMel:
    if clip.row is None:
        return Recording(audio.read_clip(clip, sample_rate=LISTENING_RATE), LISTENING_RATE)
    return LogMel(read_features([clip])[0], Precomputed().hop_seconds)
