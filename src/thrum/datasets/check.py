"""Reads every clip of a dataset, so that bad ones are known before hours are spent on the good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thrum import audio
from thrum.datasets import arrays, findings
from thrum.datasets.findings import Finding
from thrum.datasets.measuring import Measured, measure
from thrum.errors import AudioError, DataError
from thrum.types import Clip, Dataset, Progress, group_by_machine

NAMES = 5
"""Clips of each kind that are named, so that a person sees how the dataset was read."""


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
    channel
        The channel that is read; None where all are mixed.
    names
        The first clips of each kind and domain.
    counts
        How many there are of each of these.
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
    channel: int | None
    names: dict[str, list[str]]
    counts: dict[str, int]


@dataclass(frozen=True)
class Report:
    """What `check` found; `ok` where nothing is bad and no finding an error."""

    name: str
    root: str
    holds: str
    machines: tuple[MachineCheck, ...]
    bad: tuple[BadFile, ...]
    left_out: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every clip can be used and none would make results wrong."""
        return not self.bad and not self.errors

    @property
    def errors(self) -> list[Finding]:
        """What would make results wrong."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What may spoil learning."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    def mapping(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"ok": self.ok, **asdict(self)}


def check(dataset: Dataset, *, progress: Progress | None = None) -> Report:
    """Read every clip of `dataset`; a bad one is noted and the rest goes on."""
    machines: list[MachineCheck] = []
    bad: list[BadFile] = []
    found_here: list[Finding] = []
    everything: list[tuple[Clip, Measured]] = []
    done = 0
    for (machine, machine_id), clips in group_by_machine(dataset).items():
        formats: list[tuple[Clip, Measured]] = []
        shapes: list[tuple[int, ...]] = []
        for clip, found in _each(clips):
            if isinstance(found, DataError):
                bad.append(BadFile(str(clip.path), clip.name, machine, machine_id, str(found)))
            elif isinstance(found, Measured):
                formats.append((clip, found))
            else:
                shapes.append(found)
            done += 1
            if progress is not None:
                progress("reading every clip", done, len(dataset))
        machines.append(_summary(machine, machine_id, clips, [m for _, m in formats], shapes))
        found_here += findings.of_machine((machine, machine_id), formats)
        found_here += _odd_files((machine, machine_id), formats)
        everything += formats
    return Report(
        dataset.name,
        str(dataset.root),
        dataset.holds,
        tuple(machines),
        tuple(bad),
        tuple((str(path), reason) for path, reason in dataset.left_out),
        tuple(findings.copies(everything) + found_here),
    )


def _odd_files(key: tuple[str, str], pairs: Sequence[tuple[Clip, Measured]]) -> list[Finding]:
    """Return the notes of the files themselves: lengths put right, formats other than their names say."""
    clips_of: dict[str, list[str]] = {}
    for clip, _ in pairs:
        for note in audio.describe(clip.path).notes:
            clips_of.setdefault(note, []).append(clip.name)
    return [
        Finding("odd file", "warning", *key, tuple(names), note) for note, names in clips_of.items()
    ]


def _each(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Measured | tuple[int, ...] | DataError]]:
    """Yield each clip with what it is, or with the error that reading it raises."""
    if clips[0].row is not None:
        for index, features in arrays.each(clips):
            yield clips[index], features if isinstance(features, DataError) else features.shape
        return
    for clip in clips:
        try:
            found: Measured | AudioError = measure(clip)
        except AudioError as error:
            found = error
        yield clip, found


def _summary(
    machine: str,
    machine_id: str,
    clips: Sequence[Clip],
    formats: Sequence[Measured],
    shapes: Sequence[tuple[int, ...]],
) -> MachineCheck:
    seconds = [found.seconds for found in formats]
    kinds = Counter(f"{clip.split} {clip.label or 'unlabelled'}" for clip in clips)
    names: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for clip in clips:
        kind = f"{clip.split} {clip.label or 'unlabelled'}" + (
            f" {clip.domain}" if clip.domain else ""
        )
        counts[kind] += 1
        own = names.setdefault(kind, [])
        if len(own) < NAMES:
            own.append(clip.name)
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
        channel=clips[0].channel,
        names=names,
        counts=dict(counts),
    )
