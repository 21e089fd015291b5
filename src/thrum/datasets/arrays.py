"""Features instead of recordings: one ``.npz`` file a machine ID.

::

    <machine>_id_<XX>.npz          (or _section_<XX>; any other name is a machine with id_00 alone)
        train_normal               (N, T, D) or (N, D), of any real type
        test_normal, test_anomaly  likewise, optional
        <array>_name               (N,) names of the clips, optional
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.datasets import listing
from thrum.errors import DatasetError
from thrum.types import Clip, Dataset, Label, Split

ARRAYS: dict[str, tuple[Split, Label]] = {
    "train_normal": ("train", "normal"),
    "test_normal": ("test", "normal"),
    "test_anomaly": ("test", "anomaly"),
}
"""What the rows of each array are."""

WANTED = (
    "<machine>_id_<XX>.npz with the arrays train_normal, test_normal, test_anomaly of shape "
    "(N, T, D) or (N, D)"
)

_STEM = re.compile(r"(?P<machine>.+)_(?P<machine_id>(?:id|section)_\d+)")


class Arrays:
    """Reads a folder of ``.npz`` files; see the module for what is in them."""

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether there is an ``.npz`` file in `root`."""
        return any(path.suffix == ".npz" for path in listing.entries(root))

    @staticmethod
    def read(root: Path) -> Dataset:
        """Return one clip a row. Only the headers of the arrays are read.

        Raises
        ------
        DatasetError
            Where a file is damaged, holds Python objects or none of the arrays, or an array is not
            of a shape wanted or of another D than the others.
        """
        left_out: listing.LeftOut = []
        clips: list[Clip] = []
        sizes: dict[tuple[int, int], str] = {}
        for path in listing.entries(root):
            if path.suffix != ".npz":
                continue
            match = _STEM.fullmatch(path.stem)
            machine = match["machine"] if match else path.stem
            machine_id = match["machine_id"] if match else "id_00"
            headers = _headers(path, left_out)
            for array, header in headers.items():
                form = len(header.shape), header.shape[-1]
                sizes.setdefault(form, f"{path.name}: {array} is {header.shape}")
                split, label = ARRAYS[array]
                clips += [
                    Clip(path, machine, machine_id, split, None, label, row=(array, row), name=name)
                    for row, name in enumerate(_names(path, array, header.shape[0]))
                ]
        if len(sizes) > 1:
            raise DatasetError(
                f"the features in {root} differ in form ({'; '.join(sizes.values())}): wanted one "
                f"kind for all machines, (N, T, D) or (N, D) with one D"
            )
        return listing.dataset(clips, root, wanted=WANTED, left_out=left_out, holds="features")


def read_features(clips: Sequence[Clip]) -> list[NDArray[np.float32]]:
    """Return the features (T, D) of each clip as float32; T is 1 where the array is (N, D).

    Each array is gone through once, and only the rows asked for are kept.

    Raises
    ------
    DatasetError
        Where a file is missing or damaged, or a row is not there or holds NaN or infinite values.
    """
    features: dict[int, NDArray[np.float32]] = {}
    for index, found in each(clips):
        if isinstance(found, DatasetError):
            raise found
        features[index] = found
    return [features[index] for index in range(len(clips))]


def each(clips: Sequence[Clip]) -> Iterator[tuple[int, NDArray[np.float32] | DatasetError]]:
    """Yield for each clip its index and its features (T, D) float32, or what is wrong with them.

    The order is that in which the rows lie in the files, so that no array is held whole.
    """
    rows: dict[tuple[Path, str], list[tuple[int, int]]] = {}
    for index, clip in enumerate(clips):
        if clip.row is None:
            raise DatasetError(
                f"{clip.path} is a recording, features were wanted: choose an embedder for it"
            )
        rows.setdefault((clip.path, clip.row[0]), []).append((clip.row[1], index))
    for (path, array), wanted in rows.items():
        yield from _rows(path, array, sorted(wanted))


