"""What the readers share: listing folders in a fixed order, making a dataset of what is found."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import soundfile

from thrum.audio import SUFFIXES
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset

LeftOut = list[tuple[Path, str]]
NO_RECORDING = "no sound file"
LEADS_BACK = "a link to a folder that it lies in"

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_SHOWN = 3


def entries(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """Return what is in `folder`, in natural order, without hidden names (``.x``, ``__x``).

    Parameters
    ----------
    left_out
        Where links to nothing are noted; None makes them an error.

    Raises
    ------
    DatasetError
        Where `folder` cannot be listed, or something in it has a name that cannot be written as text,
        or is a link to nothing.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
    except OSError as error:
        raise DatasetError(f"cannot list the folder {folder}: {error.strerror}") from error
    for path in tuple(found):
        require_utf8(path)
        if path.is_symlink() and not path.exists():
            reason = f"a link to {path.readlink()}, which is not there"
            if left_out is None:
                raise DatasetError(f"{path} is {reason}")
            left_out.append((path, reason))
            found.remove(path)
    return sorted(found, key=lambda path: natural(path.name))


def require_utf8(path: Path) -> None:
    """Raise a `DatasetError` where the name is no UTF-8: no result could be written that names it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise DatasetError(f"{shown} has a name that is not UTF-8: rename it") from error


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a sort key under which ``clip_2`` comes before ``clip_10``."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def folders(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """Return the sub-folders of `folder`, links to folders among them; `left_out` as of `entries`."""
    return [path for path in entries(folder, left_out) if path.is_dir()]


def leads_back(folder: Path) -> bool:
    """Whether `folder` is a link to a folder that it lies in, at any height."""
    if not folder.is_symlink():
        return False
    return folder.resolve() in (folder.parent.resolve(), *folder.parent.resolve().parents)


def is_recording(path: Path) -> bool:
    """Whether `path` is called like a recording; what is in it shows when it is read."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def has_recordings(folder: Path) -> bool:
    """Whether a recording lies in `folder` itself."""
    return folder.is_dir() and any(is_recording(path) for path in entries(folder))


def recordings(folder: Path, left_out: LeftOut) -> list[Path]:
    """Return the recordings in `folder` itself; whatever else is there is noted in `left_out`."""
    found = entries(folder)
    left_out += [(path, NO_RECORDING) for path in found if not is_recording(path)]
    return [path for path in found if is_recording(path)]


def tree(
    folder: Path, left_out: LeftOut, *, within: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield the recordings in `folder` and all folders below; what else is there is noted in `left_out`.

    Links to folders are followed, but for those that lead back to where they came from.
    """
    within |= {folder.resolve()}
    for path in entries(folder, left_out):
        if path.is_dir():
            if path.resolve() in within:
                left_out.append((path, LEADS_BACK))
            else:
                yield from tree(path, left_out, within=within)
        elif is_recording(path):
            yield path
        else:
            left_out.append((path, NO_RECORDING))


def nothing_in(paths: Sequence[Path], left_out: LeftOut) -> str:
    """Return the error's text where `paths` hold no recording: what they hold instead."""
    held = Counter(path.suffix.lower() or "no suffix" for path, _ in left_out if path.is_file())
    found = ", ".join(f"{count} of {suffix}" for suffix, count in held.most_common(5))
    return (
        f"no recording under {', '.join(map(str, paths))}: there are "
        + (f"files, {found}" if found else "no files at all")
        + f"; wanted {', '.join(sorted(SUFFIXES))}"
    )


def channel_count(paths: Iterable[Path]) -> int:
    """Return the number of channels that the first readable header among `paths` tells, else 1."""
    for path in paths:
        try:
            return int(soundfile.info(path).channels)
        except (soundfile.LibsndfileError, OSError):
            continue
    return 1


def distinct(machines: Sequence[T], *, path_of: Callable[[T], Path]) -> Sequence[T]:
    """Return `machines`; two names of one and the same folder are an error."""
    seen: dict[Path, Path] = {}
    for path in map(path_of, machines):
        real = path.resolve()
        if real in seen:
            raise DatasetError(
                f"{seen[real]} and {path} are the same folder under two names: one machine would "
                f"be taken for two; remove one of the links"
            )
        seen[real] = path
    return machines


def dataset(
    clips: Iterable[Clip],
    root: Path,
    *,
    wanted: str,
    left_out: LeftOut,
    holds: Literal["audio", "features"] = "audio",
) -> Dataset:
    """Return the clips as a dataset, sorted.

    Parameters
    ----------
    wanted
        The layout in a few words, for the error where there is no clip.

    Raises
    ------
    DatasetError
        Where there is no clip, or two clips of one machine ID and split have one name.
    """
    ordered = sorted(clips, key=_order)
    if not ordered:
        found = "; ".join(f"{path}: {reason}" for path, reason in left_out[:_SHOWN])
        raise DatasetError(f"no clips in {root}{f' ({found})' if found else ''}: wanted {wanted}")
    seen: dict[tuple[str, str, str, str], Clip] = {}
    for clip in ordered:
        before = seen.setdefault((clip.machine, clip.machine_id, clip.split, clip.name), clip)
        if before is not clip:
            raise DatasetError(
                f"two {clip.split} clips of {clip.machine} {clip.machine_id} are called "
                f"{clip.name}: {_place(before)} and {_place(clip)}; rename or remove one"
            )
    if left_out:
        _logger.warning(
            "%s: left out what is no clip (%d in all, first %s: %s); `thrum data check` lists it",
            *(root, len(left_out), *left_out[0]),
        )
    return Dataset(tuple(ordered), root.resolve().name, root, holds, tuple(left_out))


def first_few(items: Sequence[object]) -> str:
    """Return the first few of `items`, and how many more there are."""
    shown = ", ".join(map(str, items[:_SHOWN]))
    return shown + (f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")


def _order(clip: Clip) -> tuple[Any, ...]:
    """Return the sort key of a clip: rows as they lie in their file, recordings by name."""
    within = (
        (natural(clip.name), str(clip.path)) if clip.row is None else (str(clip.path), clip.row)
    )
    return clip.machine, clip.machine_id, clip.split == "test", *within


def _place(clip: Clip) -> str:
    return str(clip.path) if clip.row is None else f"{clip.path}, {clip.row[0]}[{clip.row[1]}]"
