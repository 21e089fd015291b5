"""What a monitor says in sentences: each is made from a key and values, so that any language can say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ENGLISH: Mapping[str, str] = {
    "louder": "{db:.0f} dB louder than the loudest normal clips ({level:.0f} dB against {low:.0f} to "
    "{high:.0f} dB)",
    "quieter": "{db:.0f} dB quieter than the quietest normal clips ({level:.0f} dB against {low:.0f} to "
    "{high:.0f} dB)",
    "band_louder": "{low} to {high}: up to {db:.0f} dB louder than usual",
    "band_quieter": "{low} to {high}: up to {db:.0f} dB quieter than usual",
    "new_tone": "new tone at {hz:.0f} Hz, {db:.0f} dB above what is around it",
    "new_tones": (
        "new tone at {hz:.0f} Hz, {db:.0f} dB above what is around it, with its harmonics {harmonics}"
    ),
    "missing_tone": "missing tone at {hz:.0f} Hz, {db:.0f} dB above what is around it",
    "missing_tones": (
        "missing tone at {hz:.0f} Hz, {db:.0f} dB above what is around it, with its harmonics "
        "{harmonics}"
    ),
    "knocks": "knocks {hz:.1f} times a second ({a_minute:.0f} a minute): {share:.0f} % of the envelope "
    "above 1 kHz, normal clips {normal:.0f} % at the most",
    "all_the_time": "{low:.0f} to {high:.0f} Hz, all the time",
    "a_moment": "{begin:.1f} to {end:.1f} s, {low:.0f} to {high:.0f} Hz",
    "frames": "frames {begin:.0f} to {end:.0f}, dimensions {low:.0f} to {high:.0f}",
    "no_sound": "no sound: {level:.0f} dB against full scale, a microphone that is on hears more than "
    "{least:.0f} dB; is it connected?",
    "deaf": "the input {name} is {health}: nothing is known of the machine",
    "known_clip": "one of the normal clips that it knows: scored as if it did not",
    "unlike": "unlike any sound that it knows: a state never heard, or a fault that changes all of the "
    "sound; listen to it",
    "other_name": "its name says {named}, this monitor is of {own}",
    "short": (
        "{seconds:.1f} s long, those learnt have {learnt:g} s: its score may be higher for that alone"
    ),
    "promise": (
        "at most one false alarm in {asked:,.0f} clips on average, as long as normal sound stays as "
        "the {clips} normal clips have it"
    ),
    "assumption": (
        "one false alarm in {asked:,.0f} clips, if scores go on as a Pareto tail beyond the {clips} "
        "normal clips: an assumption, not a promise"
    ),
    "too_few": (
        "{clips} normal clips can promise at best one false alarm in {best:,.0f} clips by this rule, "
        "one in {asked:,.0f} was asked for: it will raise no alarm. Add confirmed normal clips, ask "
        "for less, or take the rule 'stream', which adds up what several clips say"
    ),
    "none": (
        "{clips} normal clips can promise nothing by this rule, one in {asked:,.0f} was asked for: it"
        " will raise no alarm. Add confirmed normal clips, ask for less, or take the rule 'stream', "
        "which adds up what several clips say"
    ),
}
"""Each sentence by its key; who speaks another language has the same keys and the same values."""


class Sentence(str):
    """A sentence in English that knows what it was made from.

    Parameters
    ----------
    key
        Of `ENGLISH`.
    values
        Figures and names that stand in it.
    """

    key: str
    values: Mapping[str, Any]

    def __new__(cls, key: str, **values: Any) -> Sentence:
        """Make the sentence of a key."""
        made = super().__new__(cls, ENGLISH[key].format(**values))
        made.key, made.values = key, values
        return made

    def __reduce__(self) -> tuple[Callable[..., Sentence], tuple[str, dict[str, Any]]]:
        """Stay a sentence where it is copied or sent to another process."""
        return _made, (self.key, dict(self.values))


def coded(text: str) -> Any:
    """Return a sentence as JSON holds it, [key, values]; other text as it is."""
    return [text.key, dict(text.values)] if isinstance(text, Sentence) else text


def decoded(told: Any) -> str:
    """Return what `coded` gave; what another version of thrum had said, as it can be read."""
    if isinstance(told, str):
        return told
    key, values = told
    try:
        return Sentence(key, **values)
    except (KeyError, TypeError, ValueError):
        return str(key)


def _made(key: str, values: dict[str, Any]) -> Sentence:
    return Sentence(key, **values)
