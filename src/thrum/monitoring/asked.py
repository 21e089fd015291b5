"""How seldom false alarms shall be, in the words of a user, as a number of clips."""

from __future__ import annotations

import re

from thrum.errors import UsageError

SECONDS = {
    "second": 1.0,
    "s": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "m": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86400.0,
    "d": 86400.0,
    "week": 7 * 86400.0,
    "w": 7 * 86400.0,
    "month": 365.25 / 12 * 86400.0,
    "year": 365.25 * 86400.0,
}
_NUMBER = r"\s*(?P<{}>[\d.]+)\s*"
_RATE = re.compile(
    _NUMBER.format("count") + r"(per|a|an|each|every|/)\s*(?P<number>[\d.]+)?\s*(?P<unit>[a-z]+)\s*"
)
_CLIPS = re.compile(
    r"\s*(?P<count>[\d.]+)\s*(in|per|/)\s*(?P<clips>[\d.]+)\s*(clips?|recordings?)?\s*"
)
_TIME = re.compile(r"\s*(?P<number>[\d.]+)\s*(?P<unit>[a-z]+)?\s*")


def clips_between(asked: str, *, every: str | None = None) -> float:
    """Return how many clips shall lie between two false alarms on average.

    Parameters
    ----------
    asked
        ``1 in 500 clips``, or ``1 per week``.
    every
        How often there is a clip, for instance ``10s``; wanted where `asked` speaks of time.

    Raises
    ------
    UsageError
        Where this is not understood, or is more than one false alarm in two clips.
    """
    rate = _CLIPS.fullmatch(asked.casefold())
    if rate:
        clips = _number(rate["clips"], asked) / _number(rate["count"], asked)
    else:
        rate = _RATE.fullmatch(asked.casefold())
        if not rate or _unit(rate["unit"]) is None:
            raise UsageError(
                f"false alarms {asked!r} are not understood: say for instance '1 in 500 clips' or "
                f"'1 per week'"
            )
        if every is None:
            raise UsageError(
                f"false alarms {asked!r} speak of time: say how often there is a clip, for instance "
                f"--every 10s"
            )
        span = _number(rate["number"] or "1", asked) * SECONDS[str(_unit(rate["unit"]))]
        clips = span / seconds_of(every) / _number(rate["count"], asked)
    if not clips >= 2:
        raise UsageError(
            f"false alarms {asked!r} are one in {clips:.3g} clips: wanted one in two at the most"
        )
    return clips


def seconds_of(time: str) -> float:
    """Return a time such as ``10s``, ``5 min`` or ``1h`` in seconds; a bare number is seconds."""
    found = _TIME.fullmatch(time.casefold())
    unit = _unit(found["unit"] or "s") if found else None
    if not found or unit is None:
        raise UsageError(f"the time {time!r} is not understood: say for instance 10s, 5min or 1h")
    return _number(found["number"], time) * SECONDS[unit]


def _unit(word: str) -> str | None:
    return next((unit for unit in (word, word.removesuffix("s")) if unit in SECONDS), None)


def _number(text: str, asked: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise UsageError(f"{asked!r} holds {text!r}, wanted a number above 0")
    return number
