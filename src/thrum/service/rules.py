"""From the judgements of clips to the standing of a machine, without flapping.

::

    waiting ──► well ◄──────────────────────────────┐
                 │ x of y clips are strange         │ `well_after` clips in a row are well
                 ▼                                  │
    suspicious, unknown, off ───────────────────────┤
                 │ the rule of the monitor says so  │
                 ▼                                  │
               alarm ──── a person ────► acknowledged

An alarm stays until a person has heard it, whatever comes after.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self

from thrum.monitoring.judgement import Judgement

State = Literal["waiting", "well", "suspicious", "unknown", "off", "alarm", "acknowledged"]
STATES: tuple[State, ...] = (
    "alarm",
    "acknowledged",
    "unknown",
    "suspicious",
    "waiting",
    "off",
    "well",
)
"""Worst first."""
_WORDS: dict[str, State] = {
    "well": "well",
    "suspicious": "suspicious",
    "alarm": "alarm",
    "unknown state": "unknown",
    "off": "off",
}


@dataclass(frozen=True)
class Standing:
    """How a machine stands after its clips so far.

    Parameters
    ----------
    state
        What is shown and told.
    recent
        What was said of the last clips, the latest last.
    calm
        How many of the last clips were well, in a row.
    alarm
        The alarm that is open, acknowledged or not.
    keep
        The audio of so many more clips is kept, since there was an alarm.
    """

    state: State = "waiting"
    recent: tuple[State, ...] = ()
    calm: int = 0
    alarm: str | None = None
    keep: int = 0

    def to_json(self) -> str:
        """Return the standing as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        told = json.loads(text)
        return cls(**{**told, "recent": tuple(told["recent"])})


def after(
    standing: Standing,
    judgement: Judgement,
    *,
    alarm: str,
    suspicious_of: tuple[int, int],
    well_after: int,
) -> Standing:
    """Return the standing after one more clip.

    Parameters
    ----------
    judgement
        Of the clip; of one without sound nothing is known of the machine.
    alarm
        What an alarm that this clip raises is called.
    suspicious_of
        (x, y): so many of the last clips make a machine suspicious, unknown or off.
    well_after
        So many clips in a row that are well end that, and an acknowledged alarm.
    """
    word = _WORDS.get(judgement.state)
    if word is None:
        return standing
    x, y = suspicious_of
    recent = (*standing.recent, word)[-max(y, 1) :]
    calm = standing.calm + 1 if word == "well" else 0
    now = replace(standing, recent=recent, calm=calm, keep=max(0, standing.keep - 1))
    if standing.state == "alarm":
        return now
    if standing.state == "acknowledged":
        return replace(now, state="well", alarm=None) if calm >= well_after else now
    if word == "alarm":
        return replace(now, state="alarm", alarm=alarm)
    strange: list[State] = [each for each in recent if each != "well"]
    if word != "well" and (len(strange) >= x or standing.state not in ("waiting", "well")):
        return replace(now, state=max(strange, key=lambda each: (strange.count(each), each)))
    if standing.state in ("waiting", "well") or calm >= well_after:
        return replace(now, state="well")
    return now


def acknowledged(standing: Standing) -> Standing:
    """Return the standing once a person has heard the alarm."""
    return (
        replace(standing, state="acknowledged", calm=0) if standing.state == "alarm" else standing
    )


def closed(standing: Standing) -> Standing:
    """Return the standing once a person has said that the alarm was none."""
    if standing.state not in ("alarm", "acknowledged"):
        return standing
    return replace(standing, state="well", alarm=None, recent=(), calm=0)


def shown(state: str, hearing: str) -> str:
    """Return the word for people: a machine that nobody hears is never called well.

    Parameters
    ----------
    state
        Of the standing.
    hearing
        The health of the best of its inputs.
    """
    from thrum.service.health import DEAF

    return "unheard" if hearing in DEAF and state not in ("alarm", "acknowledged") else state