@dataclass(frozen=True)
class _Header:
    """The form of one array in an ``.npz`` file, and where its rows begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _rows(
    path: Path, array: str, wanted: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, NDArray[np.float32] | DatasetError]]:
    """Yield the rows `wanted` of one array; each is (row, index), and the index is handed on."""
    done = 0
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{array}.npy") as stream:
            header = _header(stream, path, array)
            for row, index in wanted:
                yield index, _row(stream, header, f"{path}: {array}[{row}]", row)
                done += 1
    except (*_DAMAGE, DatasetError) as error:
        reason = error if isinstance(error, DatasetError) else _damaged(path, array, error)
        for _, index in wanted[done:]:
            yield index, reason


def _row(
    stream: IO[bytes], header: _Header, what: str, row: int
) -> NDArray[np.float32] | DatasetError:
    if row >= header.shape[0]:
        return DatasetError(f"{what} was asked for, the array has {header.shape[0]} rows")
    stream.seek(header.offset + row * header.row_bytes)
    content = stream.read(header.row_bytes)
    if len(content) < header.row_bytes:
        raise EOFError(f"it ends in row {row}")
    features = np.frombuffer(content, header.dtype).reshape(-1, header.shape[-1])  # (T, D)
    with np.errstate(over="ignore"):
        features = features.astype(np.float32)
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).sum())
        return DatasetError(
            f"{what} holds {bad} values that are NaN, infinite or too large for float32: compute "
            f"the features again"
        )
    return features


def _headers(path: Path, left_out: listing.LeftOut) -> dict[str, _Header]:
    """Return the form of every array of `ARRAYS` that is in the file."""
    headers = {}
    array = "the list of arrays"
    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            for array in ARRAYS:
                if array in held:
                    with archive.open(f"{array}.npy") as stream:
                        headers[array] = _header(stream, path, array)
    except _DAMAGE as error:
        raise _damaged(path, array, error) from error
    if not headers:
        raise DatasetError(f"{path} holds {listing.first_few(held) or 'nothing'}: wanted {WANTED}")
    known = {*headers, *(f"{array}_name" for array in headers)}
    left_out += [
        (path, f"the array {name!r} has no meaning here") for name in held if name not in known
    ]
    return headers


def _header(stream: IO[bytes], path: Path, array: str) -> _Header:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"its format is {version}")
    with storage.PARSING:
        shape, fortran_order, dtype = read(stream)
    what = f"{path}: {array} has shape {shape} and type {dtype}"
    if dtype.hasobject:
        raise DatasetError(
            f"{what}: it holds Python objects, which are never loaded; save real numbers"
        )
    if dtype.kind not in "fiu" or len(shape) not in (2, 3):
        raise DatasetError(f"{what}: wanted real numbers of shape (N, T, D) or (N, D)")
    if 0 in shape[1:]:
        raise DatasetError(f"{what}: its rows are empty")
    if fortran_order:
        raise DatasetError(f"{what} in Fortran order: save it with numpy.ascontiguousarray")
    return _Header(shape, dtype, stream.tell())


def _names(path: Path, array: str, count: int) -> list[str]:
    """Return the names of the rows of `array`, their numbers where the file gives none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if f"{array}_name" not in file:
                return [f"{array}_{row:04d}" for row in range(count)]
            names = file[f"{array}_name"]
    except _DAMAGE as error:
        raise _damaged(path, f"{array}_name", error) from error
    if names.shape != (count,) or names.dtype.kind != "U":
        raise DatasetError(
            f"{path}: {array}_name has shape {names.shape} and type {names.dtype}, wanted "
            f"({count},) names as plain strings"
        )
    return [str(name) for name in names]


_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, KeyError)


def _damaged(path: Path, array: str, error: Exception) -> DatasetError:
    if not path.exists():
        return DatasetError(f"no file at {path}")
    return DatasetError(
        f"{path}: {array} cannot be read ({error}): copy the file again, or save it anew with "
        f"numpy.savez_compressed"
    )
