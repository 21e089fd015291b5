"""CSV files without a header, whose rows are found by the file name in the first column."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from thrum.errors import EvaluationError

T = TypeVar("T")
_SHOWN = 3


def read_scores(path: Path) -> dict[str, float]:
    """Return a finite number for each file name."""
    return _read_pairs(path, finite, "a finite number")


def read_flags(path: Path) -> dict[str, bool]:
    """Return 0 or 1 (a label, a domain, a decision) for each file name."""
    return _read_pairs(path, flag, "0 or 1")


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every row that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read as CSV: {error}") from error


def require_same(
    found: Collection[object], wanted: Collection[object], *, what: str, where: Path
) -> None:
    """Raise an `EvaluationError` that names what of `wanted` is missing and what else was found."""
    complaints = []
    if missing := [item for item in wanted if item not in found]:
        complaints.append(f"{len(missing)} of {len(wanted)} {what} are missing ({named(missing)})")
    if foreign := [item for item in found if item not in wanted]:
        complaints.append(f"the truth knows nothing of {len(foreign)} {what} ({named(foreign)})")
    if complaints:
        raise EvaluationError(f"{where}: {'; '.join(complaints)}")


def named(items: Iterable[object]) -> str:
    """Return the first few of `items` and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def finite(text: str) -> float | None:
    """Return a finite number, or None where `text` is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def flag(text: str) -> bool | None:
    """Return a 0 or 1 as a truth value, or None where `text` is neither."""
    value = finite(text)
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
        if row[0] in pairs:
            raise EvaluationError(f"{path}, line {line}: {row[0]} is there twice")
        pairs[row[0]] = value
    return pairs
