"""The messages of statistics, and of pools of them; see `thrum.federation.messages`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from thrum.federation.messages import Name, checked_name


class StatisticsQuestion(msgspec.Struct, frozen=True):
    """How do the clips of your machines vary?"""


class MachineStatistics(msgspec.Struct, frozen=True):
    """How the mean embeddings of one machine's training clips vary about their mean; scaled to trace one.

    Parameters
    ----------
    key
        The machine and machine ID; of a pool, the one that it is for.
    count
        Of how many clips.
    axes
        (R, D) float32: orthogonal, each as long as the deviation along it.
    rest
        The variance in each other direction.
    """

    key: tuple[Name, Name]
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    axes: np.ndarray[Any, Any]
    rest: Annotated[float, Meta(ge=0, le=1)]

    def __post_init__(self) -> None:
        for part in self.key:
            checked_name(part)


class Statistics(msgspec.Struct, frozen=True):
    """The statistics of a site, or the pools that it is sent; no machine twice.

    Parameters
    ----------
    machines
        Of a site: those of its machines that have enough clips, which differ.
    """

    machines: Annotated[list[MachineStatistics], Meta(max_length=10_000)]


class PoolsQuestion(msgspec.Struct, frozen=True):
    """Keep these pools: for each of your machines, how the clips of the *others* vary.

    Parameters
    ----------
    pools
        One a machine.
    """

    pools: Statistics
