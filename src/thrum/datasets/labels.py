"""Any layout at all, by a table that says of each file what it is, or by two patterns of names.

The table has a row a recording and a header with ``file`` (relative to the table's folder or the data's),
``label`` and any of ``machine``, ``id``, ``split``, ``domain``, ``channel`` and ``attributes``
(``speed=28V;load=2``), in any order; every other column is an attribute of its own.
"""

from __future__ import annotations

import fnmatch
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

from thrum.datasets import listing, tables
from thrum.datasets.holding import held_out
from thrum.datasets.words import meaning, words_of
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Domain, Label, Split, group_by_machine

WANTED = (
    "a table with the columns file and label; optionally machine, id, split, domain, attributes"
)

_COLUMNS = {
    "file": "file filename path filepath wav clip recording audio datei fichier archivo",
    "machine": "machine machinetype maschine",
    "id": "id machineid section individual unit",
    "split": "split set subset",
    "label": "label labels class condition state anomaly zustand klasse",
    "domain": "domain",
    "channel": "channel kanal",
    "attributes": "attributes attribute attrs",
}
_SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def by_table(root: Path, table: Path) -> Dataset:
    """Return the recordings under `root` that a table lists, as it says; what else lies there is left out.

    Without a column ``split``, normal clips are for training, but for those held out to be tested beside the
    anomalies, as for any folder.

    Raises
    ------
    DatasetError
        Where the table is no such table, names a file that is not there, or says what is not understood.
    """
    rows = tables.read(table)
    if not rows:
        raise DatasetError(f"{table} is empty: wanted {WANTED}")
    columns = _columns(table, rows[0].cells)
    left_out: listing.LeftOut = []
    files = _Files(root, table, left_out)
    clips: dict[Path, Clip] = {}
    for line, cells in rows[1:]:
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            raise DatasetError(
                f"{table}, line {line}: {len(cells)} cells under {len(columns)} columns"
            )
        told = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
        where = f"{table}, line {line}"
        if "file" not in told:
            raise DatasetError(f"{where} names no file")
        path = files.found(told.pop("file"), where)
        if path in clips:
            raise DatasetError(f"{where}: {path} is there twice")
        clips[path] = _clip(path, root, told, where)
    if files.missing:
        raise DatasetError(
            f"{table} names {len(files.missing)} files that are not there, first "
            f"{listing.first_few(files.missing)}: wanted paths relative to {root} or to {table.parent}"
        )
    left_out += [(path, f"not in {table.name}") for path in files.paths if path not in clips]
    found = list(clips.values())
    if "split" not in columns:
        found = [clip for own in group_by_machine(found).values() for clip in held_out(own)]
    return listing.dataset(found, root, wanted=WANTED, left_out=left_out)


def by_patterns(root: Path, normal: Sequence[str], anomaly: Sequence[str]) -> Dataset:
    """Return the recordings under `root` whose place matches a pattern as what it says.

    The machine is the first folder, without labels and splits above it. The second is the individual where
    some of them hold both kinds, or there are further folders in all of them; else there is one, ``id_00``.
    Folders ``train`` and ``test`` decide the split.

    Parameters
    ----------
    normal, anomaly
        Patterns of the place below `root` (``pump/baseline/*``); ``*`` also stands for folders.

    Raises
    ------
    DatasetError
        Where a recording matches patterns of both kinds, or a pattern none.
    """
    left_out: listing.LeftOut = []
    found: dict[Path, Label] = {}
    used: set[str] = set()
    for path in listing.tree(root, left_out):
        name = path.relative_to(root).as_posix()
        labels: dict[Label, str] = {}
        for label, patterns in (("normal", normal), ("anomaly", anomaly)):
            for pattern in patterns:
                if _matches(name, pattern):
                    labels[cast("Label", label)] = pattern
                    used.add(pattern)
        if len(labels) > 1:
            raise DatasetError(
                f"{path} matches {' and '.join(labels.values())}: is it normal or not?"
            )
        if labels:
            found[path] = next(iter(labels))
        else:
            left_out.append((path, "matches neither --normal nor --anomaly"))
    for pattern in (*normal, *anomaly):
        if pattern not in used:
            raise DatasetError(
                f"no recording under {root} matches {pattern!r}: wanted as pump/good/*.wav"
            )
    clips = _placed(root, found)
    decided = any(set(_parts(clip.path, root)) & set(_SPLITS) for clip in clips)
    if not decided:
        clips = [clip for own in group_by_machine(clips).values() for clip in held_out(own)]
    return listing.dataset(clips, root, wanted="--normal GLOB, --anomaly GLOB", left_out=left_out)


def _placed(root: Path, found: Mapping[Path, Label]) -> list[Clip]:
    """Return a clip of each recording, its machine and individual by the folders it lies in."""
    kinds: dict[tuple[str, str], set[Label]] = {}
    depths: dict[str, list[int]] = {}
    for path, label in found.items():
        parts = _told(path, root)
        if len(parts) > 2:
            kinds.setdefault((parts[0], parts[1]), set()).add(label)
        depths.setdefault(parts[0] if len(parts) > 1 else "", []).append(len(parts))
    clips = []
    for path, label in found.items():
        parts = _told(path, root)
        machine = parts[0] if len(parts) > 1 else root.resolve().name
        own = [labels for (name, _), labels in kinds.items() if name == machine]
        both = any(len(labels) > 1 for labels in own)
        between = both or (min(depths[machine], default=0) > 3 and {"normal"} in own)
        machine_id = parts[1] if len(parts) > 2 and between else "id_00"
        splits = {_SPLITS[part] for part in _parts(path, root) if part in _SPLITS}
        split: Split = "test" if label == "anomaly" or "test" in splits else "train"
        name = path.relative_to(root).as_posix()
        clips.append(Clip(path, machine, machine_id, split, None, label, name=name))
    return clips


