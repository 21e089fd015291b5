"""Tables beside recordings: read as people's programs write them, and noticed where they hold labels."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from thrum.audio import SUFFIXES
from thrum.datasets import listing
from thrum.datasets.words import meaning, words_of
from thrum.errors import DatasetError

_TEXT = frozenset({".csv", ".tsv", ".txt"})
_NAMED = re.compile(r"label|annotation|ground.?truth|etikett|etiqueta|etichett|ラベル|标签|라벨")
_NAMED_SUFFIXES = frozenset(
    {".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods", ".json", ".xml", ".yaml", ".yml"}
)
_LABEL_WORDS = frozenset(
    {
        *(
            "label",
            "labels",
            "class",
            "anomaly",
            "anomalous",
            "condition",
            "state",
            "status",
            "health",
        ),
        *("fault", "defect", "zustand", "klasse", "etikett", "etat", "etiqueta", "estado", "stato"),
    }
)
_LARGEST = 1 << 26
"""Bytes of a table: beyond, it is none of file names."""


class Row(NamedTuple):
    """One row of a table, and the line of the file that it ends in."""

    line: int
    cells: list[str]


def read(path: Path) -> list[Row]:
    """Return the rows of a table: comma, semicolon or tab; UTF-8, UTF-16 or, as Excel has it, Windows-1252.

    Raises
    ------
    DatasetError
        Where it is missing or no table.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DatasetError(
                f"{path} has {path.stat().st_size:,} bytes: that is no table of file names"
            )
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as a table: {error.strerror}") from error
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DatasetError(f"{path} is no text, wanted a CSV; save it as CSV (UTF-8)")
    text = _decoded(content)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [
            Row(reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DatasetError(f"{path} cannot be read as CSV: {error}") from error


def require_no_labels_beside(folder: Path) -> None:
    """Raise a `DatasetError` where a file beside the recordings looks like a table of labels.

    Who put it there expects that it counts; without being told it is not read, and nothing is guessed.
    """
    for path in listing.entries(folder, []):
        if path.is_file() and _holds_labels(path):
            raise DatasetError(
                f"{path} looks like labels of the recordings, and nobody said to read it: say --labels "
                f"{path} if it has the columns file and label (and, optionally, machine, id, split, "
                f"domain, attributes), else move it away"
            )


def _holds_labels(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _NAMED_SUFFIXES and _NAMED.search(path.stem.casefold()):
        return True
    if suffix not in _TEXT or path.stat().st_size > _LARGEST:
        return False
    try:
        rows = read(path)[:20]
    except DatasetError:
        return False
    if not rows or len(rows[0].cells) < 2:
        return False
    header = {word for cell in rows[0].cells for word in words_of(cell)}
    names_files = [row for row in rows if any(_is_file_name(cell) for cell in row.cells)]
    if not names_files:
        return False
    says = any(
        meaning(cell) for row in names_files for cell in row.cells if not _is_file_name(cell)
    )
    return says or bool(header & _LABEL_WORDS)


def _is_file_name(cell: str) -> bool:
    return Path(cell).suffix.lower() in SUFFIXES


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
