"""Write docs/protocol.md from the definitions of the messages, so that it says what is checked.

    python docs/generate_protocol.py [--check]

``--check`` writes nothing and fails where the page is not what the definitions of the messages make.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as kinds

from thrum.federation import (
    mask_messages,
    messages,
    piece_messages,
    result_messages,
    statistics_messages,
)
from thrum.federation.protocol import QUESTIONS
from thrum.federation.scoring import messages as scoring_messages

PAGE = Path(__file__).parent / "protocol.md"
MODULES = (
    messages,
    piece_messages,
    result_messages,
    statistics_messages,
    mask_messages,
    scoring_messages,
)
ANSWERS = {
    "describe": messages.Description,
    "manifest": piece_messages.Manifest,
    "chunk": piece_messages.Chunk,
    "statistics": statistics_messages.Statistics,
    "mask_keys": mask_messages.MaskKeys,
    "mask_shares": mask_messages.MaskShares,
    "mask_values": mask_messages.Masked,
    "unmask": mask_messages.Unmasking,
}
ABOVE = """\
# The protocol

Made by `python docs/generate_protocol.py` from `thrum.federation.messages`; what stands here is what is
checked when a message arrives, before anything is done with it. Version {major}.{minor}: peers whose
major numbers are the same and whose minor numbers differ by {apart} at most understand each other,
because unknown fields are ignored and new ones have a default. Others are refused when they join.

The server asks, a site answers; who is who is in no message, it is what the certificates say
([deployment](deployment.md)). What leaves a site, and what that gives away, stands in
[collaboration](collaboration.md). What does not fit its definition is refused: by the server with an
error that names the site, and by a site with `accepted: false` where something came down, so that the
round goes on and the site keeps the scores that it has by itself. Beyond the tables, the server
compares what comes with what was announced (clips, places, bytes, dimensions), holds a site to its
quota (`--max-clips`, `--max-gigabytes`), and a site compares a classifier's arrays with its description
before it takes memory, refuses values that are not finite, and tries the classifier on a clip of its
own. A list that is longer than what was described before is refused before it is read, so that what is
broken costs its receiver less than 50 ms of processor time (`tests/federation/test_message_fuzz.py`, a
million messages of all kinds); a whole list of pieces costs less than 1 µs a clip. Names are usable as file
names, of {name} bytes at most, and hold nothing that cannot be printed.
Errors of either side travel as their kind alone.

| question | says | answer |
|---|---|---|
{questions}

Between rounds the engine carries one more question, for the site's resources; a site that goes on answers
it with an [Announcement](#announcement), as JSON. Beside these, a site answers a question that it cannot
answer with a [Failure](#failure), and the server ends a round with a [Conclusion](#conclusion).

Between rounds of Algorithm 2 a site asks, and the server answers: a [NewClipsQuestion](#newclipsquestion)
as MessagePack by HTTPS (`POST /scores`), certificates of both sides shown, the question signed by the
site's key in the header `Thrum-Signature` (RSA-PSS or ECDSA, SHA-256). It is answered once, within five
minutes of its time, for machines of that site alone, with a [ScoresMessage](#scoresmessage); else with a
[Failure](#failure).
"""


def main() -> None:
    """Write the page, or check it."""
    page = rendered()
    if "--check" not in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE} is not what the messages make: python docs/generate_protocol.py")


def rendered() -> str:
    """Return the page."""
    questions = [
        f"| `{name}` | {_linked(kind)} | {_linked(ANSWERS.get(name, result_messages.Acknowledgement))} |"
        for name, kind in QUESTIONS.items()
    ]
    structs = dict.fromkeys(
        kind
        for module in MODULES
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    )
    return "\n".join(
        [
            ABOVE.format(
                major=messages.VERSION[0],
                minor=messages.VERSION[1],
                apart=messages.MINORS_APART,
                name=messages.NAME_BYTES,
                questions="\n".join(questions),
            ),
            *(section(kind) for kind in structs),
        ]
    )


def section(kind: type[msgspec.Struct]) -> str:
    """Return the section of one message."""
    info = kinds.type_info(kind)
    assert isinstance(info, kinds.StructType)
    told, meanings = _documented(kind)
    lines = [f"## {kind.__name__}", "", told, ""]
    if info.array_like:
        lines += ["Travels as a list, in this order.", ""]
    lines += ["| field | kind | |", "|---|---|---|"]
    for field in info.fields:
        optional = "" if field.required else f"; {field.default!r} where it is missing"
        lines.append(f"| `{field.name}` | {_kind(field.type)}{optional} | {meanings[field.name]} |")
    return "\n".join([*lines, ""])


def _kind(info: Any) -> str:
    """Return a type and its bounds in words."""
    if isinstance(info, kinds.Metadata):
        return _kind(info.type)
    if isinstance(info, kinds.IntType):
        return f"whole number{_between(info.ge, info.le)}"
    if isinstance(info, kinds.FloatType):
        return f"number{_between(info.ge, info.le)}"
    if isinstance(info, kinds.StrType):
        if info.pattern is not None:
            return f"text `{info.pattern.removeprefix(chr(92) + 'A').removesuffix(chr(92) + 'Z')}`"
        return f"text{_long(info.min_length, info.max_length, 'characters')}"
    if isinstance(info, kinds.BoolType):
        return "true or false"
    if isinstance(info, kinds.NoneType):
        return "nothing"
    if isinstance(info, kinds.LiteralType):
        return " or ".join(f"`{value}`" for value in info.values)
    if isinstance(info, kinds.StructType):
        return _linked(info.cls)
    if isinstance(info, kinds.TupleType):
        return "[" + ", ".join(_kind(item) for item in info.item_types) + "]"
    if isinstance(info, kinds.ListType):
        return (
            f"list{_long(info.min_length, info.max_length, 'entries')} of {_kind(info.item_type)}"
        )
    if isinstance(info, kinds.DictType):
        within = _long(info.min_length, info.max_length, "entries")
        return f"table{within}, {_kind(info.key_type)} to {_kind(info.value_type)}"
    if isinstance(info, kinds.UnionType):
        if any(isinstance(item, kinds.BoolType) for item in info.types):
            return "plain value (true or false, a number, text of 200 characters at most, nothing)"
        return ", or ".join(_kind(item) for item in info.types)
    if isinstance(info, kinds.BytesType):
        return f"bytes{_long(info.min_length, info.max_length, 'bytes').replace(' bytes', '')}"
    if isinstance(info, kinds.CustomType):
        return "array"
    raise TypeError(f"no words for {info}")


def _between(least: object, most: object) -> str:
    if least is None and most is None:
        return ""
    return f" from {least:,} to {most:,}"


def _long(least: int | None, most: int | None, what: str) -> str:
    return "" if most is None else f" of {least or 0:,} to {most:,} {what}"


def _linked(kind: type) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _documented(kind: type) -> tuple[str, dict[str, str]]:
    """Return the first words of a class's docstring, and what it says of each field."""
    text = inspect.getdoc(kind) or ""
    above, _, below = text.partition("Parameters\n----------\n")
    meanings = {}
    for names, meaning in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", below, re.MULTILINE):
        for name in names.split(", "):
            meanings[name] = " ".join(meaning.split()).replace("``", "`")
    return " ".join(above.split()).replace("``", "`"), meanings


if __name__ == "__main__":
    main()
