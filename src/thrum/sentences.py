"""What people are told in sentences: each is made from a key and values, so that any language can say it.

``sentences.toml`` beside this file has each sentence in English, German and Japanese.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def table() -> dict[str, dict[str, str]]:
    """Return all sentences, by language and key; in each language a sentence has the same values."""
    path = Path(__file__).with_suffix(".toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


class Sentence(str):
    """A sentence in English that knows what it was made from.

    Parameters
    ----------
    key
        Of `table`.
    values
        Figures, names and other sentences that stand in it.
    """

    key: str
    values: Mapping[str, Any]

    def __new__(cls, key: str, **values: Any) -> Sentence:
        """Make the sentence of a key."""
        made = super().__new__(cls, table()["en"][key].format(**values))
        made.key, made.values = key, values
        return made

    def __reduce__(self) -> tuple[Callable[..., Sentence], tuple[str, dict[str, Any]]]:
        """Stay a sentence where it is copied or sent to another process."""
        return _made, (self.key, dict(self.values))


def said(error: Exception) -> str:
    """Return what an error says: the sentence that it was raised with, or its words as they are."""
    told = error.args[0] if error.args else ""
    return told if isinstance(told, Sentence) else str(error)


def coded(text: str) -> Any:
    """Return a sentence as JSON holds it, [key, values]; other text as it is."""
    if not isinstance(text, Sentence):
        return text
    return [text.key, {name: coded(value) for name, value in text.values.items()}]


def decoded(told: Any) -> str:
    """Return what `coded` gave; what another version of thrum had said, as it can be read."""
    return _decoded(told) if isinstance(told, list) else str(told)


def kept(text: str) -> str:
    """Return what keeps a sentence where text alone can be kept; other text as it is."""
    return json.dumps(coded(text), ensure_ascii=False) if isinstance(text, Sentence) else text


def told(text: str) -> str:
    """Return what `kept` was given."""
    try:
        found = json.loads(text) if text.startswith('["') else text
        return decoded(found)
    except (ValueError, AttributeError):
        return text


def _decoded(told: list[Any]) -> str:
    key, values = told
    try:
        made = {
            name: _decoded(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return Sentence(key, **made)
    except (KeyError, TypeError, ValueError):
        return str(key)


def _made(key: str, values: dict[str, Any]) -> Sentence:
    return Sentence(key, **values)
