"""The right to leave: what a server has of a site, removed, and signed that it was."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from thrum import storage
from thrum.errors import DataError, StorageError
from thrum.federation.evidence import sign
from thrum.federation.ledger import Ledger
from thrum.federation.locking import locked
from thrum.federation.messages import checked_name
from thrum.federation.scoring.kept import FILE as SCORING

RECORD = "withdrawals.jsonl"
KEY_FILE = "withdrawals.key"


@dataclass(frozen=True)
class Withdrawal:
    """What was removed.

    Parameters
    ----------
    site
        Of whom.
    pieces, statistics
        How many pieces of embeddings, and whether there were statistics.
    classifiers
        The groups whose classifiers were trained with the site.
    n_bytes
        How much all of it was.
    """

    site: str
    pieces: int
    statistics: bool
    classifiers: tuple[str, ...]
    n_bytes: int

    @property
    def told(self) -> str:
        """As the record has it."""
        parts = [f"{self.pieces} pieces of embeddings"]
        parts += ["statistics"] if self.statistics else []
        parts += [f"the classifier {group!r}" for group in self.classifiers]
        return f"{self.site} has left: removed {', '.join(parts)}"


def withdraw(folder: Path, site: str) -> Withdrawal:
    """Remove a site's pieces and statistics, and every classifier and checkpoint trained with them.

    ``withdrawals.jsonl`` in the folder says so, chained and signed as a site's ledger is. What other sites
    were sent in earlier rounds is theirs, and cannot be taken back.

    Raises
    ------
    DataError
        Where the folder is no server's, or has nothing of such a site.
    """
    checked_name(site)
    if not (folder / "lock").exists():
        raise DataError(
            f"{folder} is no server's store: wanted the --out of thrum collaborate server"
        )
    with locked(folder):
        pieces, statistics = folder / "pieces" / site, folder / "statistics" / site
        trained = [path for path in _classifiers(folder) if site in _trained_with(path)]
        if not pieces.exists() and not statistics.exists() and not trained:
            known = sorted(
                {
                    path.name
                    for kind in ("pieces", "statistics")
                    for path in (folder / kind).glob("*/")
                }
            )
            raise DataError(
                f"{folder} has nothing of a site {site!r}; there are: {', '.join(known) or 'none'}"
            )
        doomed = [path for path in (pieces, statistics, *trained) if path.exists()]
        if trained or pieces.exists():
            doomed += [path for path in (folder / "training", folder / SCORING) if path.exists()]
        found = Withdrawal(
            site,
            len(list(pieces.rglob("*.npy"))),
            statistics.exists(),
            tuple(sorted(path.name for path in trained)),
            sum(_size(path) for path in doomed),
        )
        for path in doomed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for kind in ("pieces", "statistics", "classifiers", "."):
            if (folder / kind).exists():
                storage.fsync(folder / kind)
        record = Ledger(folder / RECORD)
        record.record("withdrawal", found.told, clips=0, n_bytes=found.n_bytes, sha256="")
        sign(record, folder / KEY_FILE)
    return found


def _classifiers(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "classifiers").glob("*") if path.is_dir())


def _trained_with(path: Path) -> set[str]:
    """Return the sites a classifier was trained with; a set of all where nobody noted them."""
    try:
        sites = storage.read_json(path / "model.json").get("sites")
    except StorageError:
        sites = None
    return set(sites) if isinstance(sites, list) else _Everybody()


class _Everybody(set[str]):
    def __contains__(self, name: object) -> bool:
        return True


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
