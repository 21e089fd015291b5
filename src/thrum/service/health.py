"""How an input is: a microphone that is dead is never a machine that fails, and never one that is well."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thrum.monitoring.heard import SILENT_DB
from thrum.sentences import Sentence

Health = Literal[
    "waiting", "well", "silent", "constant", "clipped", "wrong rate", "unreadable", "late", "gone"
]
DEAF: frozenset[str] = frozenset({"silent", "constant", "wrong rate", "unreadable", "late", "gone"})
"""With these nothing is known of the machine. What clips is judged: a machine may have become that loud."""
LATE_FACTOR, GONE_FACTOR = 3.0, 10.0
"""Times the usual distance of two clips."""
CLIPPED_SHARE = 0.001
CLIPPED_FROM = 0.99
CONSTANT_SHARE = 0.999
"""Of neighbouring samples that are equal: no converter gives that with a microphone on it."""


@dataclass(frozen=True)
class Measured:
    """What a clip says of its input.

    Parameters
    ----------
    health
        ``well``, ``silent``, ``constant`` or ``clipped``.
    level_db
        Root mean square against full scale.
    detail
        In words.
    """

    health: Health
    level_db: float
    detail: str = ""


def measure(samples: NDArray[np.float32]) -> Measured:
    """Return what samples (S,) in [-1, 1] say of the input that they came from."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    level = 10 * math.log10(max(power, 1e-12))
    if level < SILENT_DB:
        return Measured("silent", level, Sentence("level", db=level))
    if len(samples) > 1:
        equal = float(np.mean(samples[1:] == samples[:-1]))
        if equal >= CONSTANT_SHARE:
            return Measured("constant", level, Sentence("equal", share=100 * equal))
    clipped = float(np.mean(np.abs(samples) >= CLIPPED_FROM))
    if clipped >= CLIPPED_SHARE:
        return Measured("clipped", level, Sentence("full_scale", share=100 * clipped))
    return Measured("well", level)


def by_silence(quiet_seconds: float, every_seconds: float) -> Health | None:
    """Return ``late`` or ``gone`` where nothing has come for so long; None where it is soon enough."""
    if quiet_seconds > GONE_FACTOR * every_seconds:
        return "gone"
    if quiet_seconds > LATE_FACTOR * every_seconds:
        return "late"
    return None
