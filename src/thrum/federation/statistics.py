"""How clips vary, as it travels and as it is kept, with all that is checked on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from thrum import storage
from thrum.errors import ProtocolError, StorageError
from thrum.federation.messages import (
    MachineKey,
    Message,
    checked_name,
    parse,
    plain,
    printable,
    require_at_most,
)
from thrum.federation.statistics_messages import MachineStatistics, Statistics
from thrum.privacy.mechanisms import StatisticsChain, release_statistics
from thrum.systems.embedding_sharing.moments import RANK, Moments

SLACK = 1e-3
"""Of float32: how far from orthogonal, or from trace one, what arrives may be."""


def released(moments: Mapping[MachineKey, Moments], chain: StatisticsChain) -> Message:
    """Return a site's statistics as a message, after they have passed the gate."""
    noisy = chain.noise is not None
    return _message(
        {
            key: replace(
                own,
                axes=release_statistics(own.count, own.axes, least=chain.least, noisy=noisy).astype(
                    np.float64
                ),
            )
            for key, own in moments.items()
        }
    )


def pools_message(pools: Mapping[MachineKey, Moments]) -> Message:
    """Return pools, each for one machine, as a message."""
    return _message(pools)


def parse_statistics(
    message: object, *, dimensions: int, most: int, what: str
) -> dict[MachineKey, Moments]:
    """Check statistics, or pools, that have arrived: of `most` machines, those of the site.

    Raises
    ------
    ProtocolError
        Where they are malformed, of another embedder, or no covariance: not finite, axes not orthogonal, a
        trace other than one.
    """
    require_at_most(message, "machines", most, what=what)
    found: dict[MachineKey, Moments] = {}
    for own in parse(Statistics, message, what=what).machines:
        name = printable("/".join(own.key))
        if own.key in found:
            raise ProtocolError(f"{what}: {name} comes twice")
        try:
            found[own.key] = _checked(own, dimensions)
        except ProtocolError as error:
            raise ProtocolError(f"{what}, {name}: {error}") from error
    return found


def _message(moments: Mapping[MachineKey, Moments]) -> Message:
    return plain(
        Statistics(
            [
                MachineStatistics(key, own.count, own.axes.astype(np.float32), float(own.rest))
                for key, own in moments.items()
            ]
        )
    )


def _checked(own: MachineStatistics, dimensions: int) -> Moments:
    axes = own.axes
    if axes.dtype != np.float32 or axes.ndim != 2 or axes.shape[1] != dimensions:
        raise ProtocolError(
            f"{axes.dtype} {axes.shape} came, wanted float32 (R, {dimensions}), the embedder's dimensions"
        )
    if not 1 <= len(axes) <= min(RANK, dimensions):
        raise ProtocolError(f"{len(axes)} axes came, wanted 1 to {min(RANK, dimensions)}")
    if not np.isfinite(axes).all() or np.abs(axes).max() > 1 + SLACK:
        raise ProtocolError(
            "values came that are NaN, infinite or longer than a trace of one allows"
        )
    exact = axes.astype(np.float64)
    products = exact @ exact.T
    largest = float(products.diagonal().max())
    if np.abs(products - np.diag(products.diagonal())).max() > SLACK * largest:
        raise ProtocolError("its axes are not orthogonal: that is no covariance")
    moments = Moments(own.count, exact, own.rest)
    if abs(moments.trace - 1) > SLACK:
        raise ProtocolError(f"its trace is {moments.trace:.4g}, wanted 1")
    return moments


class StatisticsStore:
    """What sites have sent, or what a site was sent: one file of each name, whole or not there.

    Parameters
    ----------
    folder
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def names(self) -> list[str]:
        """Whose statistics there are."""
        return sorted(path.parent.name for path in self.folder.glob("*/statistics.json"))

    def has(self, name: str) -> bool:
        """Whether there are statistics of one site."""
        return (self.folder / name / "statistics.json").exists()

    def keep(self, name: str, moments: Mapping[MachineKey, Moments]) -> None:
        """Write the statistics of one site; they replace its former ones."""
        keys = list(moments)
        tensors = {
            str(number): torch.from_numpy(np.ascontiguousarray(moments[key].axes))
            for number, key in enumerate(keys)
        }
        told = [[list(key), moments[key].count, moments[key].rest] for key in keys]
        folder = self.folder / checked_name(name)
        storage.save_state(folder, tensors, {"machines": told}, name="statistics")

    def read(self, name: str) -> dict[MachineKey, Moments]:
        """Return what `keep` wrote; a `StorageError` where it is damaged."""
        tensors, described = storage.load_state(self.folder / name, name="statistics")
        try:
            return {
                (key[0], key[1]): Moments(count, tensors[str(number)].numpy(), rest)
                for number, (key, count, rest) in enumerate(described["machines"])
            }
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{self.folder / name} does not hold statistics: {error}") from error
