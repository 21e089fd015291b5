"""Anyone's recordings: one sub-folder a machine.

::

    <machine>/*.wav                        all normal
    <machine>/normal/*.wav                 normal
    <machine>/anomaly/*.wav                optional
    <machine>/test/{normal,anomaly}/*.wav  optional: decides the split, which is made here otherwise

Where there are several individuals of a machine, each has a folder of its own between
(``<machine>/<machine_id>/normal/*.wav``); a machine without is ``id_00``. Upper and lower case are
one, so that ``Anomaly`` is not taken for an individual and trained on; nor is a folder of a similar name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from thrum.datasets import listing
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Label, Split

NORMAL = ("normal", "train")
ANOMALY = ("anomaly", "anomalies", "abnormal")
TEST = "test"
WANTED = (
    "one sub-folder a machine, in it a folder 'normal' of wav or flac files, optionally 'anomaly'"
)

_PARTS = frozenset({*NORMAL, *ANOMALY, TEST})
_ANOMALOUS = re.compile(r"(anomal|abnormal).*")
_LIKE_A_PART = re.compile(
    r"(normal|anomal|abnormal).*|(train|test)(s|ing)?|good|ok|bad|ng|fault(s|y)?|broken|defect(s|ive)?"
)


class Folder:
    """Reads any folder of recordings; see the module for the layout.

    Where there are anomalies and no folder ``test``, normal recordings are held out to be tested
    with them: the last ones by name (2 before 10), as many as there are anomalies but at most a
    third. So where names follow time, the test is on what came after training, and not on
    neighbouring pieces of one long recording.
    """

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether `root`, one of its sub-folders or one of theirs is the folder of a machine."""
        machines = listing.folders(root)
        below = (folder for machine in machines for folder in listing.folders(machine))
        return any(map(_is_individual, [root, *machines, *below]))

    @staticmethod
    def read(root: Path) -> Dataset:
        """Return the clips of every machine.

        Raises
        ------
        DatasetError
            Where `root` is the folder of one machine, a machine has no normal recording or has them in
            two places, or a machine or an individual is called like what lies in its folder.
        """
        if _is_individual(root):
            raise DatasetError(
                f"{root} is itself the folder of one machine: give the folder above it; wanted "
                f"{WANTED}"
            )
        left_out: listing.LeftOut = []
        clips: list[Clip] = []
        for machine in listing.distinct(listing.folders(root)):
            _require_a_name([machine])
            if _is_individual(machine):
                clips += _clips(machine, machine.name, "id_00", left_out)
                continue
            individuals = [folder for folder in listing.folders(machine) if _is_individual(folder)]
            _require_a_name(individuals)
            for individual in listing.distinct(individuals):
                clips += _clips(individual, machine.name, individual.name, left_out)
            if not individuals:
                left_out.append((machine, "no recordings in it"))
        return listing.dataset(clips, root, wanted=WANTED, left_out=left_out)


def _is_individual(folder: Path) -> bool:
    parts = {path.name.casefold() for path in listing.folders(folder)}
    return bool(parts & _PARTS) or listing.has_recordings(folder)


def _require_a_name(folders: Sequence[Path]) -> None:
    """Raise a `DatasetError` where the folder of a machine or an individual is called like a part of one."""
    for folder in folders:
        if _LIKE_A_PART.fullmatch(folder.name.casefold()):
            raise DatasetError(
                f"{folder} would be taken for a machine of its own, and what is in it for normal: rename "
                f"it to 'normal', 'anomaly' or 'test' where it is that part of the machine "
                f"{folder.parent.name}, else to another word; wanted {WANTED}"
            )


def _parts(folder: Path) -> dict[str, Path]:
    """Return the sub-folders of one machine's folder by name, in lower case."""
    parts: dict[str, Path] = {}
    for path in listing.folders(folder):
        before = parts.setdefault(path.name.casefold(), path)
        if before is not path:
            raise DatasetError(
                f"{before} and {path} differ in upper and lower case only: join or rename them"
            )
    return parts


def _clips(
    folder: Path, machine: str, machine_id: str, left_out: listing.LeftOut
) -> Iterator[Clip]:
    """Yield the clips of one individual machine, each named by its place in `folder`."""

    def clip(path: Path, split: Split, label: Label | None) -> Clip:
        name = path.relative_to(folder).as_posix()
        return Clip(path, machine, machine_id, split, None, label, name=name)

    parts = _parts(folder)
    normal = _normal(folder, parts, left_out)
    anomalies = [path for name in ANOMALY for path in _tree(parts.get(name), left_out)]
    held_out = 0
    if TEST in parts:
        yield from (clip(path, "test", label) for path, label in _test(parts[TEST], left_out))
    else:
        held_out = min(len(anomalies), len(normal) // 3)
    first_held_out = len(normal) - held_out
    yield from (clip(path, "train", "normal") for path in normal[:first_held_out])
    yield from (clip(path, "test", "normal") for path in normal[first_held_out:])
    yield from (clip(path, "test", "anomaly") for path in anomalies)
    left_out += [
        (path, f"a folder called neither {', '.join(sorted(_PARTS))}")
        for name, path in parts.items()
        if name not in _PARTS
    ]


def _normal(folder: Path, parts: dict[str, Path], left_out: listing.LeftOut) -> list[Path]:
    """Return the normal recordings that lie in `folder` itself, or in its part for them."""
    direct = [path for path in listing.entries(folder) if listing.is_recording(path)]
    places = [folder] if direct else []
    places += [parts[name] for name in NORMAL if name in parts]
    if len(places) > 1:
        raise DatasetError(
            f"normal recordings lie in {places[0]} and in {places[1]}: move them into one folder"
        )
    normal = direct or [path for place in places for path in _tree(place, left_out)]
    if not normal:
        raise DatasetError(f"no normal recording for training in {folder}: wanted {WANTED}")
    for path in normal:
        between = path.relative_to(folder).parts[:-1]
        if any(_ANOMALOUS.fullmatch(name.casefold()) for name in between):
            raise DatasetError(
                f"{path} is an anomaly among the normal recordings for training: move it to "
                f"{folder / ANOMALY[0]}"
            )
    return normal


def _test(folder: Path, left_out: listing.LeftOut) -> Iterator[tuple[Path, Label | None]]:
    """Yield the recordings of a folder ``test``; those in no sub-folder have no label."""
    for path in listing.entries(folder):
        label: Label | None = None
        if path.is_dir():
            name = path.name.casefold()
            if name not in {"normal", *ANOMALY}:
                left_out.append((path, "a folder called neither normal nor anomaly"))
                continue
            label = "normal" if name == "normal" else "anomaly"
            yield from ((recording, label) for recording in _tree(path, left_out))
        elif listing.is_recording(path):
            yield path, label
        else:
            left_out.append((path, listing.NO_RECORDING))


def _tree(folder: Path | None, left_out: listing.LeftOut) -> Iterator[Path]:
    """Yield the recordings in `folder` and in all folders below it."""
    for path in listing.entries(folder) if folder else ():
        if path.is_dir() and not path.is_symlink():
            yield from _tree(path, left_out)
        elif listing.is_recording(path):
            yield path
        else:
            left_out.append((path, listing.NO_RECORDING))
