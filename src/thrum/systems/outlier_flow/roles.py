"""Which clips are the target's and which stand in for anomalies, and under what conditions they were made."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrum.errors import DataError
from thrum.types import Clip, rows_by_machine

MachineKey = tuple[str, str]

DOMAIN = "domain"
UNKNOWN = "unknown"
"""The value of an attribute at a clip that does not have it: one more category."""

_QUANTITY = re.compile(r"(?P<number>[-+]?\d+(?:\.\d+)?)(?P<unit>\D*)")


@dataclass(frozen=True)
class Target:
    """What one network is trained for, against all other clips.

    Parameters
    ----------
    name
        For messages.
    keys
        Its machine IDs, sorted.
    """

    name: str
    keys: tuple[MachineKey, ...]


def targets_of(clips: Sequence[Clip], chosen: Sequence[str] = ()) -> list[Target]:
    """Return the machine types; of one that has none beside it its machine IDs, each against the others.

    Of the machine types only those in `chosen`, where it is not empty.

    Raises
    ------
    DataError
        Where nothing is left to serve as pseudo-anomalous, or a chosen machine type has no clips.
    """
    machines = sorted({clip.machine for clip in clips})
    if absent := sorted(set(chosen) - set(machines)):
        known = ", ".join(machines) or "none"
        raise DataError(f"targets names {', '.join(absent)}, but the machine types are: {known}")
    targets: list[Target] = []
    for machine in machines:
        if chosen and machine not in chosen:
            continue
        keys = tuple(sorted({clip.machine_key for clip in clips if clip.machine == machine}))
        if pseudo_anomalous(clips, keys).any():
            targets.append(Target(machine, keys))
        else:
            targets += [Target("/".join(key), (key,)) for key in keys]
    alone = [target.name for target in targets if not pseudo_anomalous(clips, target.keys).any()]
    if alone or not targets:
        raise DataError(
            f"outlier exposure takes other machines' normal clips as pseudo-anomalous, so it wants two "
            f"machine IDs at least, got {', '.join(alone) or 'none'}: train with the clips of another "
            f"machine beside, of the same signal-to-noise ratio where several are there"
        )
    return targets


def pseudo_anomalous(clips: Sequence[Clip], keys: Collection[MachineKey]) -> NDArray[np.bool_]:
    """Return which clips (N,) stand in for anomalies where the machine IDs `keys` are the target.

    MIMII has one recording under three noises, each a machine type of its own: only clips under the
    target's noise do, for the others would teach the network to tell the noise.
    """
    own = np.array([clip.machine_key in keys for clip in clips])
    noises = np.array([clip.attributes.get("snr", "") for clip in clips])
    return np.asarray(~own & np.isin(noises, noises[own]))


def require_two_clips(clips: Sequence[Clip], targets: Sequence[Target]) -> None:
    """Raise a `DataError` where a machine ID of a target has less than two clips."""
    for key, rows in rows_by_machine(clips).items():
        if len(rows) < 2 and any(key in target.keys for target in targets):
            raise DataError(
                f"{'/'.join(key)} has one training clip: wanted two at least, for a covariance and for the "
                f"scale of its scores; record more, or leave this machine ID out"
            )


def parameters_of(clips: Sequence[Clip]) -> list[str]:
    """Return the names of the attributes that take two values or more in `clips`.

    Where there is none, `DOMAIN` if both domains are there; otherwise nothing.
    """
    names = sorted({name for clip in clips for name in clip.attributes})
    varying = [name for name in names if len(set(values_of(clips, name))) > 1]
    if not varying and len(set(values_of(clips, DOMAIN))) > 1:
        return [DOMAIN]
    return varying


def values_of(clips: Sequence[Clip], parameter: str) -> list[str]:
    """Return the value of an attribute, or of `DOMAIN`, at each clip."""
    if parameter == DOMAIN:
        return [clip.domain or "source" for clip in clips]
    return [clip.attributes.get(parameter, UNKNOWN) for clip in clips]


def combinations_of(clips: Sequence[Clip]) -> list[str]:
    """Return all attributes of each clip as one value."""
    return [
        " ".join(f"{name}={value}" for name, value in sorted(c.attributes.items())) for c in clips
    ]


def latent_means(values: Sequence[str], *, separation: float) -> NDArray[np.float64]:
    """Return k·v of each clip (N,), k = `separation` over the smallest distance of two values.

    Quantities of one unit are numbers, anything else counts as 0, 1, 2 … in alphabetical order
    (section 4.2). v is measured from the mean of the values that occur, which is ours: speeds of 60 to 110
    would begin 30 deviations from where latents are, and where a scale has its zero says nothing.
    """
    numbers = _numbers(values)
    different = np.unique(numbers)
    if len(different) < 2:
        return np.zeros(len(values))
    scale = separation / np.diff(different).min()
    return np.asarray(scale * (numbers - different.mean()))


def one_hot(values: Sequence[str]) -> NDArray[np.float32]:
    """Return which of K different values, in alphabetical order, each clip has: (N, K)."""
    different = sorted(set(values))
    return np.array([[value == other for other in different] for value in values], np.float32)


def _numbers(values: Sequence[str]) -> NDArray[np.float64]:
    found = [_QUANTITY.fullmatch(value) for value in values]
    quantities = [match for match in found if match is not None]
    if len(quantities) == len(values) and len({match["unit"] for match in quantities}) == 1:
        return np.array([float(match["number"]) for match in quantities])
    different = sorted(set(values))
    return np.array([float(different.index(value)) for value in values])
