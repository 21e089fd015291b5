"""The words of the dashboard in English, German and Japanese; ``words.toml`` holds them.

What is said in sentences is English already: `thrum.sentences` has the same in the other languages.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from thrum import sentences
from thrum.sentences import Sentence

LANGUAGES = ("en", "de", "ja")
Say = Callable[..., str]


@cache
def table() -> dict[str, dict[str, str]]:
    """Return all words, by language and key."""
    return tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))


def translated(language: str, text: str) -> str:
    """Return a sentence in a language, with the sentences in it; other text as it is."""
    own = sentences.table().get(language, {})
    if not isinstance(text, Sentence) or text.key not in own:
        return text
    values = {
        name: translated(language, value) if isinstance(value, str) else value
        for name, value in text.values.items()
    }
    if "health" in values:  # the one value that is itself a word
        values["health"] = speaker(language)(str(values["health"]))
    return _Figures(language).vformat(own[text.key], (), values)


class _Figures(string.Formatter):
    """Writes figures as a language does: German has its commas where English has points."""

    def __init__(self, language: str) -> None:
        self.swap = str.maketrans(",.", ".,") if language == "de" else {}

    def format_field(self, value: Any, format_spec: str) -> str:
        """Write one value."""
        written = str(super().format_field(value, format_spec))
        return written.translate(self.swap) if isinstance(value, int | float) else written


def speaker(language: str) -> Say:
    """Return what says a key in a language; a key that is none is said as it is."""
    own = table().get(language, table()["en"])

    def say(key: str, *values: object) -> str:
        word = own.get(key) or table()["en"].get(key) or key
        return word.format(*values) if values else word

    return say


def preferred(accept_language: str, otherwise: str) -> str:
    """Return the language that a browser asks for first and that there is."""
    for part in accept_language.split(",")[:20]:
        language = part.split(";")[0].strip().casefold()[:2]
        if language in LANGUAGES:
            return language
    return otherwise


def long(say: Say, hours: float) -> str:
    """Return how long something was so, to the unit that matters."""
    if hours < 2 / 60:
        return say("in_seconds", f"{3600 * hours:.0f}")
    return say("in_minutes", f"{60 * hours:.0f}") if hours < 2 else say("in_hours", f"{hours:.1f}")


def span(say: Say, seconds: float) -> str:
    """Return how long ago something was, to the unit that matters."""
    if seconds < 5:
        return say("just_now")
    for unit, length in (("n_days", 86400), ("n_hours", 3600), ("n_minutes", 60), ("n_seconds", 1)):
        if seconds >= length:
            return say("ago", say(unit, f"{seconds / length:.0f}"))
    return say("just_now")
