"""What clips say one after the other: whether there is an alarm, with the promise that the model tells.

The same as thrum's own streams (docs/monitoring.md of thrum); drift is not told here.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from thrum_edge.model import Reading

STEPS, COARSE = (0.01, 0.02, 0.05), (0.1, 0.2, 0.4)
SHARE = 0.8
RANKS = 4
MOST_SCORES = 20_000


class Evidence:
    """The mean of Shiryaev–Roberts statistics on p-values, one a bet; the alarm stays until it is gone."""

    def __init__(self, limit: float, clips: int) -> None:
        self.limit = limit
        steps = [*STEPS]
        for coarser in COARSE:
            if steps[-1] * (clips + 1) < RANKS:
                steps.append(coarser)
        self._steps = steps
        self._values = [0.0] * len(steps)
        self.active = False

    @property
    def value(self) -> float:
        """To be held against the clips between false alarms."""
        return sum(self._values) / len(self._values)

    def hear(self, p: float) -> None:
        """Take in the next p-value."""
        for place, step in enumerate(self._steps):
            bet = SHARE / step if p <= step else (1 - SHARE) / (1 - step)
            self._values[place] = (1 + self._values[place]) * bet
        total = self.value
        self.active = self.active or total >= self.limit
        if not self.active:
            return
        if total > self.limit:
            self._values = [value * self.limit / total for value in self._values]
        elif total < 1:
            self.active = False
            self._values = [0.0] * len(self._steps)


class Stream:
    """Says after each clip whether there is an alarm.

    Parameters
    ----------
    told
        What the model tells of itself.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._alarms = told["alarms"]
        self._known = {name: sorted(own) for name, own in told["left_out_scores"].items()}
        self._fixed = {name: list(own) for name, own in self._known.items()}
        self._levels = told["levels"]
        fewest = min((len(own) for own in self._known.values()), default=0)
        self._evidence = Evidence(self._alarms["between_false_alarms"], fewest)
        of_several = self._alarms["rule"] == "x of y"
        self._x: int = self._alarms["x"] if of_several else 1
        y: int = self._alarms["y"] if of_several else 1
        self._strange: deque[bool] = deque(maxlen=y)

    def hear(self, reading: Reading) -> str:
        """Take in a clip; return its state, ``alarm`` where there is one."""
        if reading.score is None or reading.state == "off":
            return reading.state
        known, fixed = self._known[reading.operating], self._fixed[reading.operating]
        if reading.state == "unknown state":  # speaks for drift, not for a fault
            return reading.state
        calm = self._evidence.value < math.sqrt(self._alarms["between_false_alarms"])
        self._evidence.hear(_p_value(known, reading.score))
        alarm = self._evidence.active
        if self._alarms["rule"] != "stream":
            level = self._levels[reading.operating]
            self._strange.append(_p_value(fixed, reading.score) <= level * (1 + 1e-9))
            alarm = sum(self._strange) >= self._x
        if calm and len(known) < MOST_SCORES:
            bisect.insort(known, reading.score)
        return "alarm" if alarm else reading.state


def _p_value(known: list[float], score: float) -> float:
    above = len(known) - bisect.bisect_left(known, score)
    return (1 + above) / (len(known) + 1)
