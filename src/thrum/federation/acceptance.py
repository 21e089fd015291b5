"""Whether a site takes new statistics in place of those in force: its own left-out normal clips decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from thrum.federation.messages import MachineKey
from thrum.systems.embedding_sharing.blend import Blend
from thrum.systems.embedding_sharing.moments import Moments

WORTH = 0.5
"""Of what the pool in force is worth: fewer sites make it worth a little less, broken ones nothing."""
FEWEST = 2


def accepted(
    clips_of: Callable[[MachineKey], NDArray[np.float64]],
    before: Mapping[MachineKey, Moments],
    now: Mapping[MachineKey, Moments],
) -> tuple[dict[MachineKey, Moments], list[str]]:
    """Return what is in force from now on for each machine, and what was refused and why.

    A pool is worth the nats a clip and dimension by which it makes left-out clips of the machine likelier
    than no pool does (`Blend.gain_`). One that is worth less than half of the pool in force would make
    normal clips stranger than they are; the site keeps what it has. Where the pool in force is worth nothing
    either, or the machine has a single clip, there is nothing to compare and the new one counts.

    Parameters
    ----------
    clips_of
        Gives the mean embeddings (N, D) of a machine's training clips.
    before, now
        The pools in force, and those that have come.
    """
    kept, refused = dict(now), []
    for key, pool in now.items():
        former = before.get(key)
        if former is None or former.dimensions != pool.dimensions:
            continue
        clips = clips_of(key)
        if len(clips) < FEWEST:
            continue
        old, new = (Blend(one).fit(clips).gain_ for one in (former, pool))
        if old > 0 and new < WORTH * old:
            kept[key] = former
            refused.append(
                f"what came for {'/'.join(key)} explains its normal clips worse than what is in force "
                f"({new:.2f} nats a clip and dimension, {old:.2f} before): what is in force stays"
            )
    return kept, refused
