"""Anyone's recordings: one sub-folder a machine.

::

    <machine>/*.wav                        all normal, or each as its name says
    <machine>/normal/*.wav                 normal
    <machine>/anomaly/*.wav                optional
    <machine>/train/good/*.wav             the layout of MVTec AD: what is in test and not good is an anomaly
    <machine>/test/{good,belt_torn}/*.wav
    <machine>/test/{normal,anomaly}/*.wav  optional: decides the split, which is made here otherwise

Where there are several individuals of a machine, each has a folder of its own between
(``<machine>/<machine_id>/normal/*.wav``); a machine without is ``id_00``. Folders called by a day hold what
was recorded then. Words of well and ill are those of `thrum.datasets.words`, in folders' and files' names;
what contradicts itself, or looks like a label and is not understood, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from thrum.datasets import listing
from thrum.datasets.classes import require_no_classes, require_no_classes_in
from thrum.datasets.holding import held_out
from thrum.datasets.tables import require_no_labels_beside
from thrum.datasets.words import Meaning, is_day, meaning
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Label, Split

SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "tests", "testing", "eval", "evaluation"), "test"),
}
VALIDATION = frozenset(
    ["val", "valid", "validation", "dev", "development", "holdout", "hold_out", "hold-out"]
)
"""Splits that others have."""
GOOD = "good"
WANTED = (
    "one sub-folder a machine, in it a folder 'normal' of recordings, optionally 'anomaly'; or say what is "
    "what: --labels CSV, or --normal GLOB --anomaly GLOB"
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
        return _holds_machines(root, depth=2)

    @staticmethod
    def read(root: Path) -> Dataset:
        """Return the clips of every machine; one without normal recordings is left out.

        Raises
        ------
        DatasetError
            Where `root` is the folder of one machine, no machine has normal recordings, one has them in two
            places, or a name looks like a label and is not understood.
        """
        left_out: listing.LeftOut = []
        below = [path for path in listing.folders(root, left_out) if not listing.leads_back(path)]
        if listing.has_recordings(root) or (below and all(map(_is_part_or_validation, below))):
            raise _not_above_machines(root, below)
        require_no_labels_beside(root)
        places = list(_machines(root, left_out))
        by_machine: dict[str, list[_Place]] = {}
        for place in listing.distinct(places, path_of=lambda place: place.folder):
            by_machine.setdefault(place.folder.name, []).append(place)
        clips: list[Clip] = []
        for machine, own in by_machine.items():
            for machine_id, individual in _individuals(own, left_out).items():
                clips += _clips(individual, machine, machine_id, left_out)
        return listing.dataset(clips, root, wanted=WANTED, left_out=left_out)


class _Place(NamedTuple):
    """A folder of a machine or of an individual, and the day that it lies in."""

    folder: Path
    day: str


class _Found(NamedTuple):
    """A recording, and what the names of the folders around it and its own say."""

    path: Path
    name: str
    split: Split | None
    said: Meaning | None
    by_folder: bool
    """Whether a folder says so; else the file's own name does, or nothing."""


def _machines(root: Path, left_out: listing.LeftOut, day: str = "") -> Iterator[_Place]:
    """Yield the folders of machines in `root`, and in those of its sub-folders that are called by a day."""
    for folder in listing.folders(root, left_out):
        if listing.leads_back(folder):
            left_out.append((folder, listing.LEADS_BACK))
        elif _is_day(folder, day) and not listing.has_recordings(folder):
            yield from _machines(folder, left_out, f"{day}{folder.name}/")
        else:
            _require_a_name(folder)
            yield _Place(folder, day)


def _individuals(places: Sequence[_Place], left_out: listing.LeftOut) -> dict[str, list[_Place]]:
    """Return the folders of each individual of a machine by its ID."""
    individuals: dict[str, list[_Place]] = {}
    for place in places:
        if _is_individual(place.folder):
            individuals.setdefault("id_00", []).append(place)
            continue
        below = listing.folders(place.folder, left_out)
        own = [path for path in below if _is_individual(path) and not listing.leads_back(path)]
        require_no_classes(place.folder, [path.name for path in own])
        for path in listing.distinct(own, path_of=lambda path: path):
            individuals.setdefault(path.name, []).append(_Place(path, place.day))
        if not own:
            left_out.append((place.folder, "no recordings in it"))
    return individuals


def _is_part_or_validation(folder: Path) -> bool:
    return _is_part(folder) or folder.name.casefold() in VALIDATION


def _not_above_machines(root: Path, below: Sequence[Path]) -> DatasetError:
    """Return the error of a folder that is that of one machine, or has labels or splits above machines."""
    if not listing.has_recordings(root) and not any(map(_is_individual, below)):
        machines = [machine.name for part in below for machine in listing.folders(part, [])]
        given = [word for part in below for word in _patterns(part)]
        if machines and given:
            return DatasetError(
                f"{root} has {listing.first_few([part.name for part in below])} above the machines "
                f"{listing.first_few(sorted(set(machines)))}: wanted the machine first, as "
                f"{machines[0]}/normal; or say {' '.join(given)}"
            )
    advice = (
        f"{root} is itself the folder of one machine: give the folder above it; wanted {WANTED}"
    )
    for folder in below:
        if folder.name.casefold() in VALIDATION:
            advice = f"{advice}. Beside: {_no_validation(folder)}"
    return DatasetError(advice)


