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
    r"|uszkodz|awari|usterk|[ck]avitat|contamin|[ck]orro[sd]|degrad|deform|fractur|ruptur|eroded|erosion|overheat"
    r"|schlecht|mangelhaft|(?<=.{3})riss$|(?<=.{3})bruch$|verstopf|blockier|gelockert|abgenutzt|abnutzung"
    r"|uberhitz|unfahig|fehl(?:funktion|ausricht|zustand|lauf)|dysfonction|desequilibr|desalign|desaline"
    r"|desbalance|fissur|encrass|deterior|endommag|estropead|averiad|obstru|atascad"
)
_WELL_STEM = re.compile(r"healthy|nominal|normal(?!i[sz])|^gut(?:zustand|probe|muster|fall|lauf)")
_WITHOUT = re.compile(
    r"(fault|defect|damage|error|flaw|fehler|schadens?|storungs?|mangel|fel|fejl)s?(less|free|frei|los|fri|fritt)"
)
_TURNED = re.compile(r"(?:un|non|nicht|in|on|ne|nie|not)(.{4,})")
_NO_LABEL = frozenset({"default", "defaults"})

_OK_IN_GERMAN = re.compile(r"(?<![^\W_])(n\.? ?)?i\.? ?o\.?(?![^\W_])", re.IGNORECASE)

_MONTH = (
    "(?:january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|januar|februar|marz|mai|juni|juli|oktober|okt|dezember|dez"
    "|janvier|fevrier|mars|avril|juin|juillet|aout|septembre|octobre|novembre|decembre"
    "|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
)
_TIMES = (
    "(?:day|tag|jour|dia|giorno|week|woche|kw|semaine|semana|month|monat|mois|mes|shift|schicht"
    "|session|sitzung|seance|sesion|run|take|trial|recording|rec|aufnahme|messung|mesure|enregistrement"
    "|medicion|grabacion|録音|収録|測定|录音)"
)
_DAY = re.compile(
    r"(19|20)\d\d([-_. ]?(0?[1-9]|1[0-2])([-_. ]?(0?[1-9]|[12]\d|3[01]))?)?([-_t ]+\d\d([-_:h. ]?\d\d){0,2})?"
    r"|(0?[1-9]|[12]\d|3[01])[-_. ](0?[1-9]|1[0-2])[-_. ](19|20)?\d\d|\d\d[-_:h]\d\d[-_:m]\d\d"
    r"|\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rf"|{_TIMES}[-_ ]?\d+"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|(mon|diens|donners|frei|sams|sonn)tag|mittwoch"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miercoles|jueves|viernes|sabado|domingo"
    rf"|({_MONTH}[-_. ]*)?(19|20)\d\d[-_. ]*{_MONTH}|{_MONTH}([-_. ]*((19|20)?\d\d))?"
    r"|((19|20)\d\d年)?(\d{1,2}月)?(\d{1,2}日)?|\d{1,2}日目"
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
        spaced = re.sub("[-_]+", " ", text.casefold())
        if written in spaced:
            said.add(what)
            text = spaced.replace(written, " ")
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
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", _plain(name))
    apart = re.sub(r"(?<=[A-Za-z])(?=[^\x00-\x7f])|(?<=[^\x00-\x7f])(?=[A-Za-z])", " ", apart)
    return re.findall(r"[^\W\d_]+", apart.casefold())


def _plain(name: str) -> str:
    """Return a name without accents."""
    parts = unicodedata.normalize(
        "NFKD", name.replace("ł", "l").replace("ı", "i").replace("ß", "ss")
    )
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def is_day(name: str) -> bool:
    """Whether a folder is called by when its recordings were made: a day, a month, a session."""
    return bool(name) and _DAY.fullmatch(" ".join(_plain(name).casefold().split())) is not None


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
