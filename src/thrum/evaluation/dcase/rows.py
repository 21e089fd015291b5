"""CSV files without a header, whose rows are found by the file name in the first column."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from thrum.datasets import truth
from thrum.datasets.listing import first_few
from thrum.errors import DatasetError, EvaluationError

T = TypeVar("T")


def read_scores(path: Path) -> dict[str, float]:
    """Return a finite number for each clip."""
    return _read_pairs(path, _finite, "a finite number")


def read_flags(path: Path) -> dict[str, bool]:
    """Return 0 or 1 for each clip."""
    return _read_pairs(path, _flag, "0 or 1")


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every row that is not blank."""
    try:
        yield from truth.rows(path)
    except DatasetError as error:
        raise EvaluationError(str(error)) from error


def clip_name(file_name: str) -> str:
    """Return what clips are compared by: the file's name without its folders, ``.wav`` or ``.flac``."""
    name = file_name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("wav", "flac") else name


def require_same(
    found: Collection[object], wanted: Collection[object], *, what: str, where: Path
) -> None:
    """Raise an `EvaluationError` that names what of `wanted` is missing and what else was found."""
    complaints = []
    if missing := [item for item in wanted if item not in found]:
        complaints.append(
            f"{len(missing)} of {len(wanted)} {what} are missing ({first_few(missing)})"
        )
    if foreign := [item for item in found if item not in wanted]:
        complaints.append(
            f"the truth knows nothing of {len(foreign)} {what} ({first_few(foreign)})"
        )
    if complaints:
        raise EvaluationError(f"{where}: {'; '.join(complaints)}")


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _flag(text: str) -> bool | None:
    value = _finite(text)
    return bool(value) if value in (0.0, 1.0) else None


def _read_pairs(path: Path, parse: Callable[[str], T | None], wanted: str) -> dict[str, T]:
    pairs: dict[str, T] = {}
    for line, row in rows(path):
        value = parse(row[1]) if len(row) == 2 else None
        if value is None:
            raise EvaluationError(
                f"{path}, line {line}: got {','.join(row)!r}, "
                f"wanted a file name and {wanted}, no header"
            )
        name = clip_name(row[0])
        if name in pairs:
            raise EvaluationError(f"{path}, line {line}: {row[0]} is there twice")
        pairs[name] = value
    return pairs
