"""Clips whose truth is known, before and after they are released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError
from thrum.federation.releasing import statistics_of
from thrum.privacy.mechanisms import Chain, StatisticsChain, parse_chain
from thrum.systems.embedding_sharing import Moments
from thrum.types import Label, Split

MachineKey = tuple[str, str]
CELL_FRAMES = 8
"""Log-mel frames of 32 ms in one cell: attackers are asked for the spectrum every 256 ms."""
CELL_SECONDS = 0.256
TARGET_SHARE = 1 / 3


@dataclass(frozen=True, eq=False)
class Sample:
    """One clip of an audit.

    Parameters
    ----------
    key
        The machine and machine ID.
    split, label
        As in `thrum.types.Clip`.
    frames
        Its embeddings (T, D) in half precision, before any mechanism.
    times
        The centre (T,) of each in seconds.
    levels
        The truth: log-mel (C, F) in dB, a cell every `CELL_SECONDS`; None where there is no sound.
    truth
        What else is known, by name: ``speed``, ``load``, ``fault``, ``hall`` ...
    active
        For each cell (C,), whether the machine is on; None where nobody knows.
    """

    key: MachineKey
    split: Split
    label: Label | None
    frames: NDArray[np.float16]
    times: NDArray[np.float64]
    levels: NDArray[np.float32] | None = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    active: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """Clips with their truth, and how they were released.

    Parameters
    ----------
    samples
        The clips.
    sounds
        Returns the audio (S,) of a sample at 16 kHz, for listening; None where there is none.
    vectors
        What was released of each clip, (T', D) in half precision; empty before.
    at
        The second (T',) that each released vector is about.
    chain
        What released them.
    aside
        Clips of the same machines, made for one attack, by its name.
    moments
        With statistics: how each machine's training clips vary, as it was released.
    secure
        Whether the server sees only the sum of these.
    attacked
        The machines that are attacked; where none is named, the last third of each kind.
    """

    samples: Sequence[Sample]
    sounds: Callable[[int], NDArray[np.float32]] | None = None
    vectors: Sequence[NDArray[np.float16]] = ()
    at: Sequence[NDArray[np.float64]] = ()
    chain: str = ""
    aside: Mapping[str, Material] = field(default_factory=dict)
    moments: Mapping[MachineKey, Moments] = field(default_factory=dict)
    secure: bool = False
    attacked: frozenset[MachineKey] = frozenset()

    @property
    def keys(self) -> list[MachineKey]:
        """The machines, sorted."""
        return sorted({sample.key for sample in self.samples})

    @property
    def machines(self) -> NDArray[np.int64]:
        """The place of each clip's machine among `keys`."""
        place = {key: number for number, key in enumerate(self.keys)}
        return np.array([place[sample.key] for sample in self.samples])

    def chosen(self, wanted: Callable[[Sample], bool]) -> Material:
        """Return the clips that are wanted."""
        rows = [row for row, sample in enumerate(self.samples) if wanted(sample)]
        sounds = self.sounds
        return replace(
            self,
            samples=[self.samples[row] for row in rows],
            sounds=None if sounds is None else (lambda row: sounds(rows[row])),
            vectors=[self.vectors[row] for row in rows] if self.vectors else (),
            at=[self.at[row] for row in rows] if self.at else (),
            aside={name: own.chosen(wanted) for name, own in self.aside.items()},
        )

    def divided(self) -> tuple[Material, Material]:
        """Return the attacker's machines and, disjoint from them, those attacked: a third of each kind.

        Raises
        ------
        DataError
            Where there are fewer than four machines.
        """
        if len(self.keys) < 4:
            raise DataError(
                f"{len(self.keys)} machines came, wanted 4 or more: the attacker learns from some and is "
                f"tried on others"
            )
        target = set(self.attacked)
        kinds: dict[str, list[MachineKey]] = {}
        for key in self.keys:
            kinds.setdefault(key[0], []).append(key)
        for own in kinds.values() if not target else ():
            target |= set(own[len(own) - round(len(own) * TARGET_SHARE) :])
        if len(target) < 2 or len(self.keys) - len(target) < 2:  # one machine of each kind
            target = set(self.keys[: max(2, round(len(self.keys) * TARGET_SHARE))])
        return (
            self.chosen(lambda sample: sample.key not in target),
            self.chosen(lambda sample: sample.key in target),
        )

    def released(self, chain: Chain, *, key: bytes) -> Material:
        """Return the same clips as the chain releases them at a site with this key."""
        vectors, at = [], []
        for sample in self.samples:
            own = chain.release(sample.frames, key=key)
            vectors.append(own)
            at.append(_times(sample.times, len(own)))
        aside = {name: own.released(chain, key=key) for name, own in self.aside.items()}
        return replace(self, vectors=vectors, at=at, chain=chain.told, aside=aside)

    def with_statistics(self, chain: StatisticsChain, *, key: bytes) -> Material:
        """Return the same clips with how each machine's training clips vary, as the chain releases it."""
        frames = self.released(parse_chain("frames"), key=key)
        moments = {}
        for machine in self.keys:
            train = [
                own
                for sample, own in zip(self.samples, frames.vectors, strict=True)
                if sample.key == machine and sample.split == "train"
            ]
            if len(train) >= chain.least:
                with suppress(DataError):  # clips that are all the same
                    moments[machine] = statistics_of(train, chain, key=key)
        return replace(frames, chain=chain.told, moments=moments, secure=chain.secure)


def cells_of(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Return log-mel (T, F) averaged over cells (C, F); what is left at the end is dropped."""
    count = max(len(levels) // CELL_FRAMES, 1)
    whole = levels[: count * CELL_FRAMES]
    cells = whole.reshape(count, -1, levels.shape[1]).mean(axis=1)
    return np.asarray(cells, np.float32)


def _times(times: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return what second each of `count` released vectors is about, of as many as came in."""
    if count == len(times):
        return times
    if count == 1:
        return np.array([times.mean()])
    return times[:: -(-len(times) // count)][:count]