def _patterns(part: Path) -> list[str]:
    """Return the options that say what is in a label's or split's folder above the machines."""
    if (said := meaning(part.name)) in ("normal", "anomaly"):
        return [f"--{said} '{part.name}/*'"]
    if SPLITS.get(part.name.casefold()) == "train":
        return [f"--normal '{part.name}/*'"]
    below = [name for machine in listing.folders(part, []) for name in listing.folders(machine, [])]
    names = {path.name: said for path in below if (said := meaning(path.name))}
    return [f"--{said} '{part.name}/*/{name}/*'" for name, said in names.items()]


def _no_validation(folder: Path) -> str:
    return (
        f"{folder} is called by a split that is not needed here: move its recordings into 'train' (some are "
        f"held back by themselves where a method needs it), or into 'test'"
    )


def _holds_machines(folder: Path, *, depth: int) -> bool:
    """Whether `folder`, or one so many levels below it, is that of a machine; days do not count."""
    if _is_individual(folder):
        return True
    return any(
        _holds_machines(path, depth=depth - (not is_day(path.name)))
        for path in listing.folders(folder)
        if depth > 0 and not listing.leads_back(path)
    )


def _is_individual(folder: Path, day: str = "") -> bool:
    """Whether a folder (of a day) holds recordings, or folders called like parts of a machine's."""
    return listing.has_recordings(folder) or any(
        _is_part(path, day) for path in listing.folders(folder, []) if not listing.leads_back(path)
    )


def _is_part(folder: Path, day: str = "") -> bool:
    """Whether a folder is called by a label, a split, or a day and holds recordings or such folders."""
    if folder.name.casefold() in SPLITS or meaning(folder.name) is not None:
        return True
    return _is_day(folder, day) and _is_individual(folder, f"{day}{folder.name}/")


def _is_day(folder: Path, day: str) -> bool:
    """Whether a folder is called by a day, or goes on with the one it lies in (``2026/03/01``)."""
    joined = f"{day}{folder.name}".replace("/", "-")
    return is_day(folder.name) or (bool(day) and is_day(joined))


def _require_a_name(folder: Path) -> None:
    """Raise a `DatasetError` where the folder of a machine is called like a part of one."""
    if is_day(folder.name):
        raise DatasetError(
            f"{folder} is called by when it was recorded: of which machine is that? Move them into a "
            f"folder that is called by it; wanted {WANTED}"
        )
    if meaning(folder.name) is not None or folder.name.casefold() in SPLITS:
        raise DatasetError(
            f"{folder} would be taken for a machine of its own, and what is in it for normal: rename it to "
            f"'normal', 'anomaly' or 'test' where it is that part of the machine {folder.parent.name}, "
            f"else to another word; wanted {WANTED}"
        )


def _clips(
    places: Sequence[_Place], machine: str, machine_id: str, left_out: listing.LeftOut
) -> list[Clip]:
    """Return the clips of one individual machine, each named by its place in its folder."""
    found: list[_Found] = []
    for folder, day in places:
        require_no_labels_beside(folder)
        _require_one_case(folder)
        own = [*_walk(folder, folder, None, None, left_out)]
        _require_all_understood(folder, own)
        found += [each._replace(name=day + each.name) for each in own]
    clips = []
    mvtec = _is_mvtec(found)
    for each in found:
        split, label = _taken(each, mvtec=mvtec)
        clips.append(Clip(each.path, machine, machine_id, split, None, label, name=each.name))
    if not any(clip.split == "train" for clip in clips):
        reason = f"no normal recording for training in {places[0].folder}"
        left_out.append((places[0].folder, reason))
        return []
    return clips if any(each.split == "test" for each in found) else held_out(clips)


def _taken(found: _Found, *, mvtec: bool) -> tuple[Split, Label | None]:
    """Return split and label of a recording."""
    said = found.said
    if mvtec and found.split == "test" and said is None and "/" in found.name.partition("/")[2]:
        said = "anomaly"
    if said == "anomaly":
        return "test", "anomaly"
    if found.split == "test":
        return "test", "normal" if said == "normal" else None
    return "train", "normal"


