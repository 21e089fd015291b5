"""Three rules that turn p-values into alarms, each with a promise: clips between false alarms, on average.

`Evidence` wants p-values that are independent and uniform (or larger) as long as all is normal: those of
`thrum.monitoring.conformal.Ranks`. `WithinLast` takes plain ones, and accounts for the finite set that they
come from. A false alarm is counted once, when it begins.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from thrum import config as configs
from thrum.errors import ConfigError
from thrum.sentences import Sentence

Rule = Literal["stream", "x of y", "clip"]


@dataclass(frozen=True)
class AlarmSettings:
    """When an alarm is raised; all defaults are ours.

    Parameters
    ----------
    rule
        ``stream``: evidence is added up from clip to clip. ``x of y``: `x` of the last `y` clips are strange.
        ``clip``: one clip is enough.
    between_false_alarms
        Clips that shall lie between two false alarms on average, while all is normal.
    x, y
        Of the rule ``x of y``.
    suspicious
        Clips with a p-value up to here are called suspicious, alarm or none.
    drift_factor
        Drift is said falsely so many times as seldom as a fault.
    tail
        **An assumption, not a promise**: for the rule ``clip``, p-values go on beyond what the normal clips
        can tell, as a Pareto tail does (`thrum.monitoring.conformal.tail_p_values`).
    """

    rule: Rule = "stream"
    between_false_alarms: float = 1000.0
    x: int = 3
    y: int = 5
    suspicious: float = 0.05
    drift_factor: float = 10.0
    tail: bool = False

    def __post_init__(self) -> None:
        configs.require_at_least(self, x=1, y=1)
        configs.require_positive(self, "drift_factor")
        if not (math.isfinite(self.between_false_alarms) and self.between_false_alarms >= 2):
            raise ConfigError(
                f"between_false_alarms is {self.between_false_alarms}, wanted 2 clips or more"
            )
        if self.x > self.y:
            raise ConfigError(
                f"{self.x} of the last {self.y} clips cannot be strange: wanted x ≤ y"
            )
        if self.tail and self.rule != "clip":
            raise ConfigError(f"the tail model is for the rule 'clip', not for {self.rule!r}")
        if not 0 < self.suspicious < 1:
            raise ConfigError(f"suspicious is {self.suspicious}, wanted between 0 and 1")


class AlarmRule(ABC):
    """Hears p-values one after the other; `active` says whether there is an alarm."""

    active: bool = False

    @abstractmethod
    def hear(self, p: float, clips: int) -> bool:
        """Take in the next p-value, beside `clips` normal ones; return whether there is an alarm now."""

    @property
    @abstractmethod
    def clips_since_onset(self) -> int:
        """How many of the last clips the evidence comes from, the last one included; 0 without any."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return plain values from which `restore` goes on."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""


