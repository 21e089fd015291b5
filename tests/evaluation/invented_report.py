"""A report of invented machines: what its numbers are was decided by a seed, not by any method."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from thrum.evaluation.listening import LogMel, Recording
from thrum.evaluation.report import Departures, EmbeddingMaps, Report
from thrum.types import Clip, Scores

SAMPLE_RATE = 16000
# How far anomalies lie from normal clips, in deviations, by method.
SHIFTS = {
    "local": 1.9,
    "local_whitened": 2.2,
    "pool": 2.2,
    "statistics": 2.6,
    "network": 2.4,
    "fused": 3.0,
}
NAMES = ("fan", "gearbox", "pump", "slider", "valve")


def invented_clips(
    machine: str, machine_id: str, *, n_train: int, n_normal: int, n_anomaly: int
) -> list[Clip]:
    """Clips without files."""
    kinds = [("train", "normal")] * n_train
    kinds += [("test", "normal")] * n_normal + [("test", "anomaly")] * n_anomaly
    return [
        Clip(
            path=Path(machine) / split / f"{label}_{machine_id}_{number:08d}.wav",
            machine=machine,
            machine_id=machine_id,
            split=split,
            label=label,
        )
        for number, (split, label) in enumerate(kinds)
    ]


def invented_scores(clips: list[Clip], *, seed: int) -> Scores:
    """Scores in which anomalies lie higher, more so together than alone."""
    generator = np.random.default_rng(seed)
    keys = sorted({clip.machine_key for clip in clips})
    luck = {key: generator.uniform(0.3, 1.2) for key in keys}
    is_anomaly = np.array([clip.label == "anomaly" for clip in clips])
    lift = np.array([luck[clip.machine_key] for clip in clips]) * generator.gamma(
        4, 0.25, len(clips)
    )
    common = generator.gamma(6, 1 / 6, len(clips))
    columns = {}
    for method, shift in SHIFTS.items():
        noise = generator.gamma(6, 1 / 6, len(clips))
        columns[method] = 0.6 * common + 0.4 * noise + 0.3 * is_anomaly * shift * lift
    columns["pool"] = columns["local_whitened"].copy()
    return Scores(clips, columns, "fused")


def invented_sound(clip: Clip) -> Recording:
    """A hum with harmonics in noise; a faulty one knocks."""
    generator = np.random.default_rng(list(str(clip.path).encode()))
    time, hum = _hum(60.0 + 37.0 * NAMES.index(clip.machine) if clip.machine in NAMES else 90.0)
    noise = np.cumsum(generator.normal(size=len(time)))
    noise[8:] -= noise[:-8].copy()
    sound = 0.02 * hum + 0.002 * noise + 0.004 * generator.normal(size=len(time))
    if clip.label == "anomaly":
        knocks = (time * 3.7 % 1.0) / 3.7
        sound += 0.12 * np.exp(-60 * knocks) * np.sin(2 * np.pi * 1900 * knocks)
        sound += 0.02 * np.sin(2 * np.pi * 3100 * time) * (1 + np.sin(2 * np.pi * 0.7 * time))
    return Recording(sound.astype(np.float32), SAMPLE_RATE)


@cache
def _hum(pitch_hz: float, seconds: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return time, sum(np.sin(2 * np.pi * pitch_hz * k * time + k) / k for k in range(1, 20))


def invented_features(clip: Clip) -> LogMel:
    """Log-mel without a recording."""
    generator = np.random.default_rng(list(str(clip.path).encode()))
    tilt = np.linspace(-20, -60, 128)
    return LogMel(tilt + generator.normal(0, 3, (200, 128)), hop_seconds=0.032)


def invented_maps(clips: list[Clip], *, seed: int, size: int = 32) -> EmbeddingMaps:
    """Embeddings that lie in one heap before and in one heap a machine after."""
    generator = np.random.default_rng(seed)
    keys = sorted({clip.machine_key for clip in clips})
    number = np.array([keys.index(clip.machine_key) for clip in clips])
    strange = np.array([clip.label == "anomaly" for clip in clips])[:, None]
    centres = generator.normal(size=(len(keys), size))
    drift = generator.normal(size=(len(keys), size))
    spread = generator.normal(size=(len(clips), size))
    frozen = 0.55 * centres[number] + 0.35 * strange * drift[number] + spread
    learned = 2.5 * centres[number] + 1.4 * strange * drift[number] + spread
    return EmbeddingMaps(clips, {"frozen embedding": frozen, "after the ID classifier": learned})


def invented_report(
    machines: list[tuple[str, str]] | None = None,
    *,
    without_anomalies: tuple[tuple[str, str], ...] = (("valve", "id_00"),),
    n_train: int = 40,
    n_normal: int = 40,
    n_anomaly: int = 50,
    seed: int = 7,
    **changes: object,
) -> Report:
    """A whole report, all parts of it filled."""
    keys = machines or [
        ("fan", "id_00"), ("fan", "id_02"), ("gearbox", "id_00"), ("pump", "id_04"), ("slider", "id_00"),
        ("valve", "id_00"),
    ]  # fmt: skip
    clips = [
        clip
        for key in keys
        for clip in invented_clips(
            *key,
            n_train=n_train,
            n_normal=n_normal,
            n_anomaly=0 if key in without_anomalies else n_anomaly,
        )
    ]
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    generator = np.random.default_rng(seed)
    content: dict[str, object] = {
        "title": "Sites learn together: an invented example",
        "scores": invented_scores(test, seed=seed),
        "seed": seed,
        "baseline": "local",
        "training_scores": invented_scores(train, seed=seed + 1),
        "facts": {
            "data": "invented by a seed",
            "sites": str(len(keys)),
            "embedder": "logmel",
            "algorithm": "1: embeddings up, classifier down",
        },
        "thresholds": dict.fromkeys(keys, 1.7),
        "id_accuracy": {key: float(generator.uniform(0.85, 1.0)) for key in keys},
        "sound": invented_sound,
        "maps": invented_maps(clips, seed=seed),
        "departures": [
            row
            for key in keys
            for row in (
                Departures(" ".join(key), "description", 1, n_train, 412),
                Departures(" ".join(key), "manifest", 1, n_train, 1204),
                Departures(" ".join(key), "embeddings", 3, n_train, 3_276_800),
            )
        ],
        "given_away": "embeddings of LogMel leave as 'frames'; attackers read them",
        "settings": {"classifier": {"epochs": 20, "batch": 32}, "detector": {"neighbours": 2}},
        "versions": {"thrum": "0.1.0", "numpy": "2.0"},
        "created": "2026-01-05",
    }
    return Report(**(content | changes))  # type: ignore[arg-type]
