"""The words of the dashboard in English, German and Japanese; ``words.toml`` holds them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "ja")
Say = Callable[..., str]


@cache
def table() -> dict[str, dict[str, str]]:
    """Return all words, by language and key."""
    return tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))


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


def span(say: Say, seconds: float) -> str:
    """Return how long ago something was, to the unit that matters."""
    if seconds < 5:
        return say("just_now")
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length:
            return say("ago", f"{seconds / length:.0f} {unit}")
    return say("just_now")
