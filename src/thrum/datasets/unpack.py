"""Unpack one machine's zip archive: safely, and into place only once all of it is there."""

from __future__ import annotations

import errno
import filecmp
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from thrum import storage
from thrum.audio import SUFFIXES
from thrum.errors import DatasetError
from thrum.types import Progress

Members = Mapping[PurePosixPath, zipfile.ZipInfo]

_CHUNK_BYTES = 1 << 20


class DamagedArchiveError(DatasetError):
    """An archive cannot be read, or holds what no dataset holds."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    machine: str,
    temporary: Path,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Unpack the folder `machine` of a zip archive to ``<folder>/<machine>``.

    Everything is unpacked to `temporary` first and moved when all of it is there. What lies in
    `folder` already stays; a file of the same name must be the same.

    Parameters
    ----------
    temporary
        A folder of this function's own on the file system of `folder`; removed at the end.

    Returns
    -------
    dict
        The number of files in each folder, by its path relative to `folder`.

    Raises
    ------
    DamagedArchiveError
        Where the archive is damaged, names places outside of it, holds links, or is laid out otherwise.
    DatasetError
        Where the disk is full, or another file lies where one is to go.
    """
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _errors(archive), zipfile.ZipFile(archive) as source:
            members = _members(source, archive, machine)
            _require_space(archive, members, folder)
            for done, (path, member) in enumerate(members.items(), start=1):
                target = temporary / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as packed, target.open("xb") as file:
                    shutil.copyfileobj(packed, file, _CHUNK_BYTES)
                if progress is not None:
                    progress("files", done, len(members))
        with _errors(archive):
            _refuse_to_overwrite(temporary, folder, members)
            folder.mkdir(parents=True, exist_ok=True)
            _move(temporary / machine, folder / machine)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return dict(Counter(path.parent.as_posix() for path in members))


def place(file: Path, folder: Path) -> dict[str, int]:
    """Copy a file that is no archive into `folder`; return what `unpack` returns.

    Raises
    ------
    DatasetError
        Where another file lies there under its name.
    StorageError
        Where the disk is full.
    """
    with _errors(file):
        _refuse_to_overwrite(file.parent, folder, [PurePosixPath(file.name)])
        storage.write_bytes(folder / file.name, file.read_bytes())
    return {".": 1}


def count_files(folder: Path) -> int:
    """Return how many files lie in `folder` itself; none where it is missing."""
    return sum(path.is_file() for path in folder.iterdir()) if folder.is_dir() else 0


def free_bytes(folder: Path) -> int:
    """Return what is free on the disk that `folder` is on, or will be."""
    there = folder.resolve()
    return shutil.disk_usage(next(path for path in (there, *there.parents) if path.exists())).free


def _members(source: zipfile.ZipFile, archive: Path, machine: str) -> Members:
    """Return the files of the archive by where they go; refuse what could go elsewhere."""
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in source.infolist():
        name, path = member.filename, PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise DamagedArchiveError(
                f"{archive} names a place outside of itself, {name!r}: refused"
            )
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DamagedArchiveError(f"{archive} holds a link or device, {name!r}: refused")
        if member.is_dir() or any(part.startswith((".", "__")) for part in path.parts):
            continue
        if machine in path.parts[:-1]:
            place = PurePosixPath(*path.parts[path.parts.index(machine) :])
            if members.setdefault(place, member) is not member:
                raise DamagedArchiveError(f"{archive} holds {place} twice: refused")
        elif path.suffix.lower() in SUFFIXES:
            raise DamagedArchiveError(
                f"{archive} holds {name!r}, wanted recordings in a folder {machine!r} only"
            )
    if not members:
        raise DamagedArchiveError(f"{archive} holds no folder {machine!r}, wanted recordings in it")
    return members


def _require_space(archive: Path, members: Members, folder: Path) -> None:
    wanted = sum(member.file_size for member in members.values())
    free = free_bytes(folder)
    if wanted > free:
        raise DatasetError(
            f"{archive.name} unpacks to {wanted / 1e9:.1f} GB and {free / 1e9:.1f} GB are free on "
            f"the disk of {folder}: free some space and run the same command again"
        )


def _refuse_to_overwrite(temporary: Path, folder: Path, paths: Iterable[PurePosixPath]) -> None:
    for path in paths:
        present = folder / path
        if present.exists() and not (
            present.is_file() and filecmp.cmp(temporary / path, present, shallow=False)
        ):
            raise DatasetError(
                f"{present} is there already and is not what was downloaded: move it away and "
                f"run the same command again"
            )


def _move(source: Path, target: Path) -> None:
    """Move `source` to `target`; where both are folders, move what is in it."""
    if source.is_dir() and target.is_dir():
        for path in source.iterdir():
            _move(path, target / path.name)
    else:
        source.replace(target)


@contextmanager
def _errors(archive: Path) -> Iterator[None]:
    """Say of what the archive or the disk is ill; passwords and rare packings are `RuntimeError`."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DamagedArchiveError(f"{archive} is damaged ({error})") from error
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "mend that"
        raise DatasetError(
            f"cannot unpack {archive.name}: {error}; {advice} and run the same command again"
        ) from error
