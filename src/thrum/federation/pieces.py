"""The server's store of pieces: what sites have sent, kept whole and checked each time it is opened.

::

    <folder>/<site>/<split>/<fingerprint>.npy     (sum of T, D), the clips of a piece one after the other
    <folder>/<site>/<split>/<fingerprint>.json    their lengths, and the sha256 of the array

The JSON is written last: a piece without it has not arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import StorageError
from thrum.federation.messages import Split, checked_name
from thrum.federation.piece_messages import Piece

Clips = list[NDArray[np.float16]]
"""The frames (T, D) of each clip."""

_log = logging.getLogger(__name__)


class PieceStore:
    """The pieces of all sites, on disk.

    Parameters
    ----------
    folder
        Where they lie; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """What was found damaged so far, in words."""

    def clips(self, site: str, split: Split, piece: Piece) -> Clips | None:
        """Return the clips of a piece, memory-mapped; None where it has not come, or is damaged now.

        A damaged piece is named, in `damaged` and as a warning in the log, and removed.
        """
        array_path, list_path = self._paths(site, split, piece)
        if not list_path.exists():
            return None
        try:
            known = storage.read_sealed(list_path)
            storage.check_sha256(array_path, known["sha256"])
            return _clips(array_path, known["lengths"])
        except (StorageError, KeyError) as error:
            what = (
                f"a piece of site {site!r} was damaged on the server's disk and is asked for again"
            )
            _log.warning("%s: %s", what, error)
            self.damaged.append(what)
            list_path.unlink()
            array_path.unlink(missing_ok=True)
            return None

    def keep(
        self,
        site: str,
        split: Split,
        piece: Piece,
        embeddings: NDArray[Any],
        lengths: Sequence[int],
    ) -> Clips:
        """Write a piece that has arrived and been checked; return its clips, memory-mapped.

        Parameters
        ----------
        embeddings, lengths
            (sum of T, D), and T of each clip.
        """
        array_path, list_path = self._paths(site, split, piece)
        checksum = storage.write_array(array_path, embeddings, private=True)
        known = {"lengths": list(lengths), "sha256": checksum}
        storage.write_sealed(list_path, known, private=True)
        return _clips(array_path, lengths)

    def keep_only(
        self,
        listed: Mapping[str, Mapping[Split, Sequence[Piece]]],
        *,
        spared: Collection[str] = (),
    ) -> None:
        """Remove whatever no site lists any more: of clips that were deleted, of sites that have left.

        Parameters
        ----------
        listed
            For each site of the round, and each split that is collected, its pieces.
        spared
            Sites that are only away: theirs stay.
        """
        wanted = {
            path
            for site, splits in listed.items()
            for split, pieces in splits.items()
            for piece in pieces
            for path in self._paths(site, split, piece)
        }
        # The list of a piece goes before its array: without it the array does not count.
        for path in sorted(self.folder.rglob("*"), key=lambda path: path.suffix != ".json"):
            away = path.relative_to(self.folder).parts[0] in spared
            if path.is_file() and path not in wanted and not away:
                path.unlink()
        for folder in sorted(self.folder.rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _paths(self, site: str, split: Split, piece: Piece) -> tuple[Path, Path]:
        folder = self.folder / checked_name(site) / split
        return folder / f"{piece.fingerprint}.npy", folder / f"{piece.fingerprint}.json"


def _clips(path: Path, lengths: Sequence[int]) -> Clips:
    """Return the frames (T, D) of each clip of a piece, memory-mapped."""
    return np.split(storage.read_array(path), np.cumsum(lengths)[:-1])
