"""Names that look like classes, of which nobody can say whether they are normal: asked about, never guessed.

``pump/{class_0,class_1}``, ``bearing/{N,B,IR}`` and ``pump/{before,after}`` may be machines of their own, or
well and ill ones. So may files called ``0_….wav`` and ``1_….wav``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from thrum.datasets.words import words_of
from thrum.errors import DatasetError

_PAIRS = frozenset(
    map(
        frozenset,
        [
            *[("0", "1"), ("n", "a"), ("h", "f"), ("g", "b"), ("pos", "neg"), ("yes", "no")],
            *[("positive", "negative"), ("true", "false"), ("before", "after"), ("new", "old")],
            *[("new", "used"), ("vorher", "nachher"), ("vor", "nach"), ("neu", "alt")],
            *[("neu", "gebraucht"), ("avant", "apres"), ("neuf", "use"), ("neuf", "usage")],
            *[("antes", "despues"), ("nuevo", "viejo"), ("nuevo", "usado"), ("prima", "dopo")],
            *[
                ("前", "後"),
                ("修理前", "修理後"),
                ("交換前", "交換後"),
                ("新", "旧"),
                ("陽性", "陰性"),
            ],
        ],
    )
)
"""Names of two folders that are as often classes as machines; without the words that both have."""
_BEARING = frozenset(
    [
        *["n", "h", "b", "ir", "or", "re", "if", "of", "bf", "irf", "orf", "irb"],
        *["inner", "outer", "ball", "cage", "roller"],
    ]
)
"""What is ill of a bearing, beside N for normal and H for healthy."""
_CLASS = (
    r"(label|class|category|severity|condition|state|status|health|grade|fault ?type|level|klasse"
    r"|zustand|schweregrad|stufe|classe|etat|gravite|clase|estado|gravedad|condicion|stato|クラス|ラベル|レベル|状態|类别|标签|状态)"
)
_NUMBERED = re.compile(rf"{_CLASS}[-_ ]?(\d+|[a-d])")
_WITH_NUMBER = re.compile(rf"(?<![^\W\d_]){_CLASS}[-_ ]?(\d+)(?!\d)")
_FIRST = re.compile(r"([01])[-_ ]")
_PLACE = re.compile(
    r"(ch|channel|kanal|canal|voie|mic|mikrofon|microphone|micro|mikro|sensor|capteur|マイク|チャンネル)"
    r"[-_ ]?\d+"
    r"|left|right|front|rear|links|rechts|gauche|droite|izquierda|derecha|左|右"
)
_SETTING = re.compile(
    r"(speed|load|rpm|drehzahl|last|vitesse|charge|velocidad|carga|snr)[-_ ]?\d+"
    r"|-?\d+([.,]\d+)?[-_ ]?(rpm|u_min|hz|v|kw|w|nm|db|bar|%)"
)

_logger = logging.getLogger(__name__)


def require_no_classes(folder: Path, names: Sequence[str]) -> None:
    """Raise a `DatasetError` where the folders in that of a machine are called as classes often are.

    Where they are called like microphones or operating conditions, a warning in the log says what they were
    taken for.
    """
    plain = [name.casefold() for name in names]
    if len(plain) < 2:
        return
    words = [words_of(name) for name in names]
    in_all = set(words[0]).intersection(*words[1:])
    rest = frozenset(" ".join(word for word in own if word not in in_all) for own in words)
    if (
        {frozenset(plain), rest} & _PAIRS
        or set(plain) <= _BEARING
        or all(map(_NUMBERED.fullmatch, plain))
    ):
        raise DatasetError(
            f"{folder} has the folders {', '.join(sorted(names)[:4])}: are these machines of their own, or "
            f"normal and anomaly? Rename them, or say what is what with --labels CSV, or --normal GLOB "
            f"--anomaly GLOB"
        )
    for pattern, what in ((_PLACE, "microphones"), (_SETTING, "operating conditions")):
        if all(map(pattern.fullmatch, plain)):
            _logger.warning(
                "%s: %s are taken for machines of their own; if they are %s of one machine, say so with "
                "--labels CSV (a table with the columns file, machine and label)",
                *(folder, ", ".join(sorted(names)[:4]), what),
            )


def require_no_classes_in(files: Sequence[Path]) -> None:
    """Raise a `DatasetError` where files' names tell classes by number (``0_a.wav``, ``a_label1.wav``)."""
    stems = [path.stem.casefold() for path in files]
    told = [match[2] for stem in stems if (match := _WITH_NUMBER.search(stem))]
    first = [match[1] for stem in stems if (match := _FIRST.match(stem))]
    by_first = len(first) == len(stems) and min(first.count("0"), first.count("1")) > 1
    if by_first or (len(told) == len(stems) and 1 < len(set(told)) <= len(told) // 2):
        raise DatasetError(
            f"{files[0].parent} has recordings called {files[0].name} and {files[-1].name}: do the numbers "
            f"say normal and anomaly? Then say what is what with --labels CSV, or --normal GLOB --anomaly "
            f"GLOB; where all are normal, with --normal '{files[0].parent.name}/*'"
        )
