"""Who has which clips: the site that is scored, with few, and the others."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, group_by_machine

MachineKey = tuple[str, str]
Others = Literal["full", "short"]


def called(method: str, clips: str, others: Others = "full") -> str:
    """Return what the scores of a method are called that come from so many clips, ``statistics@10/short``."""
    return f"{method}@{clips}{'' if others == 'full' else '/short'}"


@dataclass(frozen=True)
class Case:
    """What sites have.

    Parameters
    ----------
    clips
        Normal clips of the scored site; None for all.
    others
        Whether the other sites have all of theirs, or as few.
    """

    clips: int | None
    others: Others

    def called(self, method: str) -> str:
        """Return what the scores of `method` are called in this case."""
        return called(method, "all" if self.clips is None else str(self.clips), self.others)


@dataclass(frozen=True)
class Situation:
    """What can be had to score one machine ID.

    Parameters
    ----------
    key
        The machine ID.
    own
        Its normal clips, those that were drawn.
    others
        The normal clips of the other machine IDs; its own are never among them.
    test
        What is to be scored.
    """

    key: MachineKey
    own: Sequence[Clip]
    others: Mapping[MachineKey, Sequence[Clip]]
    test: Sequence[Clip]

    def __post_init__(self) -> None:
        if any(clip.machine_key == self.key for own in self.others.values() for clip in own):
            raise ValueError(f"clips of {'/'.join(self.key)} are in the pool that scores it")


def situation(dataset: Dataset, key: MachineKey, case: Case, *, seed: int) -> Situation:
    """Return what there is to score `key` in `case`; `seed` decides the draw.

    Raises
    ------
    DatasetError
        Where the machine ID has fewer than two training clips, or nobody else has any.
    """
    train = group_by_machine(dataset.where(split="train"))
    own = train.get(key, [])
    if len(own) < 2:
        raise DatasetError(
            f"{'/'.join(key)} has {len(own)} training clips; a learning curve wants two at least"
        )
    if len(train) < 2:
        raise DatasetError(f"{'/'.join(key)} is alone in {dataset.root}: nobody shares with it")
    as_few = case.clips if case.others == "short" else None
    machine, machine_id = key
    return Situation(
        key,
        drawn(own, case.clips, seed=seed),
        {other: drawn(clips, as_few, seed=seed) for other, clips in train.items() if other != key},
        list(dataset.where(machine=machine, machine_id=machine_id, split="test")),
    )


def drawn(clips: Sequence[Clip], count: int | None, *, seed: int) -> list[Clip]:
    """Return `count` clips of one machine ID, or all where there are no more, in their order.

    Draws of one seed are nested: the first two clips are among the first five. So a curve tells what more
    clips bring, and not which clips there are.
    """
    if count is None or count >= len(clips):
        return list(clips)
    name = zlib.crc32("/".join(clips[0].machine_key).encode())
    order = np.random.default_rng([seed, name]).permutation(len(clips))
    return [clips[row] for row in sorted(order[:count])]