def _told(path: Path, root: Path) -> list[str]:
    """Return the folders that tell the machine, and the name: without splits, and labels above machines."""
    parts = [part for part in path.relative_to(root).parts if part.casefold() not in _SPLITS]
    while len(parts) > 2 and meaning(parts[0]) is not None:
        parts = parts[1:]
    return parts


def _parts(path: Path, root: Path) -> list[str]:
    return [part.casefold() for part in path.relative_to(root).parts[:-1]]


def _matches(name: str, pattern: str) -> bool:
    """Whether a place below the root matches, whatever way its letters are composed."""
    composed = unicodedata.normalize("NFC", pattern.removeprefix("./"))
    return fnmatch.fnmatchcase(unicodedata.normalize("NFC", name), composed)


class _Files:
    """The recordings that a table may name, under whatever spelling."""

    def __init__(self, root: Path, table: Path, left_out: listing.LeftOut) -> None:
        self.paths = list(listing.tree(root, left_out))
        self.missing: list[str] = []
        self._root, self._beside = root, table.parent
        self._by_place = {_key(path.relative_to(root).as_posix()): path for path in self.paths}
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(_key(path.name), []).append(path)

    def found(self, name: str, where: str) -> Path:
        """Return the recording that a table calls `name`; note it where it is not there."""
        place = name.replace("\\", "/")
        for folder in (self._root, self._beside):
            candidate = folder / place
            for root in (self._root, self._root.resolve()):
                if candidate.is_relative_to(root) and "/" in place:
                    place = candidate.relative_to(root).as_posix()
                    break
            if (path := self._by_place.get(_key(str(PurePosixPath(place))))) is not None:
                return path
            if candidate.is_file():
                return candidate
        own = self._by_name.get(_key(place), [])
        if len(own) > 1:
            raise DatasetError(
                f"{where}: {len(own)} files are called {name}, first {listing.first_few(own)}: say which, "
                f"with its folders"
            )
        if not own:
            self.missing.append(f"{name} ({where})")
            return self._root / place
        return own[0]


def _key(place: str) -> str:
    return unicodedata.normalize("NFC", place)


def _columns(table: Path, header: Sequence[str]) -> list[str]:
    """Return what each column of a table is called here."""
    known = {word: name for name, words in _COLUMNS.items() for word in words.split()}
    columns = []
    for cell in header:
        joined = "".join(words_of(cell))
        columns.append(known.get(joined, cell.strip()))
    if "file" not in columns or "label" not in columns:
        raise DatasetError(f"{table} has the columns {', '.join(header)}: wanted {WANTED}")
    for name in _COLUMNS:
        if columns.count(name) > 1:
            raise DatasetError(
                f"{table} has two columns for {name}: {', '.join(header)}; remove one"
            )
    return columns


def _clip(path: Path, root: Path, told: dict[str, str], where: str) -> Clip:
    inside = path.is_relative_to(root)
    place = path.relative_to(root) if inside else Path(path.name)
    machine = told.pop("machine", place.parts[0] if len(place.parts) > 1 else root.resolve().name)
    machine_id = told.pop("id", "id_00")
    label = _label(told.pop("label", ""), where)
    split = _split(told.pop("split", ""), label, where)
    domain = told.pop("domain", "").casefold()
    if domain not in ("", "source", "target"):
        raise DatasetError(f"{where}: the domain is {domain!r}, wanted source, target or nothing")
    channel = told.pop("channel", "")
    if channel and not channel.isdecimal():
        raise DatasetError(
            f"{where}: the channel is {channel!r}, wanted a number from 0, or nothing"
        )
    return Clip(
        path,
        machine,
        machine_id,
        split,
        cast("Domain | None", domain or None),
        label,
        _attributes(told, where),
        int(channel) if channel else None,
        name=place.as_posix(),
    )


def _label(word: str, where: str) -> Label | None:
    known: Mapping[str, Label | None] = {
        "": None,
        **dict.fromkeys(("unknown", "none", "nan", "na", "n/a", "?"), None),
        **dict.fromkeys(("0", "0.0", "false", "no"), "normal"),
        **dict.fromkeys(("1", "1.0", "true", "yes"), "anomaly"),
    }
    if word.casefold() in known:
        return known[word.casefold()]
    said = meaning(word)
    if said is None or said == "unclear":
        raise DatasetError(
            f"{where}: the label is {word!r}, wanted normal or anomaly (or 0 or 1, or nothing where it is "
            f"not known)"
        )
    return said


def _split(word: str, label: Label | None, where: str) -> Split:
    if not word:
        return "train" if label == "normal" else "test"
    split = _SPLITS.get(word.casefold())
    if split is None:
        raise DatasetError(f"{where}: the split is {word!r}, wanted train or test")
    if split == "train" and label != "normal":
        raise DatasetError(
            f"{where} is for training and {'an anomaly' if label else 'without a label'}: training is on "
            f"normal recordings only"
        )
    return split


def _attributes(told: dict[str, str], where: str) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for pair in told.pop("attributes", "").replace("|", ";").split(";"):
        if pair.strip():
            name, equals, value = pair.partition("=")
            if not equals:
                raise DatasetError(
                    f"{where}: the attributes are {pair!r}, wanted name=value;name=value"
                )
            attributes[name.strip()] = value.strip()
    return {**attributes, **{name: value for name, value in told.items() if name}}
