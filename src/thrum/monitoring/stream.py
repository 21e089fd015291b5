"""A stream of clips of one machine: what is told of each, given all before it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thrum.errors import StorageError
from thrum.monitoring.alarms import AlarmRule, AlarmSettings, Evidence, Mild, rule_of
from thrum.monitoring.conformal import Ranks, tail_p_values

REMEMBERED = 1000
"""Clips that `Stream.forget` can still take out of what is normal."""


@dataclass(frozen=True)
class Verdict:
    """What a stream says after a clip.

    Parameters
    ----------
    p
        Of the clip, among the normal clips and those of the stream before it.
    alarm
        Whether there is an alarm now.
    since
        How many clips ago its evidence begins, this clip included; 0 without an alarm.
    drift
        Whether all clips have been a little stranger than normal for long.
    """

    p: float
    alarm: bool
    since: int
    drift: bool


class Stream:
    """Alarm and drift of one machine, clip by clip.

    Each operating state has its own normal scores; the evidence of all states adds up, for their p-values
    are independent. Scores join the normal ones after they were ranked, but none while there is some evidence
    for a fault (R at √c before the clip was heard, so that the clip's own score does not decide). The rules
    ``x of y`` and ``clip`` compare with the normal clips alone, which do not change.

    Drift has a test of its own, in which no clip counts more than double (`thrum.monitoring.alarms.Mild`): a
    few very strange clips, a fault, are not called drift. A fault that is steady in all clips will be, after
    the alarm: what is said then is that *all* sound has changed, and a person has to find out why.

    Parameters
    ----------
    left_out
        Of each operating state, the left-out scores of its normal clips.
    settings
        When an alarm is raised.
    """

    def __init__(
        self,
        left_out: Mapping[str, Iterable[float]],
        settings: AlarmSettings | None = None,
    ) -> None:
        self.settings = settings or AlarmSettings()
        self._ranks = {state: Ranks(scores) for state, scores in left_out.items()}
        self._fixed = {state: Ranks(scores) for state, scores in left_out.items()}
        self._start()
        self._joined: deque[tuple[str, float] | None] = deque(maxlen=REMEMBERED)

    def hear(self, score: float, *, state: str, known: bool = True) -> Verdict:
        """Take in the score of the next clip.

        Parameters
        ----------
        state
            The operating state whose normal clips it is compared with.
        known
            False where the machine is in a state never heard: that speaks for drift, but not for a fault,
            and the score does not become a normal one.
        """
        ranks, fixed = self._ranks[state], self._fixed[state]
        p = ranks.p_value(score)
        drift = self._drift.hear(p)
        calm = self._evidence.value < math.sqrt(self.settings.between_false_alarms)
        alarm = self._rule.active
        if known:
            self._evidence.hear(p)
            alarm = self._evidence.active
            if self._rule is not self._evidence:
                alarm = self._by_rule(score, fixed)
        joins = known and calm
        if joins:
            ranks.add(score)
        self._joined.append((state, score) if joins else None)
        return Verdict(p, alarm, self._rule.clips_since_onset if alarm else 0, drift)

    def forget(self, clips: int) -> None:
        """Take the last so many clips for faulty: their scores are no longer normal ones, no alarm is on."""
        for _ in range(min(clips, len(self._joined))):
            joined = self._joined.pop()
            if joined is not None:
                self._ranks[joined[0]].remove(joined[1])
        self._start()

    def state(self) -> dict[str, Any]:
        """Return plain values from which `restore` goes on."""
        return {
            "rule": self.settings.rule,
            "scores": {state: ranks.scores for state, ranks in self._ranks.items()},
            "alarm": self._rule.state(),
            "evidence": self._evidence.state(),
            "drift": self._drift.state(),
            "joined": [list(each) if each else None for each in self._joined],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; the settings must be those of then."""
        if state.get("rule") != self.settings.rule:
            raise StorageError(
                f"the stream was kept under the rule {state.get('rule')!r}, now it is "
                f"{self.settings.rule!r}: begin a new one"
            )
        try:
            ranks = {name: Ranks(scores) for name, scores in state["scores"].items()}
            self._rule.restore(state["alarm"])
            self._evidence.restore(state["evidence"])
            self._drift.restore(state["drift"])
            joined = [None if each is None else (each[0], each[1]) for each in state["joined"]]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise StorageError(f"the kept state of a stream is not understood: {error}") from error
        self._ranks, self._joined = ranks, deque(joined, maxlen=REMEMBERED)

    def _by_rule(self, score: float, fixed: Ranks) -> bool:
        if not self.settings.tail:
            return self._rule.hear(fixed.p_value(score), len(fixed))
        p = float(tail_p_values(fixed.scores, [score])[0])
        return self._rule.hear(float(p * self.settings.between_false_alarms > 1), len(fixed))

    def _start(self) -> None:
        settings = self.settings
        fewest = min((len(ranks) for ranks in self._fixed.values()), default=0)
        self._evidence = Evidence(settings.between_false_alarms, fewest)
        self._rule: AlarmRule = self._evidence if settings.rule == "stream" else rule_of(settings)
        self._drift = Mild(settings.between_false_alarms * settings.drift_factor)