def _walk(
    folder: Path,
    top: Path,
    split: Split | None,
    said: Meaning | None,
    left_out: listing.LeftOut,
) -> Iterator[_Found]:
    """Yield the recordings in a folder of which the folders around it say `split` and `said`."""
    for path in listing.entries(folder, left_out):
        if path.is_dir():
            if listing.leads_back(path):
                left_out.append((path, listing.LEADS_BACK))
                continue
            if folder == top and not _is_part(path):
                if path.name.casefold() in VALIDATION:
                    raise DatasetError(_no_validation(path))
                _require_no_individual(path)
                if not any(meaning(beside.name) for beside in listing.folders(folder, [])):
                    left_out.append((path, "a folder whose name says neither normal nor anomaly"))
                    continue
            now, its_split = _of(path.name, said, path, folder), SPLITS.get(path.name.casefold())
            if its_split and split and its_split != split:
                raise DatasetError(f"{path} is for testing and for training by its name: move it")
            yield from _walk(path, top, split or its_split, now, left_out)
        elif listing.is_recording(path):
            now = _of(path.stem, said, path, folder)
            if split == "train" and now == "anomaly":
                raise _misplaced(path, top)
            yield _Found(path, path.relative_to(top).as_posix(), split, now, said is not None)
        else:
            left_out.append((path, listing.NO_RECORDING))


def _require_no_individual(folder: Path) -> None:
    """Raise a `DatasetError` where a folder among the parts of a machine has such parts itself."""
    if any(_is_part(path) for path in listing.folders(folder, []) if not listing.leads_back(path)):
        raise DatasetError(
            f"{folder} looks like a machine of its own and lies among the recordings of another, "
            f"{folder.parent}: move one of them; wanted {WANTED}"
        )


def _of(name: str, said: Meaning | None, path: Path, folder: Path) -> Meaning | None:
    """Return what is said of `path`, with what its folder says; raise where the two differ."""
    own = meaning(name)
    if said is None:
        return own
    if said == "normal" and own in ("anomaly", "unclear"):
        raise _misplaced(path, folder)
    if said == "anomaly" and own == "normal":
        raise DatasetError(
            f"{path} is normal by its name and lies among anomalies: move or rename it, or say what is what "
            f"with --labels CSV"
        )
    return said


def _misplaced(path: Path, folder: Path) -> DatasetError:
    return DatasetError(
        f"{path} is an anomaly among the normal recordings for training: move it to "
        f"{folder / 'anomaly'}, rename it, or say what is what with --labels CSV"
    )


def _require_all_understood(folder: Path, found: Sequence[_Found]) -> None:
    """Raise a `DatasetError` where some names in a machine's folder are labels, and others say nothing."""
    unclear = [each.path for each in found if each.said == "unclear"]
    if unclear:
        raise DatasetError(
            f"{unclear[0]} is called both well and ill{_and_more(unclear)}: rename, or say what is what with "
            f"--labels CSV, or --normal GLOB --anomaly GLOB"
        )
    named = [each for each in found if each.said is not None and not each.by_folder]
    told = [each for each in found if each.said is not None]
    for each in found:
        if each.said is not None or each.split == "train":
            continue
        in_folder = "/" in each.name
        beside = told if in_folder else named
        if (
            each.split == "test"
        ):  # a recording of which nobody knows, or MVTec's word for an anomaly
            beside = [other for other in told if other.split == "test"] if in_folder else []
            if _is_mvtec(found) or each.name.count("/") < 2:
                continue
        if beside:
            others = sorted({_top(other.name) for other in beside})
            raise DatasetError(
                f"{folder / _top(each.name)} lies beside {listing.first_few(others)}, which say normal or "
                f"anomaly, and its name says nothing that is understood: rename it to 'normal' or 'anomaly', "
                f"or say what is what with --labels CSV, or --normal GLOB --anomaly GLOB"
            )
    direct = [each for each in found if each.said is None and "/" not in each.name]
    if direct:
        require_no_classes_in([each.path for each in direct])
    _require_one_place(folder, found, direct)


def _require_one_place(folder: Path, found: Sequence[_Found], direct: Sequence[_Found]) -> None:
    """Raise a `DatasetError` where normal recordings lie in two places, for training and for anything."""
    training = [each for each in found if each.split == "train"]
    undecided = [each for each in found if each.split is None and each.said == "normal"]
    groups = [[*direct], [each for each in undecided if each.by_folder], training]
    places = [folder.joinpath(*own[0].name.split("/")[:-1][:1]) for own in groups if own]
    if len(places) > 1:
        raise DatasetError(
            f"normal recordings lie in {places[0]} and in {places[1]}: move them into one folder"
        )


def _require_one_case(folder: Path) -> None:
    names: dict[str, Path] = {}
    for path in listing.folders(folder):
        before = names.setdefault(path.name.casefold(), path)
        if before is not path:
            raise DatasetError(
                f"{before} and {path} differ in upper and lower case only: join or rename them"
            )


def _is_mvtec(found: Sequence[_Found]) -> bool:
    """Whether normal recordings are in folders ``good`` of both splits, so that all others are anomalies."""
    good = {each.split for each in found if f"/{GOOD}/" in f"/{each.name.casefold()}"}
    return good >= {"train", "test"}


def _top(name: str) -> str:
    return "/".join(name.split("/")[: 2 if name.split("/")[0].casefold() in SPLITS else 1])


def _and_more(paths: Sequence[Path]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
