"""Small machines of the tests' own: frames with a pattern a machine, and sound with a tone a machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum import audio

DIMENSIONS = 12


def frames(
    random: np.random.Generator, machine: int, *, clips: int, length: int = 24, fault: float = 0.0
) -> list[NDArray[np.float16]]:
    """Frames (T, 12): a machine's own rhythm and level, much common variation, and perhaps a fault."""
    time = np.arange(length)[:, None]
    own = np.random.default_rng(100 + machine)
    level, rate = own.normal(size=DIMENSIONS), own.uniform(0.2, 1.2, size=DIMENSIONS)
    result = []
    for _ in range(clips):
        nuisance = random.normal() * np.ones(DIMENSIONS)
        rhythm = np.sin(rate * (1 + fault) * time + random.uniform(0, 6))
        noise = random.normal(size=(length, DIMENSIONS)) * 0.3
        result.append((level + rhythm + 2 * nuisance + noise).astype(np.float16))
    return result


def write_arrays(root: Path, *, machines: int = 3, clips: int = 10, kind: str = "Press") -> Path:
    """Write an `arrays` dataset of frames; the last machine has no anomalies."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for machine in range(machines):
        anomalies = 0 if machine == machines - 1 else 8
        np.savez(
            root / f"{kind}_id_{machine:02d}.npz",
            train_normal=np.stack(frames(random, machine, clips=clips)),
            test_normal=np.stack(frames(random, machine, clips=8)),
            **(
                {"test_anomaly": np.stack(frames(random, machine, clips=anomalies, fault=0.8))}
                if anomalies
                else {}
            ),
        )
    return root


def tone(
    random: np.random.Generator, hz: float, *, seconds: float, rate: int
) -> NDArray[np.float32]:
    """A machine that hums: three harmonics and noise."""
    time = np.arange(int(seconds * rate)) / rate
    sound = sum(np.sin(2 * np.pi * k * hz * time + random.uniform(0, 6)) / k for k in (1, 2, 3))
    noise = random.normal(size=len(time))
    return (0.1 * sound * random.uniform(0.7, 1.4) + 0.03 * noise).astype(np.float32)


def write_sound(
    root: Path,
    *,
    machines: int = 2,
    clips: int = 6,
    seconds: float = 1.5,
    rate: int = 16000,
    channels: int = 1,
    suffix: str = ".wav",
    anomalies: int = 3,
    seed: int = 0,
) -> Path:
    """Write a `folder` dataset: <machine>/normal and <machine>/anomaly (detuned)."""
    random = np.random.default_rng(seed)
    for machine in range(machines):
        for label, count, detune in (("normal", clips, 1.0), ("anomaly", anomalies, 1.15)):
            for number in range(count):
                sound = tone(random, 110 * (machine + 1) * detune, seconds=seconds, rate=rate)
                stacked = np.stack([sound] * channels, axis=1) if channels > 1 else sound
                audio.write(
                    root / f"machine{machine}" / label / f"{number:03d}{suffix}", stacked, rate
                )
    return root
