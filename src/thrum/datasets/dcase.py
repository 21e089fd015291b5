"""DCASE Challenge Task 2, 2020 to 2026: one table of years, one parser.

``<machine>/<folder>/<name>.wav`` (or flac). The machines lie in the root itself, in ``dev_data``
or ``eval_data`` in it, or in ``raw`` in one of these, as in the organisers' baselines. Beside
a machine's folders lie ``attributes_<XX>.csv`` (``file_name,d1p,d1v,d2p,d2v,…``) from 2022 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

from thrum.datasets import listing, truth
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Domain, Label, Split


class Place(NamedTuple):
    """Where some years' recordings lie in a machine's folder, and how they are called."""

    years: str
    folder: str
    split: Split
    name: str
    example: str


_LABEL = r"(?P<label>normal|anomaly)_"
_ID = r"(?P<machine_id>id_\d+)_\d+"
_SECTION = r"(?P<machine_id>section_\d+)_"
_DOMAIN = r"(?P<domain>source|target)_"
_NUMBER = r"\d+(?:_(?P<attributes>.*))?"

_TRAIN = rf"{_SECTION}{_DOMAIN}train_(?P<label>normal)_{_NUMBER}"
_TEST = rf"{_SECTION}(?:{_DOMAIN})?(?:test_)?(?:{_LABEL})?{_NUMBER}"
_SOURCE_TEST = rf"{_SECTION}(?P<domain>source)_test_(?:{_LABEL})?{_NUMBER}"
_TARGET_TEST = rf"{_SECTION}(?P<domain>target)_test_(?:{_LABEL})?{_NUMBER}"

PLACES = (
    Place("2020", "train", "train", f"(?P<label>normal)_{_ID}", "normal_id_00_00000000"),
    Place("2020", "test", "test", f"{_LABEL}{_ID}", "anomaly_id_00_00000000"),
    Place("2020", "test", "test", _ID, "id_01_00000000"),
    Place("2021 on", "train", "train", _TRAIN, "section_00_source_train_normal_0000_<attributes>"),
    Place("2021", "source_test", "test", _SOURCE_TEST, "section_00_source_test_normal_0000"),
    Place("2021", "target_test", "test", _TARGET_TEST, "section_03_target_test_0000"),
    Place("2022 on", "test", "test", _TEST, "section_00_source_test_anomaly_0000_<attributes>"),
)
"""The table of years. Names without a label are those of evaluation recordings."""

KEPT_OUT = {
    "supplemental": "supplemental recordings (2025 on): the machine without noise, or noise alone; "
    "not to be mistaken for training clips"
}
"""Folders of a machine whose recordings are neither for training nor for testing."""

NEAR_CHANNEL = 0
"""Of two channels in recordings called by section, left: the microphone near the machine (2026)."""

NO_ATTRIBUTES = "noAttribute"
"""What stands in file names and tables where the organisers withhold the attributes (2024 on)."""

WANTED = "<machine>/train/ and <machine>/test/ with recordings named as in the challenge"

_CONTAINERS = ("raw", "dev_data", "dev_data/raw", "eval_data", "eval_data/raw")
_FOLDERS = tuple(dict.fromkeys(place.folder for place in PLACES))
_NO_MACHINE = re.compile(r"raw|dev_data|eval_data|processed|ground_truth.*")

_Tables = Mapping[str, Mapping[str, str]]


class DCASE:
    """Reads the recordings of DCASE Challenge Task 2 of any year; see the module for the layout.

    Attributes are those of the file name (``_vel_10_loc_A``) and of the CSV together, the CSV's
    where they differ. What does not split into pairs of name and value (``_strength_1_ambient``) is
    one attribute, ``condition``, unless the CSV tells more.
    """

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether some recording in a folder of some machine is called as in the challenge."""
        return any(
            _parsed(path) is not None
            for machine in _machines(root, [])
            for name in _FOLDERS
            if (machine / name).is_dir()
            for path in listing.entries(machine / name)
        )

    @staticmethod
    def read(root: Path, *, truth_folder: Path | None = None) -> Dataset:
        """Return the clips of every machine.

        Parameters
        ----------
        truth_folder
            What the organisers publish of evaluation recordings (see `thrum.datasets.truth`); None
            takes a folder ``ground_truth`` beside the machines, or labels no such recording.

        Raises
        ------
        DatasetError
            Where a recording is called as in no year, no machine has any, or truth does not fit.
        """
        left_out: listing.LeftOut = []
        machines = list(
            listing.distinct(list(_machines(root, left_out)), path_of=lambda path: path)
        )
        clips = [clip for machine in machines for clip in _clips(machine, left_out)]
        truth_folder = truth_folder or truth.find([root, *_containers(root)])
        if truth_folder is not None:
            known = truth.read(truth_folder)
            clips = truth.apply(known, clips, folder=truth_folder, left_out=left_out)
        return listing.dataset(clips, root, wanted=WANTED, left_out=left_out)