class Evidence(AlarmRule):
    r"""A Shiryaev–Roberts statistic on conformal p-values: the mean of several, one a bet.

    The bets are steps: a p-value up to a counts `SHARE` / a, any other (1 − `SHARE`) / (1 − a). On Gaussian
    scores, shifted by 1 to 6 deviations, means of such steps raised the alarm sooner than powers of p and
    than both together. They are on strange clips only: that all clips are a little stranger is drift, not a
    fault.

    .. math:: R^i_t = (1 + R^i_{t-1}) f_i(p_t), \quad R^i_0 = 0, \quad R_t = \sum_i w_i R^i_t

    Each bet :math:`f_i` has mean 1 or less under a p-value that is uniform or larger, so :math:`R_t - t` is a
    supermartingale, and the first clip with :math:`R_t \ge c` comes after c clips or more on average. (Vovk,
    Nouretdinov and Gammerman, *Testing exchangeability on-line*, 2003; Vovk and others, *Retrain or not
    retrain: conformal test martingales for change-point detection*, 2021.) The mean of the statistics, not of
    the bets, lets the bet that fits grow as fast as if it had been known.

    The alarm stays until the evidence is gone (R below 1), then the count begins anew.

    Parameters
    ----------
    between_false_alarms
        c.
    clips
        How many normal clips there are at the beginning: with few, coarser bets are needed.
    """

    STEPS: tuple[float, ...] = (0.01, 0.02, 0.05)
    COARSE: tuple[float, ...] = (0.1, 0.2, 0.4)
    SHARE = 0.8
    RANKS = 4
    # Plain lists: of three numbers they are ten times as fast as arrays, and there is a clip every instant.
    _values: list[float]
    _sums: list[float]
    _age: list[int]

    def __init__(self, between_false_alarms: float, clips: int = 1000) -> None:
        self.limit = between_false_alarms
        # Coarser bets until one is within reach of `RANKS` ranks; beyond that, drift would win them.
        steps = [*self.STEPS]
        for coarser in self.COARSE:
            if steps[-1] * (clips + 1) < self.RANKS:
                steps.append(coarser)
        self._steps = tuple(steps)
        self._start()

    def hear(self, p: float, clips: int = 0) -> bool:
        """Take in the next p-value; how many normal clips there are plays no part."""
        bets = self._bets(p)
        for place, bet in enumerate(bets):
            # A bet's own evidence for a change since some clip, and that clip (Page, 1954).
            fresh = self._sums[place] <= 0
            self._age[place] = 1 if fresh else self._age[place] + 1
            self._sums[place] = max(self._sums[place], 0.0) + math.log(bet)
            self._values[place] = (1 + self._values[place]) * bet
        total = self.value
        if not self.active and total >= self.limit:
            self.active = True
        if self.active:
            if total > self.limit:  # what is too much would take too long to go
                self._values = [value * self.limit / total for value in self._values]
                self._sums = [min(each, math.log(self.limit)) for each in self._sums]
            elif total < 1:
                self._start()
        return self.active

    @property
    def value(self) -> float:
        """R, to be held against the clips between false alarms."""
        return sum(self._values) / len(self._values)

    @property
    def clips_since_onset(self) -> int:
        """How many clips ago the best bet's evidence begins."""
        best = self._values.index(max(self._values))
        return self._age[best] if self._sums[best] > 0 else 0

    def state(self) -> dict[str, Any]:
        """Return plain values from which `restore` goes on."""
        return {
            "active": self.active,
            "values": list(self._values),
            "sums": list(self._sums),
            "age": list(self._age),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.active = bool(state["active"])
        self._values = [float(value) for value in state["values"]]
        self._sums = [float(value) for value in state["sums"]]
        self._age = [int(value) for value in state["age"]]

    def _start(self) -> None:
        self.active = False
        self._values = [0.0] * len(self._steps)
        self._sums = [0.0] * len(self._steps)
        self._age = [0] * len(self._steps)

    def _bets(self, p: float) -> list[float]:
        return [
            self.SHARE / step if p <= step else (1 - self.SHARE) / (1 - step)
            for step in self._steps
        ]


class Mild(Evidence):
    """The same for what is a little stranger for long: no clip counts more than double.

    The bets are 1 + λ (1 − 2 p). However strange a few clips are, they cannot speak for all: it takes
    log2(c) clips at least.
    """

    STEPS: tuple[float, ...] = (0.5, 1.0)  # λ

    def _bets(self, p: float) -> list[float]:
        return [max(1 + step * (1 - 2 * p), 1e-9) for step in self._steps]


class WithinLast(AlarmRule):
    """At least x of the last y clips have p-values up to a level: what plants call "x of y".

    An alarm can only begin at a strange clip before which x − 1 of y − 1 were strange too. The rule compares
    with a fixed set of n normal clips, so the share of normal clips that it finds strange is not known: at
    level k / (n + 1) it is distributed as Beta(k, n + 1 − k) over such sets (Vovk, *Conditional validity of
    inductive conformal predictors*, 2012). The level is the highest at which alarms begin, on the mean over
    sets, no more often than was asked.
    """

    def __init__(self, x: int, y: int, between_false_alarms: float) -> None:
        self.x, self.y = x, y
        self.between_false_alarms = between_false_alarms
        self._strange: deque[bool] = deque(maxlen=y)

    def hear(self, p: float, clips: int) -> bool:
        """Take in the next p-value, beside `clips` normal ones."""
        level = highest_level(self.x, self.y, self.between_false_alarms, clips)
        self._strange.append(p <= level * (1 + 1e-9))
        self.active = sum(self._strange) >= self.x
        return self.active

    @property
    def clips_since_onset(self) -> int:
        """How many clips ago the first strange one of the last y is."""
        known = list(self._strange)
        return len(known) - known.index(True) if True in known else 0

    def state(self) -> dict[str, Any]:
        """Return plain values from which `restore` goes on."""
        return {"strange": [bool(each) for each in self._strange]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._strange = deque((bool(each) for each in state["strange"]), maxlen=self.y)
        self.active = sum(self._strange) >= self.x


@cache
def highest_level(x: int, y: int, between_false_alarms: float, clips: int) -> float:
    """Return the level of `WithinLast` with so many normal clips: k / (n + 1), 0 where none will do.

    For each k the mean of α P[Bin(y − 1, α) ≥ x − 1] over α ~ Beta(k, n + 1 − k) is a sum of beta functions.
    """
    best = 0
    low, high = 1, clips  # the mean rises with k
    while low <= high:
        k = (low + high) // 2
        if _begins(x, y, k, clips) * between_false_alarms <= 1 + 1e-9:
            best, low = k, k + 1
        else:
            high = k - 1
    return best / (clips + 1)


def _begins(x: int, y: int, k: int, n: int) -> float:
    """Return how often alarms begin at level k / (n + 1), the mean over sets of n normal clips."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    whole = log_beta(k, n + 1 - k)
    return sum(
        math.comb(y - 1, more)
        * math.exp(log_beta(k + 1 + more, n + 1 - k + (y - 1 - more)) - whole)
        for more in range(x - 1, y)
    )


def rule_of(settings: AlarmSettings) -> AlarmRule:
    """Return the rule that the settings name."""
    if settings.rule == "stream":
        return Evidence(settings.between_false_alarms)
    return WithinLast(*_of(settings), settings.between_false_alarms)


def promise(settings: AlarmSettings, clips: int) -> Sentence:
    """Return in words what the settings promise with so many normal clips, or why they can raise no alarm."""
    asked = settings.between_false_alarms
    if settings.tail:
        return Sentence("assumption", asked=asked, clips=clips)
    if settings.rule != "stream" and highest_level(*_of(settings), asked, clips) == 0:
        if not clips:
            return Sentence("none", asked=asked, clips=clips)
        best = 1 / _begins(*_of(settings), 1, clips)
        return Sentence("too_few", asked=asked, clips=clips, best=best)
    return Sentence("promise", asked=asked, clips=clips)


def _of(settings: AlarmSettings) -> tuple[int, int]:
    return (settings.x, settings.y) if settings.rule == "x of y" else (1, 1)
