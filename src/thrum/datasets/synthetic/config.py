"""What a simulated dataset holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thrum.datasets.synthetic.machine import KINDS
from thrum.errors import ConfigError


@dataclass(frozen=True)
class SyntheticConfig:
    """The settings of a simulated dataset; all defaults are ours.

    Parameters
    ----------
    kinds
        The machine types.
    individuals
        Of each kind; each is one machine ID.
    train_clips
        Normal training clips of each machine ID, target domain included.
    test_normal_clips, test_anomaly_clips
        Test clips of each machine ID; with domains, half of each are of the target domain.
    domains
        Whether there is a target domain: other speeds and loads, other noise, another microphone.
    target_train_clips
        How many of the training clips are of the target domain (the challenges have 10 of 1000).
    duration_seconds, sample_rate
        Of every clip.
    snr_db
        Power of the machine while it is active over the power of the factory noise.
    severity
        The range from which the severity of each fault is drawn, within 0 to 1.
    naming
        ``2020`` (``normal_id_00_00000000.wav``) or ``2022``, that of 2022 and later
        (``section_00_source_train_normal_0000_speed_80_load_60.wav`` and ``attributes_00.csv``).
    seed
        Decides the machines and all clips.
    """

    kinds: tuple[str, ...] = tuple(sorted(KINDS))
    individuals: int = 4
    train_clips: int = 200
    test_normal_clips: int = 100
    test_anomaly_clips: int = 100
    domains: bool = False
    target_train_clips: int = 10
    duration_seconds: float = 10.0
    sample_rate: int = 16000
    snr_db: float = 6.0
    severity: tuple[float, float] = (0.3, 1.0)
    naming: Literal[2020, 2022] = 2020
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            came = f"kind {unknown[0]!r} is unknown" if unknown else "no kind of machine is given"
            raise ConfigError(f"{came}; wanted some of: {', '.join(KINDS)}")
        if len(set(self.kinds)) < len(self.kinds):
            raise ConfigError(f"kinds are named twice: {', '.join(self.kinds)}")
        _within("individuals", self.individuals, 1, 100)
        _within("train_clips", self.train_clips, 1, 10_000_000)
        _within("test_normal_clips", self.test_normal_clips, 0, 10_000_000)
        _within("test_anomaly_clips", self.test_anomaly_clips, 0, 10_000_000)
        _within("duration_seconds", self.duration_seconds, 0.5, 3600)
        _within("sample_rate", self.sample_rate, 8000, 96000)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("snr_db", self.snr_db, -60, 100)
        low, high = self.severity
        if not 0 <= low <= high <= 1:
            raise ConfigError(
                f"severity is {self.severity}, wanted (low, high) with 0 ≤ low ≤ high ≤ 1"
            )
        if self.domains:
            if self.naming == 2020:
                raise ConfigError(
                    "domains need naming 2022: 2020's file names have no place for a domain"
                )
            _within("target_train_clips", self.target_train_clips, 0, self.train_clips)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, wanted {low} to {high}")


DEMO = SyntheticConfig(
    kinds=("fan", "slider", "valve"),
    individuals=2,
    train_clips=50,
    test_normal_clips=24,
    test_anomaly_clips=24,
    duration_seconds=6.0,
)
"""Six sites with one machine each, for demonstrations: 588 clips."""
