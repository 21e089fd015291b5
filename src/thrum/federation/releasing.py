"""What a site lets out, and in which form: its chains, its own key for noise, its budget."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.federation.messages import MachineKey
from thrum.federation.secret import Secret
from thrum.privacy.mechanisms import StatisticsChain, parse_chain, parse_statistics_chain
from thrum.privacy.mechanisms.budget import Budget, parse_limit
from thrum.privacy.mechanisms.statistics import noisy_second_moment
from thrum.systems.embedding_sharing import Moments, mean_frames, moments_of
from thrum.systems.embedding_sharing.moments import moments_from

EMBEDDINGS = "frames"
STATISTICS = "least:5"


@dataclass(frozen=True)
class Releases:
    """The forms in which a site releases, as a person writes them.

    Parameters
    ----------
    embeddings
        A chain, as `thrum.privacy.mechanisms.parse_chain` reads it.
    statistics
        A chain, as `thrum.privacy.mechanisms.parse_statistics_chain` reads it.
    budget
        ``epsilon,delta``: the most that may be spent on any clip, in all rounds together; empty for no limit.
    """

    embeddings: str = EMBEDDINGS
    statistics: str = STATISTICS
    budget: str = ""

    def __post_init__(self) -> None:
        parse_chain(self.embeddings)
        parse_statistics_chain(self.statistics)
        if self.budget:
            parse_limit(self.budget)


def statistics_of(clips: Sequence[NDArray[Any]], chain: StatisticsChain, *, key: bytes) -> Moments:
    """Return how clips (T, D) of one machine vary, as a chain releases it; `key` decides the noise.

    Raises
    ------
    DataError
        Where the clips are all the same.
    """
    vectors = mean_frames(clips)
    if chain.noise is None:
        return moments_of(vectors)
    return moments_from(len(vectors), noisy_second_moment(vectors, chain.noise, key=key))


class Releasing:
    """Brings what a site has into the form in which it leaves.

    Parameters
    ----------
    releases
        Which form.
    folder
        The site's.
    secret
        The site's.
    """

    def __init__(self, releases: Releases, folder: Path, secret: Secret) -> None:
        self.chain = parse_chain(releases.embeddings)
        self.statistics_chain = parse_statistics_chain(releases.statistics)
        limit = parse_limit(releases.budget) if releases.budget else None
        self.budget = Budget(folder / "budget.json", limit)
        self._secret = secret

    def embeddings(self, frames: NDArray[Any]) -> NDArray[np.float16]:
        """Return embeddings (T, D) of a clip as they leave, and as the site scores them."""
        return self.chain.release(frames, key=self.key if self.chain.noise else b"")

    def spend_on_embeddings(self, key: MachineKey, settings: object) -> None:
        """Note that embeddings of a machine leave: once for each chain and embedder, however often."""
        self.budget.spend("/".join(key), f"{self.chain.told} of {settings}", self.chain.mu)

    def statistics(self, key: MachineKey, clips: Sequence[NDArray[Any]]) -> Moments:
        """Return how a machine's clips (T, D) vary, as it leaves.

        Raises
        ------
        DataError
            Where the clips are all the same.
        BudgetSpentError
            Where noise would cost more than is allowed.
        """
        chain = self.statistics_chain
        found = statistics_of(clips, chain, key=self.key if chain.noise is not None else b"")
        digest = storage.sha256_bytes(mean_frames(clips).tobytes())
        self.budget.spend("/".join(key), f"{chain.told} of {digest}", chain.mu)
        return found

    @property
    def key(self) -> bytes:
        """What decides the site's noise: from its secret, which stays where it is."""
        return hmac.digest(self._secret.read(), b"thrum noise", "sha256")

    @property
    def noisy(self) -> bool:
        """Whether there is noise on anything that leaves."""
        return self.chain.noise is not None or self.statistics_chain.noise is not None
