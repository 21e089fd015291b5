"""The nouns that every part of thrum shares: a clip, a dataset of clips, the scores of clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

from thrum.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "test"]
Domain = Literal["source", "target"]
Label = Literal["normal", "anomaly"]

_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one machine, not yet read.

    Parameters
    ----------
    path
        The audio file, or the ``.npz`` file that holds the clip's features (see `row`).
    machine
        The machine type, for instance ``fan``.
    machine_id
        The individual machine: ``id_00`` in 2020's naming, ``section_00`` later.
    split
        ``train`` (normal recordings only) or ``test``.
    domain
        ``source`` or ``target``; None where the dataset knows no domains or does not publish it.
    label
        ``normal`` or ``anomaly``; None where it is not published.
    attributes
        Operating conditions by name, for instance ``{"speed": "28V"}``; empty where none are known.
    channel
        The one channel to read of a multi-channel file; None mixes all channels down to mono.
    stretch
        ``(start, seconds)``: the part of a long recording that this clip is; None for the whole file.
    row
        For features stored in an ``.npz`` file: the name of the array and the row of this clip in it.
        None for an audio file.
    name
        How the clip is called in results; the file's name where nothing else is given. A stretch
        is called as media fragments are: ``a.wav#t=600,610``.
    """

    path: Path
    machine: str
    machine_id: str
    split: Split
    domain: Domain | None = None
    label: Label | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES, hash=False)
    channel: int | None = None
    stretch: tuple[float, float] | None = None
    row: tuple[str, int] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.path.name)
        if not isinstance(self.attributes, MappingProxyType):
            object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @property
    def machine_key(self) -> tuple[str, str]:
        """``(machine, machine_id)``: what a classifier of machine IDs tells apart."""
        return self.machine, self.machine_id


@dataclass(frozen=True)
class Dataset:
    """Clips in a fixed order, with the questions one asks of them.

    Parameters
    ----------
    clips
        All clips.
    name
        The name of the dataset, for tables and errors.
    root
        The folder that the clips come from.
    holds
        ``audio`` where the clips are recordings, ``features`` where they are rows of ``.npz`` files.
    left_out
        What lies among the clips but is none, each path with the reason.
    """

    clips: tuple[Clip, ...]
    name: str
    root: Path
    holds: Literal["audio", "features"] = "audio"
    left_out: tuple[tuple[Path, str], ...] = ()

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def where(
        self,
        *,
        machine: str | None = None,
        machine_id: str | None = None,
        split: Split | None = None,
        domain: Domain | None = None,
        label: Label | None = None,
    ) -> Dataset:
        """Return the clips that agree with every criterion given, in the same order."""
        wanted = {
            "machine": machine,
            "machine_id": machine_id,
            "split": split,
            "domain": domain,
            "label": label,
        }
        criteria = {key: value for key, value in wanted.items() if value is not None}
        clips = tuple(
            clip
            for clip in self.clips
            if all(getattr(clip, key) == value for key, value in criteria.items())
        )
        return replace(self, clips=clips)

    @property
    def machines(self) -> tuple[str, ...]:
        """The machine types, sorted."""
        return tuple(sorted({clip.machine for clip in self.clips}))

    @property
    def machine_keys(self) -> tuple[tuple[str, str], ...]:
        """Every ``(machine, machine_id)``, sorted."""
        return tuple(sorted({clip.machine_key for clip in self.clips}))


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of clips, one column a method; higher is more anomalous.

    Parameters
    ----------
    clips
        The clips scored.
    columns
        For each method an array (B,) float64 in the order of `clips`.
    selected
        The method that the system itself would act on.
    """

    clips: Sequence[Clip]
    columns: Mapping[str, NDArray[np.float64]]
    selected: str

    def __post_init__(self) -> None:
        if self.selected not in self.columns:
            known = ", ".join(self.columns)
            raise ValueError(f"selected method {self.selected!r} is not among the columns: {known}")
        for method, column in self.columns.items():
            if column.shape != (len(self.clips),):
                raise ValueError(
                    f"scores of {method!r} have shape {column.shape}, wanted ({len(self.clips)},)"
                )


class Progress(Protocol):
    """Told how far long work has come."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of the work called `stage` are done."""
        ...


def group_by_machine(clips: Iterable[Clip]) -> dict[tuple[str, str], list[Clip]]:
    """Return the clips of each ``(machine, machine_id)``, keys sorted, clips in their order."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.machine_key, []).append(clip)
    return dict(sorted(groups.items()))


def rows_by_machine(clips: Iterable[Clip]) -> dict[tuple[str, str], list[int]]:
    """Return where the clips of each ``(machine, machine_id)`` stand among all, keys sorted."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, clip in enumerate(clips):
        rows.setdefault(clip.machine_key, []).append(row)
    return dict(sorted(rows.items()))


def names_of(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return what each ``(machine, machine_id)`` is called on disk: ``<machine>_<machine_id>``.

    Raises
    ------
    DatasetError
        Where two would be called the same.
    """
    names: dict[tuple[str, str], str] = {}
    owners: dict[str, tuple[str, str]] = {}
    for key in keys:
        name = names[key] = "_".join(key)
        owner = owners.setdefault(name, key)
        if owner != key:
            raise DatasetError(
                f"the machines {'/'.join(owner)} and {'/'.join(key)} would both be called {name!r} "
                f"on disk: rename the folder of one of them"
            )
    return names
