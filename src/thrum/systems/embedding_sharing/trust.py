"""How much each machine's statistics count in the pools of the others, and why some do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrum.systems.embedding_sharing.moments import Moments
from thrum.systems.embedding_sharing.others import pooled_without_each
from thrum.systems.embedding_sharing.pool import MachineKey

FLOOR = 0.03
FULL_GAIN = 0.3
FEWEST = 3
SAME = 1e-3
ALIKE = 3 * SAME
"""No more apart are the largest variances of two whose leading axes are the same."""
NAMED = 5
"""Of the machines that one is a copy of."""
FAR = 30.0


@dataclass(frozen=True)
class Say:
    """What a machine's statistics count for.

    Parameters
    ----------
    weight
        From 0 to 1.
    reason
        Why it is not what it could be, for the operator; empty where nothing is odd.
    """

    weight: float
    reason: str = ""


def gain(own: Moments, pool: Moments) -> float:
    """Return how much likelier `pool` makes a machine's clips than no pool, in nats a clip and dimension.

    Both under the Gaussian scale that suits them best. Recordings of machines gain from one another's
    covariance even where the machines are of different kinds; noise, a broken converter or a dead
    microphone do not.
    """
    dimensions = own.dimensions
    added = FLOOR / dimensions
    along, elsewhere = pool.variances + added, pool.rest + added
    inside = np.square(own.axes @ pool.directions.T).sum(
        axis=0
    )  # own variance along the pool's axes
    inside = inside + own.rest * (1 - np.square(own.directions @ pool.directions.T).sum(axis=0))
    distance = float((inside / along).sum()) + max(1 - float(inside.sum()), 0.0) / elsewhere
    volume = float(np.log(along).sum()) + (dimensions - len(along)) * float(np.log(elsewhere))
    return -0.5 * float(np.log(distance) + volume / dimensions)


def says(moments: Mapping[MachineKey, Moments]) -> dict[MachineKey, Say]:
    """Return what each machine counts for in the pools of the others.

    A machine that gains `FULL_GAIN` from the others' pool counts in full, one that gains less in
    proportion, and one that loses not at all; the oddest is left out first, so that it does not make others
    look odd. With two machines nobody can say which of them is. Machines whose statistics are the same
    share one say: a copy must not count twice.
    """
    copies = _copies(moments)
    shares = {key: 1 / (1 + len(copies.get(key, ()))) for key in moments}
    left, odd = dict(moments), dict[MachineKey, float]()
    gains: dict[MachineKey, float] = {}
    while len(left) >= FEWEST:
        without = pools_without(left, shares)
        gains = {key: gain(one, without[key]) for key, one in left.items()}
        worst = min(gains, key=lambda key: gains[key])
        if gains[worst] > 0:
            break
        odd[worst] = gains[worst]
        del left[worst]
    found = {}
    for key in moments:
        if key in odd:
            found[key] = Say(0.0, "its clips vary like noise, not like any other machine's")
        else:
            weight = float(np.clip(gains.get(key, FULL_GAIN) / FULL_GAIN, 0.0, 1.0))
            found[key] = Say(weight * shares[key], _told(copies.get(key, ())))
    return found


def pools_without(
    moments: Mapping[MachineKey, Moments], weights: Mapping[MachineKey, float]
) -> dict[MachineKey, Moments]:
    """Return, for each machine, the pool of all others of positive weight; none where there is no other."""
    pools = pooled_without_each(list(moments.values()), [weights.get(key, 0.0) for key in moments])
    return {key: pool for key, pool in zip(moments, pools, strict=True) if pool is not None}


def off_scale(means: Mapping[MachineKey, NDArray[np.float64]]) -> dict[MachineKey, float]:
    """Return the machines whose mean embeddings (N, D) are far larger or smaller than the others'.

    With each, how many times as large. Embeddings of one frozen model are of one order of magnitude; a
    thousand times that is a broken converter. What is scaled to trace one need not fear it, but a classifier.
    """
    levels = {key: float(np.median(np.linalg.norm(own, axis=1))) for key, own in means.items()}
    if len(levels) < FEWEST:
        return {}
    usual = float(np.median(list(levels.values())))
    ratios = {key: level / usual if usual > 0 else 1.0 for key, level in levels.items()}
    return {key: r for key, r in ratios.items() if not 1 / FAR <= r <= FAR}


def _copies(moments: Mapping[MachineKey, Moments]) -> dict[MachineKey, list[MachineKey]]:
    """Return the machines whose statistics are those of others, and of which."""
    leading = {key: _leading(own) for key, own in moments.items()}
    ordered = sorted(leading, key=lambda key: float(leading[key][0]))
    found: dict[MachineKey, list[MachineKey]] = {}
    for place, key in enumerate(ordered):
        largest = leading[key][0]
        for other in ordered[place + 1 :]:  # those whose largest variance is much the same
            if leading[other][0] > (1 + ALIKE) * largest:
                break
            if np.allclose(leading[other], leading[key], rtol=SAME, atol=SAME * largest):
                found.setdefault(key, []).append(other)
                found.setdefault(other, []).append(key)
    return found


def _leading(moments: Moments) -> NDArray[np.float64]:
    """Return what two machines share only where one is the other: variances, and where axes point."""
    axes = np.zeros((3, moments.dimensions))
    axes[: min(3, len(moments.axes))] = moments.axes[:3]
    return np.concatenate([np.square(axes).sum(axis=1), np.square(axes).ravel()])


def _told(copies: list[MachineKey] | tuple[()]) -> str:
    if not copies:
        return ""
    names = ", ".join("/".join(key) for key in sorted(copies)[:NAMED])
    more = f" and {len(copies) - NAMED} more" if len(copies) > NAMED else ""
    return f"its statistics are those of {names}{more}: they count once together"