def _containers(root: Path) -> list[Path]:
    return [root / name for name in _CONTAINERS if (root / name).is_dir()]


def _machines(root: Path, left_out: listing.LeftOut) -> Iterator[Path]:
    """Yield the folders that have a folder of recordings in them."""
    for container in (root, *_containers(root)):
        for folder in listing.folders(container):
            if any((folder / name).is_dir() for name in _FOLDERS):
                yield folder
            elif not _NO_MACHINE.fullmatch(folder.name):
                left_out.append((folder, f"none of the folders {', '.join(_FOLDERS)} in it"))


def _clips(machine: Path, left_out: listing.LeftOut) -> Iterator[Clip]:
    paths: list[Path] = []
    for folder in listing.folders(machine):
        if folder.name in _FOLDERS:
            paths += listing.recordings(folder, left_out)
        else:
            reason = f"a folder called neither {', '.join(_FOLDERS)}"
            left_out.append((folder, KEPT_OUT.get(folder.name, reason)))
    if not paths:
        left_out.append((machine, f"no recording in the folders of {machine}"))
        return
    tables = _attribute_tables(machine)
    two_channels = listing.channel_count(paths) == 2
    for path in paths:
        found = _parsed(path)
        if found is None:
            raise DatasetError(_unexpected(path))
        place, match = found
        named = match.groupdict()
        machine_id = match["machine_id"]
        yield Clip(
            path,
            machine.name,
            machine_id,
            place.split,
            cast("Domain | None", named.get("domain")),
            cast("Label | None", named.get("label")),
            _attributes(named.get("attributes") or "", tables.get(path.stem, {})),
            NEAR_CHANNEL if two_channels and machine_id.startswith("section") else None,
        )


def _parsed(path: Path) -> tuple[Place, re.Match[str]] | None:
    """Return which row of the table a recording belongs to, and what its name tells."""
    for place in PLACES:
        match = re.fullmatch(place.name, path.stem)
        if place.folder == path.parent.name and match is not None:
            return place, match
    return None


def _unexpected(path: Path) -> str:
    folder = path.parent.name
    examples = [f"{place.example} ({place.years})" for place in PLACES if place.folder == folder]
    return (
        f"{path} is called as no recording in a folder {folder} of any year: wanted a name like "
        f"{' or '.join(examples)}; rename it or move it away"
    )


def _attributes(tail: str, row: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a clip, from the end of its name and its row of the CSV."""
    tail = tail.strip("_")
    words = tail.split("_")
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    if tail in ("", NO_ATTRIBUTES):
        return dict(row)
    if 2 * len(pairs) == len(words) and not any(key[-1:].isdigit() for key in pairs):
        return {**pairs, **row}
    return dict(row) or {"condition": tail}


def _attribute_tables(machine: Path) -> _Tables:
    """Return the attributes of each clip, by its file name without suffix."""
    tables: dict[str, dict[str, str]] = {}
    for path in sorted(machine.glob("attributes_*.csv")):
        for line, (name, *cells) in truth.rows(path):
            if line > 1:
                pairs = zip(cells[::2], cells[1::2], strict=False)
                tables[PurePosixPath(name).stem] = {
                    key: value for key, value in pairs if key and value and key != NO_ATTRIBUTES
                }
            elif name != "file_name":
                raise DatasetError(f"{path} begins with {name!r}, wanted 'file_name,d1p,d1v,…'")
    return tables
