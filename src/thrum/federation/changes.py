"""What two rounds tell together that neither tells alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from thrum import storage
from thrum.errors import StorageError
from thrum.federation.messages import Algorithm, Sharing


def changed_by_one(
    path: Path, sites: Iterable[str], algorithm: Algorithm, sharing: Sharing
) -> list[str]:
    """Return a warning where the sites are those of the last round but for one; note them for the next.

    What sites are sent is a mean over all. Two such means that differ by one site give that site's own,
    exactly, however many there are.
    """
    now = sorted(sites)
    try:
        before = list(storage.read_sealed(path, unsealed=True)["sites"]) if path.exists() else now
    except (StorageError, KeyError, TypeError):
        before = None
    storage.write_sealed(path, {"sites": now}, private=True)
    if before is None:
        return [
            "the list of who took part in the last round was damaged on disk: who is new, nobody can tell"
        ]
    joined, left = set(now) - set(before), set(before) - set(now)
    if len(joined | left) != 1:
        return []
    (name,) = joined | left
    what = "the pools" if sharing == "statistics" or algorithm == 2 else "the classifiers"
    return [
        f"site {name!r} {'joined' if joined else 'left'} since the last round, and nobody else: whoever "
        f"keeps {what} of both works out its own part by subtraction. Let two or more join or leave at once"
    ]
