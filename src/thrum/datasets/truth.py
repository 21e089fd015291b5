"""The truth of evaluation recordings, which the organisers publish apart from them.

::

    eval_data_list.csv       2020: a row with the machine, then rows file,original name,0|1
    ground_truth_data/       2021 on: one CSV a machine ID, rows file,0 normal|1 anomaly
        ground_truth_<machine>_section_<XX>_{source,target}_test.csv    2021
        ground_truth_<machine>_section_<XX>_test.csv                    2022 on
    ground_truth_domain/     2022 on: CSVs of the same names, rows file,0 source|1 target

``ground_truth_attributes`` is not read: in 2022 it contradicts the other two (ToyCar, ToyTrain).
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from thrum.datasets import listing
from thrum.errors import DatasetError
from thrum.types import Clip, Domain, Label

_TABLE = re.compile(
    r"ground_truth_(?P<machine>.+)_(?P<machine_id>section_\d+)(?:_(?P<domain>source|target))?_test"
)
_LABELS: dict[str, Label] = {"0": "normal", "1": "anomaly"}
_DOMAINS: dict[str, Domain] = {"0": "source", "1": "target"}


V = TypeVar("V")


class Known(NamedTuple):
    """What the truth says of one clip."""

    label: Label
    domain: Domain | None


Truth = dict[tuple[str, str], dict[str, Known]]
"""By machine and machine ID, then by file name without its suffix."""


def find(folders: Iterable[Path]) -> Path | None:
    """Return the folder that holds truth: one of `folders`, or a sub-folder ``ground_truth``."""
    candidates = [path for folder in folders for path in (folder, folder / "ground_truth")]
    found = [
        path
        for path in candidates
        if (path / "eval_data_list.csv").is_file() or (path / "ground_truth_data").is_dir()
    ]
    if len(found) > 1:
        raise DatasetError(f"there is truth in {listing.first_few(found)}: keep one")
    return found[0] if found else None


def read(folder: Path) -> Truth:
    """Return the truth in `folder`.

    Raises
    ------
    DatasetError
        Where the folder or a row in it is not of the layout above.
    """
    truth: Truth = defaultdict(dict)
    if (folder / "eval_data_list.csv").is_file():
        _read_list(folder / "eval_data_list.csv", truth)
    elif (folder / "ground_truth_data").is_dir():
        for path in sorted((folder / "ground_truth_data").glob("*.csv")):
            _read_table(path, folder / "ground_truth_domain" / path.name, truth)
    if not truth:
        raise DatasetError(
            f"no truth in {folder}: wanted eval_data_list.csv (2020) or a folder ground_truth_data "
            f"(from 2021 on), as the organisers publish them"
        )
    return dict(truth)


def apply(
    truth: Truth, clips: Iterable[Clip], *, folder: Path, left_out: listing.LeftOut
) -> list[Clip]:
    """Return `clips`, those without a label with the label and domain that `truth` tells.

    Clips that it tells of and that are not there are noted in `left_out`.

    Raises
    ------
    DatasetError
        Where it does not tell of a clip that has no label, or contradicts a file name.
    """
    labelled: list[Clip] = []
    missing: list[str] = []
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in clips:
        known = truth.get(clip.machine_key, {})
        found = known.get(clip.path.stem)
        if clip.label is not None:
            labelled.append(clip)
        elif found is None:
            missing.append(f"{clip.machine}/{clip.name}")
        elif clip.domain not in (None, found.domain):
            raise DatasetError(
                f"{clip.path} is of the {clip.domain} domain by its name, and of the "
                f"{found.domain} domain in {folder}"
            )
        else:
            seen[clip.machine_key].add(clip.path.stem)
            labelled.append(replace(clip, label=found.label, domain=found.domain))
    if missing:
        about = listing.first_few(["/".join(key) for key in sorted(truth)])
        raise DatasetError(
            f"{folder} does not tell the truth of {len(missing)} clips: "
            f"{listing.first_few(missing)}; it is about {about}. Take the truth of the same year, "
            f"or move it away"
        )
    for key, names in seen.items():
        if absent := sorted(truth[key].keys() - names):
            reason = f"{len(absent)} clips of {'/'.join(key)} are not there: "
            left_out.append((folder, reason + listing.first_few(absent)))
    return labelled


def _read_list(path: Path, truth: Truth) -> None:
    machine = ""
    for line, row in rows(path):
        if len(row) == 1:
            machine = row[0]
            continue
        machine_id = re.search(r"id_\d+", row[0])
        if not machine or machine_id is None or len(row) != 3 or row[2] not in _LABELS:
            raise DatasetError(
                f"{path}, line {line}: got {','.join(row)!r}, wanted a machine or "
                f"'renamed,original,0|1'"
            )
        clips = truth[machine, machine_id[0]]
        if Path(row[0]).stem in clips:
            raise DatasetError(f"{path}, line {line} tells the truth of {row[0]} twice")
        clips[Path(row[0]).stem] = Known(_LABELS[row[2]], None)


def _read_table(path: Path, domains_path: Path, truth: Truth) -> None:
    match = _TABLE.fullmatch(path.stem)
    if match is None:
        raise DatasetError(f"{path}: wanted a name like ground_truth_fan_section_03_test.csv")
    labels = _column(path, _LABELS)
    domain = cast("Domain | None", match["domain"])
    if domain is not None:
        domains = dict.fromkeys(labels, domain)
    elif domains_path.is_file():
        domains = _column(domains_path, _DOMAINS)
    else:
        raise DatasetError(f"{domains_path} is missing, which tells source from target")
    if missing := sorted(labels.keys() - domains.keys()):
        raise DatasetError(
            f"{domains_path} does not tell the domain of {listing.first_few(missing)}"
        )
    if unknown := sorted(domains.keys() - labels.keys()):
        raise DatasetError(
            f"{domains_path} tells the domain of clips that {path} does not know: "
            f"{listing.first_few(unknown)}"
        )
    truth[match["machine"], match["machine_id"]] |= {
        name: Known(label, domains[name]) for name, label in labels.items()
    }


def _column(path: Path, meanings: Mapping[str, V]) -> dict[str, V]:
    """Return what the second column of a CSV means, by the name in the first without suffix."""
    column: dict[str, V] = {}
    for line, row in rows(path):
        if len(row) != 2 or row[1] not in meanings:
            raise DatasetError(f"{path}, line {line}: got {','.join(row)!r}, wanted 'file,0|1'")
        name = Path(row[0]).stem
        if name in column:
            raise DatasetError(f"{path}, line {line}: {row[0]} is there twice")
        column[name] = meanings[row[1]]
    return column


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row of a CSV, without empty last cells and empty rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                while row and not row[-1].strip():
                    row.pop()
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as CSV: {error}") from error
