"""Reads every clip of a dataset, so that bad ones are known before hours are spent on the good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import soundfile

from thrum import audio
from thrum.datasets import arrays
from thrum.errors import DataError
from thrum.types import Clip, Dataset, Progress, group_by_machine


@dataclass(frozen=True)
class BadFile:
    """A clip that cannot be used, and why."""

    path: str
    clip: str
    machine: str
    machine_id: str
    reason: str


@dataclass(frozen=True)
class MachineCheck:
    """What the clips of one machine ID are.

    Parameters
    ----------
    clips
        How many there are of each kind, for instance ``{"train normal": 50, "test anomaly": 24}``.
    domains
        How many there are of each domain; empty where the dataset knows none.
    sample_rates, channels
        The different values among the good recordings, in samples per second and channels a file.
    frames, dimensions
        The different values among the good features.
    seconds
        The shortest, the longest and the sum of the good recordings; None for features.
    """

    machine: str
    machine_id: str
    clips: dict[str, int]
    domains: dict[str, int]
    sample_rates: list[int]
    channels: list[int]
    frames: list[int]
    dimensions: list[int]
    seconds: tuple[float, float, float] | None


@dataclass(frozen=True)
class Report:
    """What `check` found; `ok` where nothing is bad."""

    name: str
    root: str
    holds: str
    machines: tuple[MachineCheck, ...]
    bad: tuple[BadFile, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def ok(self) -> bool:
        """Whether every clip can be used."""
        return not self.bad

    def mapping(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True)
class _Format:
    sample_rate: int
    channels: int
    seconds: float


def check(dataset: Dataset, *, progress: Progress | None = None) -> Report:
    """Read every clip of `dataset`; a bad one is noted and the rest goes on."""
    machines: list[MachineCheck] = []
    bad: list[BadFile] = []
    done = 0
    for (machine, machine_id), clips in group_by_machine(dataset).items():
        formats: list[_Format] = []
        shapes: list[tuple[int, ...]] = []
        for clip, found in _each(clips):
            if isinstance(found, DataError):
                bad.append(BadFile(str(clip.path), clip.name, machine, machine_id, str(found)))
            elif isinstance(found, _Format):
                formats.append(found)
            else:
                shapes.append(found)
            done += 1
            if progress is not None:
                progress("reading every clip", done, len(dataset))
        machines.append(_summary(machine, machine_id, clips, formats, shapes))
    return Report(
        dataset.name,
        str(dataset.root),
        dataset.holds,
        tuple(machines),
        tuple(bad),
        tuple((str(path), reason) for path, reason in dataset.left_out),
    )


def _each(clips: Sequence[Clip]) -> Iterator[tuple[Clip, _Format | tuple[int, ...] | DataError]]:
    """Yield each clip with what it is, or with the error that reading it raises."""
    if clips[0].row is not None:
        for index, features in arrays.each(clips):
            yield clips[index], features if isinstance(features, DataError) else features.shape
        return
    for clip in clips:
        try:
            samples, sample_rate = audio.read(clip.path, channel=clip.channel)
        except DataError as error:
            yield clip, error
        else:
            seconds = len(samples) / sample_rate
            yield clip, _Format(sample_rate, soundfile.info(clip.path).channels, seconds)


def _summary(
    machine: str,
    machine_id: str,
    clips: Sequence[Clip],
    formats: Sequence[_Format],
    shapes: Sequence[tuple[int, ...]],
) -> MachineCheck:
    seconds = [found.seconds for found in formats]
    kinds = Counter(f"{clip.split} {clip.label or 'unlabelled'}" for clip in clips)
    domains = Counter(clip.domain for clip in clips if clip.domain is not None)
    return MachineCheck(
        machine,
        machine_id,
        dict(sorted(kinds.items(), reverse=True)),
        {str(domain): count for domain, count in sorted(domains.items())},
        sample_rates=sorted({found.sample_rate for found in formats}),
        channels=sorted({found.channels for found in formats}),
        frames=sorted({shape[0] for shape in shapes}),
        dimensions=sorted({shape[1] for shape in shapes}),
        seconds=(min(seconds), max(seconds), sum(seconds)) if seconds else None,
    )
