"""The server's pools: for each machine, how the clips of the others vary, and who has a say in it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thrum import storage
from thrum.errors import DataError, StorageError
from thrum.federation.messages import MachineKey
from thrum.federation.pieces import Clips
from thrum.federation.statistics import StatisticsStore
from thrum.privacy.mechanisms import LEAST_CLIPS
from thrum.systems.embedding_sharing import Moments, mean_frames, moments_of
from thrum.systems.embedding_sharing.moments import pooled
from thrum.systems.embedding_sharing.trust import off_scale, pools_without, says

SHRUNK = 0.5
"""Of the clips of the round before: a site that lost more is named."""

_log = logging.getLogger(__name__)


@dataclass
class Pools:
    """What came of pooling.

    Parameters
    ----------
    of
        For each machine that asked, the pool of the others; not of those that have no others.
    odd
        Machines that have no say at all, and why.
    notes
        What the operator must know, whole sentences; machines are named.
    """

    of: dict[MachineKey, Moments]
    odd: dict[MachineKey, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def pool_for(asking: Sequence[MachineKey], moments: Mapping[MachineKey, Moments]) -> Pools:
    """Return, for each machine, the pool of all *other* machines, weighted by how much they agree.

    Parameters
    ----------
    asking
        Who is to have one, whether or not its own statistics are known.
    moments
        All statistics that are known.
    """
    judged = says(moments)
    weights = {key: say.weight for key, say in judged.items()}
    pools = pools_without(moments, weights)
    named = [key for key, weight in weights.items() if weight > 0]
    if named and any(key not in moments for key in asking):
        everybody = pooled([moments[key] for key in named], weights=[weights[k] for k in named])
        pools |= {key: everybody for key in asking if key not in moments}
    found = Pools({key: pools[key] for key in asking if key in pools})
    for key, say in judged.items():
        if not say.reason:
            continue
        left_out = "left out of the pool: " if say.weight == 0 else ""
        found.notes.append(f"{'/'.join(key)}: {left_out}{say.reason}")
        _log.warning("%s", found.notes[-1])
        if say.weight == 0:
            found.odd[key] = say.reason
    return found


def of_embeddings(clips: Mapping[MachineKey, Clips]) -> Pools:
    """Return the pools of machines whose embeddings (T, D) the server has; off-scale ones are odd as well."""
    means = {key: mean_frames(own) for key, own in clips.items()}
    moments = {}
    constant: dict[MachineKey, str] = {}
    for key, own in means.items():
        if len(own) < LEAST_CLIPS:
            continue
        try:
            moments[key] = moments_of(own)
        except DataError as error:
            constant[key] = str(error)
    pools = pool_for(list(clips), moments)
    for key, ratio in off_scale(means).items():
        constant[key] = f"its embeddings are {ratio:,.3g} times as large as the others'"
    for key, reason in constant.items():
        pools.odd[key] = reason
        pools.notes.append(f"{'/'.join(key)}: {reason}")
        _log.warning("%s", pools.notes[-1])
    return pools


class KnownStatistics:
    """The statistics of all sites that took part, this time or before, by one embedder.

    Parameters
    ----------
    folder
        Where they lie.
    embedder
        The settings of this round's embedder: what was made by another is forgotten.
    """

    def __init__(self, folder: Path, embedder: Mapping[str, Any]) -> None:
        self.store = StatisticsStore(folder)
        self.damaged: list[str] = []
        """What was found damaged so far, in words."""
        path = folder / "embedder.json"
        if path.exists() and self._embedder(path) != dict(embedder):
            shutil.rmtree(folder)
        storage.write_sealed(path, dict(embedder))

    def keep(self, site: str, moments: Mapping[MachineKey, Moments]) -> list[str]:
        """Keep what a site has sent in place of what it sent before; return what is odd about it."""
        notes = []
        for key, before in self._read(site).items() if self.store.has(site) else ():
            now = moments[key].count if key in moments else 0
            if now < SHRUNK * before.count:
                notes.append(f"{'/'.join(key)} now has {now} clips, {before.count} before")
                _log.warning("%s", notes[-1])
        self.store.keep(site, moments)
        return notes

    def all(self) -> dict[MachineKey, Moments]:
        """Return the statistics of every machine."""
        found: dict[MachineKey, Moments] = {}
        for site in self.store.names:
            found |= self._read(site)
        return found

    def _read(self, site: str) -> dict[MachineKey, Moments]:
        """Return what a site sent before; where that is damaged, nothing, and it is forgotten."""
        try:
            return self.store.read(site)
        except StorageError as error:
            self._note(
                f"the statistics of site {site!r} were damaged on the server's disk and are forgotten: what "
                f"it sends counts",
                error,
            )
            shutil.rmtree(self.store.folder / site)
            return {}

    def _embedder(self, path: Path) -> dict[str, Any] | None:
        try:
            return storage.read_sealed(path, unsealed=True)
        except StorageError as error:
            self._note(
                "it was damaged on the server's disk by which embedder the statistics of before were made: "
                "they are forgotten, and what sites send counts",
                error,
            )
            return None

    def _note(self, what: str, error: StorageError) -> None:
        _log.warning("%s: %s", what, error)
        self.damaged.append(what)
