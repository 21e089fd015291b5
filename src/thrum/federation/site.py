"""A site: it keeps its recordings, answers the server, and scores its own machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.datasets.taking import takings_of, write_takings
from thrum.embedders.base import Embedder, name_of
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.errors import DataError, ProtocolError
from thrum.federation.arriving import Arriving
from thrum.federation.brought import Brought
from thrum.federation.chunks import chunk_bytes, chunk_message
from thrum.federation.cutting import Cutter
from thrum.federation.evidence import KEY_FILE, sign
from thrum.federation.ledger import Ledger
from thrum.federation.messages import (
    VERSION,
    Algorithm,
    Description,
    Hello,
    Machine,
    MachineKey,
    Message,
    Sharing,
    Split,
    checked_name,
    parse,
    plain,
)
from thrum.federation.own_clips import OwnClips
from thrum.federation.piece_messages import ChunkQuestion, Manifest, ManifestQuestion, Piece
from thrum.federation.releasing import Releases, Releasing
from thrum.federation.secret import Secret
from thrum.federation.site_scores import SiteScores
from thrum.federation.statistics import released
from thrum.federation.statistics_messages import StatisticsQuestion
from thrum.federation.summing import Summing
from thrum.systems.embedding_sharing import (
    Config,
    EmbeddingSharing,
)
from thrum.systems.embedding_sharing.pool import Frames
from thrum.training import device_of
from thrum.types import Clip, Progress, group_by_machine

MOST_GROUPS = 256
"""Classifiers that a site keeps of one round: one a machine type."""
_SPLITS: dict[Algorithm, tuple[Split, ...]] = {1: ("train",), 2: ("train", "test")}

_log = logging.getLogger(__name__)


class Site:
    """One participant. Only what its methods in `thrum.federation.protocol` return ever leaves it.

    Parameters
    ----------
    name
        How the server knows it.
    clips
        Its clips, training and test, of one or more machine IDs.
    embedder
        The frozen model that all sites share.
    folder
        The site's own folder: embeddings, ledger, classifier, scores.
    device
        ``auto``, ``cpu`` or ``cuda``: where it embeds and scores.
    algorithm
        1: no embedding of a test clip leaves the site, whoever asks. 2: they may.
    sharing
        ``statistics``: no embedding leaves the site, whoever asks. ``embeddings``: they may.
    releases
        In which form what it shares leaves; None is what `Releases` says.
    embeddings
        Where its clips are embedded already; None keeps what it embeds in its own folder.
    progress
        Told how far embedding has come.

    Raises
    ------
    DataError
        Where a machine has no training clips, or two would have one name on disk.
    """

    def __init__(
        self,
        name: str,
        clips: Sequence[Clip],
        embedder: Embedder,
        folder: Path,
        *,
        device: str = "auto",
        algorithm: Algorithm = 1,
        sharing: Sharing = "statistics",
        releases: Releases | None = None,
        embeddings: EmbeddingStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self.machines = group_by_machine(clips)
        self.algorithm: Algorithm = algorithm
        self.sharing: Sharing = sharing
        self.device = device_of(device)
        self.embedder = embedder.to(self.device)
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.brought = Brought(folder)
        self.progress = progress
        self.left_out: dict[MachineKey, NDArray[np.float64]] = {}
        """The left-out scores (N,) of each machine's training clips, as it was scored last."""
        self.told: Hello | None = None
        """What the server said of the round when it asked last."""
        self._cut: dict[Split, dict[str, tuple[Piece, list[Clip]]]] = {}
        self._secret = Secret(folder / "fingerprint.key")
        self._cutter = Cutter(self._secret)
        self.releasing = Releasing(releases or Releases(), folder, self._secret)
        self.own = OwnClips(
            self.machines,
            EmbeddingStore(folder / "embeddings") if embeddings is None else embeddings,
            self.releasing,
            lambda: self.sharing == "embeddings",
        )
        self._summing = Summing(
            name,
            list(self.machines),
            self.releasing,
            self.ledger,
            self.own.moments,
            self.own.dimensions,
        )
        self._arriving = Arriving(
            folder,
            self.own,
            self.brought,
            self._summing,
            algorithms=self._algorithms,
            record=self._record_text,
            device=self.device,
        )
        for key in self.machines:
            for part in key:
                checked_name(part)
            if not self.own.of(key, "train"):
                raise DataError(
                    f"site {name!r}: {'/'.join(key)} has no normal training clips; "
                    f"add some to learn from"
                )

    def prepare(self) -> None:
        """Compute the embeddings of all clips that are not there yet."""
        storage.private_folder(self.folder)
        clips = [clip for own in self.machines.values() for clip in own]
        if self.own.embeddings.missing(clips, self.embedder.settings):
            embed_into(self.own.embeddings, clips, self.embedder, progress=self.progress)
        train = [clip for clip in clips if clip.split == "train"]
        write_takings(self.folder, takings_of(train))
        self._secret.prepare(noise=self.releasing.noisy)
        self._cut.clear()

    # What leaves the site

    def describe(
        self, protocol: Sequence[int], algorithm: int, sharing: str = "embeddings"
    ) -> Message:
        """Say which machines the site has, how many clips of each, and which embedder it uses."""
        asked = {"protocol": protocol, "algorithm": algorithm, "sharing": sharing}
        self.told = parse(Hello, asked, what="what the server says of the round")
        self.brought.begin()
        message = plain(
            Description(
                VERSION,
                [
                    Machine(*key, len(self.own.of(key, "train")), len(self.own.of(key, "test")))
                    for key in self.machines
                ],
                self.embedder.settings,
                self.own.dimensions(),
                self.embedder.stack_frames,
                self.embedder.stack_hop,
                self.algorithm,
                self.sharing,
                self.releasing.chain.told,
                self.releasing.statistics_chain.told,
            )
        )
        embedder = type(self.embedder).__name__
        self._record_text("description", f"machines and embedder ({embedder})", message)
        return message

    def manifest(self, split: str) -> Message:
        """List the pieces of embeddings of a split."""
        asked = parse(ManifestQuestion, {"split": split}, what="the question for pieces")
        self._cut.pop(asked.split, None)
        message = plain(Manifest([piece for piece, _ in self._pieces(asked.split).values()]))
        self._record_text("manifest", split, message)
        return message

    def chunk(self, split: str, fingerprint: str) -> Message:
        """Hand over one piece of embeddings, after it has passed `release` and stands in the ledger."""
        asked = parse(
            ChunkQuestion,
            {"split": split, "fingerprint": fingerprint},
            what="the question for a piece",
        )
        found = self._pieces(asked.split).get(asked.fingerprint)
        if found is None:
            raise ProtocolError(
                f"site {self.name!r} has no piece {asked.fingerprint[:12]}… of {split!r} to hand over"
            )
        piece, clips = found
        self.releasing.spend_on_embeddings(piece.key, self.embedder.settings)
        released = self.own.released(clips)
        message = chunk_message(np.concatenate(released), [len(frames) for frames in released])
        self.ledger.record(
            "embeddings",
            f"{'/'.join(piece.key)}, {split}, piece {piece.fingerprint[:12]}",
            clips=len(clips),
            n_bytes=chunk_bytes(message["embeddings"], message["lengths"]),
            sha256=message["sha256"],
            embedder=type(self.embedder).__name__,
            chain=self.releasing.chain.told,
            budget=self.releasing.budget.told("/".join(piece.key)),
        )
        return message

    def statistics(self) -> Message:
        """Say how the clips of each machine vary: a count and a covariance, after they stand in the ledger.

        A machine of fewer training clips than the chain wants, or whose clips are all the same, is left
        out; the log says so.
        """
        parse(StatisticsQuestion, {}, what="the question for statistics")
        chain = self.releasing.statistics_chain
        if chain.secure:
            raise ProtocolError(
                f"the server asked for statistics; only their sum over all sites leaves {self.name!r}"
            )
        message = released(self.own.moments(), chain)
        for own in message["machines"]:
            content = own["axes"].tobytes() + json.dumps([own["count"], own["rest"]]).encode()
            self.ledger.record(
                "statistics",
                f"{'/'.join(own['key'])}: how its training clips vary, no embedding",
                clips=own["count"],
                n_bytes=len(content),
                sha256=storage.sha256_bytes(content),
                chain=chain.told,
                budget=self.releasing.budget.told("/".join(own["key"])),
            )
        return message

    def mask_keys(self) -> Message:
        """Make new keys: a sum of statistics begins of which the server sees no part."""
        return self._summing.keys()

    def mask_shares(self, peers: Sequence[Message], place: int, needed: int) -> Message:
        """Hand out parts of this site's secrets, each sealed for another."""
        return self._summing.shares(peers, place, needed)

    def mask_values(self, boxes: Sequence[str]) -> Message:
        """Say how the clips of all machines together vary, masked."""
        return self._summing.values(boxes)

    def unmask(self, present: Sequence[int]) -> Message:
        """Hand over this site's parts of the others' secrets: never two of one site."""
        return self._summing.unmask(present)

    # What comes down

    def accept_total(self, total: Message) -> Message:
        """Keep the sum of all sites' statistics, for each machine without its own."""
        return self._arriving.total(total)

    def accept_pools(self, pools: Message) -> Message:
        """Keep how the clips of the others vary, for each of the site's machines."""
        return self._arriving.statistics(pools)

    def accept_classifier(self, state: Message, description: Message) -> Message:
        """Keep the trained ID classifier of a group of machines (Algorithm 1), if it works here."""
        return self._arriving.classifier(state, description)

    def accept_scores(self, scores: Message) -> Message:
        """Keep the scores that the server computed for one machine (Algorithm 2)."""
        return self._arriving.scores(scores)

    @property
    def refused(self) -> list[str]:
        """What the site refused of what came down in this round, and why."""
        return self.brought.refused

    def sign(self) -> None:
        """Sign what has left so far; at the end of a round."""
        sign(self.ledger, self.folder / KEY_FILE)

    # What stays

    def score(self) -> list[SiteScores]:
        """Score the site's machines with all that it has, and keep it: the folder opens as a system."""
        system = self.system()
        scores = [self._score_machine(system, key) for key in self.machines]
        system.save(self.folder)
        self.left_out = system.left_out_scores()
        return scores

    def frames(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the embeddings (T, D) of clips of this site, as they lie on its disk."""
        return self.own.frames(clips)

    def training_clips(self, key: MachineKey) -> list[Clip]:
        """Return the training clips of one of the site's machines."""
        return self.own.of(key, "train")

    def system(self) -> EmbeddingSharing:
        """Return all that the site knows of its machines, as what scores any clip of them from now on."""
        classifier = self._arriving.classifier_in_force()
        return EmbeddingSharing.of_site(
            {key: self.own.released(self.own.of(key, "train")) for key in self.machines},
            config=replace(
                classifier.config if classifier is not None else Config(),
                embedder=name_of(self.embedder),
            ),
            pools=self._arriving.pools_in_force(),
            classifier=classifier,
            release=self._scored_as(),
            device=str(self.device),
        )

    def _scored_as(self) -> tuple[str, bytes]:
        """Return the chain through which every clip goes that is scored, and the key of its noise."""
        if self.sharing == "statistics":
            return "frames", b""
        chain = self.releasing.chain
        return chain.text, self.releasing.key if chain.noise is not None else b""

    def _score_machine(self, system: EmbeddingSharing, key: MachineKey) -> SiteScores:
        test = self.own.of(key, "test")
        scores, network = system.pairs(
            key, self.own.released(test), received=self._arriving.scores_in_force(key)
        )
        accuracy = None
        if network is not None:
            accuracy = network.accuracy([clip.label == "normal" for clip in test])
        return SiteScores(key, test, scores, accuracy)

    def _pieces(self, split: Split) -> dict[str, tuple[Piece, list[Clip]]]:
        """Cut the clips of a split into pieces of one machine ID each; by fingerprint, and cut once."""
        if self.sharing != "embeddings":
            raise ProtocolError(
                f"the server asked for embeddings; only statistics leave site {self.name!r}"
            )
        if split not in _SPLITS[self.algorithm]:
            raise ProtocolError(
                f"the server asked for the {split!r} clips; under Algorithm {self.algorithm} only "
                f"{' and '.join(_SPLITS[self.algorithm])} clips' embeddings leave site {self.name!r}"
            )
        if split not in self._cut:
            pieces: dict[str, tuple[Piece, list[Clip]]] = {}
            for key in self.machines:
                clips = self.own.of(key, split)
                made = self._cutter.pieces(key, self.own.released(clips), self.embedder.settings)
                pieces |= {
                    piece.fingerprint: (piece, [clips[place] for place in piece.places])
                    for piece in made
                }
            self._cut[split] = pieces
        return self._cut[split]

    def _algorithms(self) -> set[Algorithm]:
        """Return of which algorithms something may come: of the round, and of this site."""
        allowed: set[Algorithm] = {1, self.algorithm}
        return allowed if self.told is None else allowed & {self.told.algorithm}

    def _record_text(self, what: str, detail: str, message: Message) -> None:
        content = json.dumps(message).encode()
        self.ledger.record(
            what, detail, clips=0, n_bytes=len(content), sha256=storage.sha256_bytes(content)
        )
