"""A neighbour that does harm: its recorder is broken, or it means it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from thrum.bench.few_clips.draws import MachineKey

Vectors = NDArray[np.floating[Any]]
Harm = Literal["", "constant", "noise", "loud", "copy", "two_ids", "halved"]
HARMS: tuple[Harm, ...] = tuple(harm for harm in get_args(Harm) if harm)


def harmed(
    sites: Mapping[MachineKey, Vectors], harm: Harm, *, seed: int
) -> dict[MachineKey, Vectors]:
    """Return the clips' mean embeddings (N, D) of all sites when the first of them does harm.

    ``constant``: one vector, again and again. ``noise``: white noise of the same level and deviation.
    ``loud``: its values times a thousand. ``copy``: the clips of the last site. ``two_ids``: its clips under
    a second machine ID as well. ``halved``: half of its clips, as after a site that dropped the others
    between rounds.
    """
    found = dict(sites)
    if not harm:
        return found
    first, last = min(sites), max(sites)
    own = sites[first]
    if harm == "two_ids":
        found[first[0], f"{first[1]}_again"] = own
        return found
    make: dict[Harm, Callable[[], Vectors]] = {
        "constant": lambda: np.repeat(own[:1], len(own), axis=0),
        "noise": lambda: np.random.default_rng(seed).normal(own.mean(), own.std(), own.shape),
        "loud": lambda: own * 1000.0,
        "copy": lambda: sites[last].copy(),
        "halved": lambda: own[: max(2, len(own) // 2)],
    }
    found[first] = make[harm]()
    return found
