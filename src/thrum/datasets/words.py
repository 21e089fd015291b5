"""What the names of folders and files say of a machine's health, in the field's main languages.

A name is cut into words (``BearingFault_07`` is *bearing*, *fault*), without accents and capitals. Words that
a language joins (``Lagerschaden``) are found by their stems. A negation turns a word round (*no fault*,
*nicht ok*, *undamaged*, *fehlerfrei*). What says both is `unclear`. The words lie in ``words.toml``.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

Meaning = Literal["normal", "anomaly", "unclear"]

_ILL_STEM = re.compile(
    r"anomal|abnormal|fault|defekt|defect|defaut|difett|defeit|fehler|schaden|schadig|kaputt|broken|damag|malfunc"
    r"|failure|verschlei|leckage|leakage|unwucht|balanc(?=.*(?:un|im))|misalign|guast|dannegg|danific|quebrad"
    r"|uszkodz|awari|usterk|cavitat|contamin|corros"
)
_WELL_STEM = re.compile(r"healthy|nominal|normal(?!i[sz])")
_WITHOUT = re.compile(
    r"(fault|defect|damage|error|flaw|fehler|schadens?|storungs?|mangel|fel|fejl)s?(less|free|frei|los|fri|fritt)"
)
_TURNED = re.compile(r"(?:un|non|nicht|in|on|ne|nie|not)(.{4,})")
_NO_LABEL = frozenset({"default", "defaults"})

_OK_IN_GERMAN = re.compile(r"(?<![^\W_])(n\.? ?)?i\.? ?o\.?(?![^\W_])", re.IGNORECASE)

_DAY = re.compile(
    r"(19|20)\d\d([-_. ]?(0?[1-9]|1[0-2])([-_. ]?(0?[1-9]|[12]\d|3[01]))?)?([-_t ]+\d\d([-_:h. ]?\d\d){0,2})?"
    r"|(0?[1-9]|[12]\d|3[01])[-_. ](0?[1-9]|1[0-2])[-_. ](19|20)?\d\d|\d\d[-_:h]\d\d[-_:m]\d\d"
    r"|\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"|(day|tag|jour|dia|giorno|week|woche|kw|semaine|semana|month|monat|shift|schicht)[-_ ]?\d+"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|(mon|diens|donners|frei|sams|sonn)tag|mittwoch"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miercoles|jueves|viernes|sabado|domingo"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
)


class _Words(NamedTuple):
    well: frozenset[str]
    ill: frozenset[str]
    no: frozenset[str]
    free: frozenset[str]
    written: tuple[tuple[str, Meaning], ...]


@cache
def _words() -> _Words:
    content: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    well, ill, no, free = (frozenset(content[name]) for name in ("well", "ill", "not", "free"))
    written = tuple((written, what) for written, what in content["written"])
    return _Words(well, ill, no, free, written)


@cache
def meaning(name: str) -> Meaning | None:
    """Return what a name says; None where it says nothing of health."""
    said: set[Meaning] = set()
    text = unicodedata.normalize("NFC", name)
    for written, what in _words().written:
        if written in text.casefold():
            said.add(what)
            text = text.casefold().replace(written, " ")
    for match in _OK_IN_GERMAN.finditer(text):
        if "." in match[0] or match[0] in ("iO", "niO", "nIO", "NIO", "nio") or match[0] == text:
            said.add("anomaly" if match[1] else "normal")
            text = text.replace(match[0], " ")
    words = words_of(text)
    for place, word in enumerate(words):
        own = _of_word(word)
        if own is None:
            continue
        before, after = words[max(place - 2, 0) : place], words[place + 1 : place + 2]
        turned = (
            set(before[-1:]) & _words().no or before[:1] == ["free"] or set(after) & _words().free
        )
        said.add(_opposite(own) if turned else own)
    if len(said) > 1:
        return "unclear"
    return next(iter(said), None)


def words_of(name: str) -> list[str]:
    """Return the words of a name, without accents, in lower case; numbers are left out."""
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name.replace("ł", "l").replace("ı", "i"))
        if not unicodedata.combining(letter)
    )
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return re.findall(r"[^\W\d_]+", apart.casefold())


def is_day(name: str) -> bool:
    """Whether a folder is called by when its recordings were made."""
    return _DAY.fullmatch(" ".join(name.casefold().split())) is not None


def _of_word(word: str) -> Literal["normal", "anomaly"] | None:
    if word in _NO_LABEL:
        return None
    if word in _words().well or _WITHOUT.fullmatch(word):
        return "normal"
    if word in _words().ill:
        return "anomaly"
    if _WITHOUT.search(word):
        return "normal"
    turned = _TURNED.fullmatch(word)
    if turned is not None and (what := _of_word(turned[1])) is not None:
        return _opposite(what)
    if _ILL_STEM.search(word):
        return "anomaly"
    return "normal" if _WELL_STEM.search(word) else None


def _opposite(what: Literal["normal", "anomaly"]) -> Literal["normal", "anomaly"]:
    return "normal" if what == "anomaly" else "anomaly"
