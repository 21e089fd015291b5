"""What comes down to a site: kept where it works there and makes nothing worse, or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import ProtocolError, StorageError
from thrum.federation.acceptance import accepted
from thrum.federation.brought import RECEIVED, Brought
from thrum.federation.messages import Algorithm, MachineKey, Message, parse, plain
from thrum.federation.own_clips import OwnClips
from thrum.federation.result_messages import Acknowledgement, ClassifierQuestion, ScoresQuestion
from thrum.federation.statistics import StatisticsStore, parse_statistics
from thrum.federation.summing import Summing
from thrum.systems.embedding_sharing import IDClassifier, Moments, NetworkScores, mean_frames
from thrum.types import names_of

MOST_GROUPS = 256
"""Classifiers that a site keeps of one round: one a machine type."""
Record = Callable[[str, str, Message], None]
"""Writes into the ledger what leaves: what it is, of what, and the message."""

_log = logging.getLogger(__name__)


class Arriving:
    """Keeps what a round brings in the site's folder.

    Parameters
    ----------
    folder
        The site's.
    own
        Its clips: what arrives is tried on them.
    brought
        What is in force.
    summing
        The site's side of a secret sum.
    algorithms
        Returns of which of the paper's algorithms something may come: of the round, and of the site.
    record
        Writes each acknowledgement down.
    device
        Where a classifier is tried.
    """

    def __init__(
        self,
        folder: Path,
        own: OwnClips,
        brought: Brought,
        summing: Summing,
        *,
        algorithms: Callable[[], set[Algorithm]],
        record: Record,
        device: torch.device,
    ) -> None:
        self.folder = folder
        self.own = own
        self.brought = brought
        self.pools = StatisticsStore(folder / "pools")
        self._summing = summing
        self._algorithms = algorithms
        self._record = record
        self._device = device
        self._names = names_of(own.machines)

    def total(self, total: Message) -> Message:
        """Keep the sum of all sites' statistics, for each machine without its own."""

        def keep() -> str:
            pools, machines = self._summing.pools(total)
            self._keep_pools(pools)
            return f"the sum of {machines} machines"

        return self._kept("the sum of all sites", keep)

    def statistics(self, pools: Message) -> Message:
        """Keep how the clips of the others vary, for each of the site's machines."""

        def keep() -> str:
            machines = self.own.machines
            found = parse_statistics(
                pools, dimensions=self.own.dimensions(), most=len(machines), what="the pools"
            )
            if strange := [key for key in found if key not in machines]:
                raise ProtocolError(f"a pool for {'/'.join(strange[0])} came, not this site's")
            self._keep_pools(found)
            return f"pools for {len(found)} machines"

        return self._kept("pools", keep)

    def classifier(self, state: Message, description: Message) -> Message:
        """Keep the trained ID classifier of a group of machines (Algorithm 1), if it works here."""

        def keep() -> str:
            self._require_round_of(1, "an ID classifier")
            asked = {"state": state, "description": description}
            what = parse(ClassifierQuestion, asked, what="the classifier").description
            folder = self.folder / "classifiers" / what.group
            if not folder.exists() and len(list(folder.parent.glob("*"))) >= MOST_GROUPS:
                raise ProtocolError(f"more than {MOST_GROUPS} classifiers were sent in one round")
            classifier = IDClassifier.from_message(state, plain(what)).to(self._device)
            self._try(classifier)
            self.brought.make_room()
            classifier.save(folder)
            return f"classifier {folder.name}{classifier.config.told}"

        return self._kept("a classifier", keep)

    def scores(self, scores: Message) -> Message:
        """Keep the scores that the server computed for one machine (Algorithm 2)."""

        def keep() -> str:
            self._require_round_of(2, "scores")
            came = parse(ScoresQuestion, {"scores": scores}, what="the scores").scores
            name = "/".join(came.key)
            if came.key not in self.own.machines:
                raise ProtocolError(f"scores of {name} were sent, which is not this site's")
            found = NetworkScores.parse(plain(came))
            wanted = len(self.own.of(came.key, "train")), len(self.own.of(came.key, "test"))
            sent = len(found.train_identified), len(found.test_identified)
            if sent != wanted:
                raise ProtocolError(
                    f"{sent[0]} + {sent[1]} scores of {name} were sent, wanted {wanted[0]} + {wanted[1]}"
                )
            self.brought.make_room()
            storage.write_sealed(self._received_path(came.key), found.message())
            return f"scores of {name}"

        return self._kept("scores", keep)

    # What has arrived

    def pools_in_force(self) -> dict[MachineKey, Moments]:
        """Return how the clips of others vary, for each machine that has a pool."""
        return self.pools.read("all") if self.pools.names else {}

    def scores_in_force(self, key: MachineKey) -> NetworkScores | None:
        """Return the scores that the server computed for a machine (Algorithm 2)."""
        path = self._received_path(key)
        return (
            NetworkScores.parse(storage.read_sealed(path, unsealed=True)) if path.exists() else None
        )

    def classifier_in_force(self) -> IDClassifier | None:
        """Return the classifier that the server sent for the site's machines (Algorithm 1)."""
        for folder in sorted((self.folder / "classifiers").glob("*")):
            classifier = IDClassifier.load(folder)
            if any(key in classifier.keys for key in self.own.machines):
                return classifier
        return None

    def _received_path(self, key: MachineKey) -> Path:
        return self.folder / RECEIVED / f"{self._names[key]}.json"

    def _keep_pools(self, pools: dict[MachineKey, Moments]) -> None:
        """Put new pools in force, but for machines whose normal clips they explain worse."""

        def clips_of(key: MachineKey) -> NDArray[np.float64]:
            return mean_frames(self.own.released(self.own.of(key, "train")))

        try:
            before = self.pools_in_force()
        except StorageError:  # what is damaged is no reason to stay with it
            before = {}
        found, refused = accepted(clips_of, before, pools)
        self.brought.make_room()
        self.pools.keep("all", found)
        for why in refused:
            self.brought.refuse(why)

    def _require_round_of(self, algorithm: Algorithm, what: str) -> None:
        """Refuse what the round, or this site, does not have."""
        if algorithm not in self._algorithms():
            raise ProtocolError(
                f"{what} came, which Algorithm {algorithm} has: not this round, or not this site"
            )

    def _try(self, classifier: IDClassifier) -> None:
        """Refuse a classifier of other machines or embeddings than these, or without an answer to them."""
        own = [key for key in self.own.machines if key in classifier.keys]
        if not own:
            raise ProtocolError("a classifier came that tells none of this site's machines apart")
        for key in own:
            (frames,) = self.own.released(self.own.of(key, "train")[:1])
            classifier.require_usable(frames)

    def _kept(self, what: str, keep: Callable[[], str]) -> Message:
        """Keep what came down, or refuse it and go on without: the site then has its own scores."""
        taken = True
        try:
            what = keep()
        except ProtocolError as error:
            taken = False
            _log.warning("refused: %s", error)
            self.brought.refuse(str(error))
        message = plain(Acknowledgement(what, taken))
        self._record("acknowledgement", what if taken else f"{what}: refused", message)
        return message
