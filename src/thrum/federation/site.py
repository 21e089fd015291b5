"""A site: it keeps its recordings, answers the server, and scores its own machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.datasets.taking import takings_of, write_takings
from thrum.embedders.base import Embedder, name_of
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.errors import DataError, ProtocolError, StorageError
from thrum.federation.acceptance import accepted
from thrum.federation.brought import RECEIVED, Brought
from thrum.federation.chunks import chunk_content, chunk_message
from thrum.federation.cutting import Cutter
from thrum.federation.evidence import KEY_FILE, sign
from thrum.federation.ledger import Ledger
from thrum.federation.messages import (
    VERSION,
    Acknowledgement,
    Algorithm,
    ChunkQuestion,
    ClassifierQuestion,
    Description,
    Hello,
    Machine,
    MachineKey,
    Manifest,
    ManifestQuestion,
    Message,
    Piece,
    ScoresQuestion,
    Sharing,
    Split,
    checked_name,
    parse,
    plain,
)
from thrum.federation.releasing import Releases, Releasing
from thrum.federation.statistics import StatisticsStore, parse_statistics, released
from thrum.federation.statistics_messages import StatisticsQuestion
from thrum.federation.summing import Summing
from thrum.privacy.mechanisms import release
from thrum.systems.embedding_sharing import (
    Config,
    EmbeddingSharing,
    IDClassifier,
    Moments,
    NetworkScores,
    ScorePair,
    mean_frames,
    selected,
)
from thrum.systems.embedding_sharing.pool import Frames
from thrum.training import device_of
from thrum.types import Clip, Progress, Scores, group_by_machine, names_of

MOST_GROUPS = 256
"""Classifiers that a site keeps of one round: one a machine type."""
_SPLITS: dict[Algorithm, tuple[Split, ...]] = {1: ("train",), 2: ("train", "test")}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteScores:
    """What a site knows of one of its machines after a round.

    Parameters
    ----------
    key
        The machine and machine ID.
    clips
        Its test clips.
    scores
        For each method, the scores of the test clips and the left-out scores of the training clips.
    id_accuracy
        The share of its normal test clips whose machine ID the classifier names rightly; None without a
        classifier, or without such clips.
    """

    key: MachineKey
    clips: Sequence[Clip]
    scores: Mapping[str, ScorePair]
    id_accuracy: float | None

    @property
    def test(self) -> Scores:
        """The scores of the test clips, one column a method."""
        columns = {method: pair.test for method, pair in self.scores.items()}
        return Scores(self.clips, columns, selected(columns))


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
        self.told: Hello | None = None
        """What the server said of the round when it asked last."""
        self._cut: dict[Split, dict[str, tuple[Piece, list[Clip]]]] = {}
        self._embeddings = (
            EmbeddingStore(folder / "embeddings") if embeddings is None else embeddings
        )
        self._cutter = Cutter(folder / "fingerprint.key")
        self.releasing = Releasing(releases or Releases(), folder, self._cutter.secret)
        self._pools = StatisticsStore(folder / "pools")
        self._summing = Summing(
            name, list(self.machines), self.releasing, self.ledger, self._moments, self._dimensions
        )
        self._names = names_of(self.machines)
        for key in self.machines:
            for part in key:
                checked_name(part)
            if not self._clips(key, "train"):
                raise DataError(
                    f"site {name!r}: {'/'.join(key)} has no normal training clips; "
                    f"add some to learn from"
                )

    def prepare(self) -> None:
        """Compute the embeddings of all clips that are not there yet."""
        storage.private_folder(self.folder)
        clips = [clip for own in self.machines.values() for clip in own]
        if self._embeddings.missing(clips, self.embedder.settings):
            embed_into(self._embeddings, clips, self.embedder, progress=self.progress)
        train = [clip for clip in clips if clip.split == "train"]
        write_takings(self.folder, takings_of(train))
        self._cutter.prepare()
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
                    Machine(*key, len(self._clips(key, "train")), len(self._clips(key, "test")))
                    for key in self.machines
                ],
                self.embedder.settings,
                self._dimensions(),
                self.embedder.stack_frames,
                self.embedder.stack_hop,
                self.embedder.invertible,
                self.algorithm,
                self.sharing,
                self.releasing.chain.told,
                self.releasing.statistics_chain.told,
            )
        )
        embedder = type(self.embedder).__name__
        if self.embedder.invertible:
            embedder += ", which can be turned back into sound"
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
        released = self._released(clips)
        message = chunk_message(np.concatenate(released), [len(frames) for frames in released])
        self.ledger.record(
            "embeddings",
            f"{'/'.join(piece.key)}, {split}, piece {piece.fingerprint[:12]}",
            clips=len(clips),
            n_bytes=len(chunk_content(message["embeddings"], message["lengths"])),
            sha256=message["sha256"],
            invertible=self.embedder.invertible,
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
        message = released(self._moments(), chain)
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

    def accept_total(self, total: Message) -> Message:
        """Keep the sum of all sites' statistics, for each machine without its own."""

        def keep() -> str:
            pools, machines = self._summing.pools(total)
            pools, refused = self._accepted(pools)
            self.brought.make_room()
            self._pools.keep("all", pools)
            for why in refused:
                self.brought.refuse(why)
            return f"the sum of {machines} machines"

        return self._kept("the sum of all sites", keep)

    def accept_classifier(self, state: Message, description: Message) -> Message:
        """Keep the trained ID classifier of a group of machines (Algorithm 1), if it works here."""

        def keep() -> str:
            self._require_round_of(1, "an ID classifier")
            asked = {"state": state, "description": description}
            what = parse(ClassifierQuestion, asked, what="the classifier").description
            folder = self.folder / "classifiers" / what.group
            if not folder.exists() and len(list(folder.parent.glob("*"))) >= MOST_GROUPS:
                raise ProtocolError(f"more than {MOST_GROUPS} classifiers were sent in one round")
            classifier = IDClassifier.from_message(state, plain(what)).to(self.device)
            self._try(classifier)
            self.brought.make_room()
            classifier.save(folder)
            return f"classifier {folder.name}"

        return self._kept("a classifier", keep)

    def accept_pools(self, pools: Message) -> Message:
        """Keep how the clips of the others vary, for each of the site's machines."""

        def keep() -> str:
            what = "the pools"
            found = parse_statistics(
                pools, dimensions=self._dimensions(), most=len(self.machines), what=what
            )
            if strange := [key for key in found if key not in self.machines]:
                raise ProtocolError(f"a pool for {'/'.join(strange[0])} came, not this site's")
            found, refused = self._accepted(found)
            self.brought.make_room()
            self._pools.keep("all", found)
            for why in refused:
                self.brought.refuse(why)
            return f"pools for {len(found)} machines"

        return self._kept("pools", keep)

    def accept_scores(self, scores: Message) -> Message:
        """Keep the scores that the server computed for one machine (Algorithm 2)."""

        def keep() -> str:
            self._require_round_of(2, "scores")
            came = parse(ScoresQuestion, {"scores": scores}, what="the scores").scores
            name, clips = "/".join(came.key), self.machines.get(came.key)
            if clips is None:
                raise ProtocolError(f"scores of {name} were sent, which is not this site's")
            own = NetworkScores.parse(plain(came))
            wanted = len(self._clips(came.key, "train")), len(self._clips(came.key, "test"))
            sent = len(own.train_identified), len(own.test_identified)
            if sent != wanted:
                raise ProtocolError(
                    f"{sent[0]} + {sent[1]} scores of {name} were sent, wanted {wanted[0]} + {wanted[1]}"
                )
            self.brought.make_room()
            storage.write_json(self._received_path(came.key), own.message())
            return f"scores of {name}"

        return self._kept("scores", keep)

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
        return scores

    def frames(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the embeddings (T, D) of clips of this site, as they lie on its disk."""
        return [self._embeddings.frames(clip) for clip in clips]

    def training_clips(self, key: MachineKey) -> list[Clip]:
        """Return the training clips of one of the site's machines."""
        return self._clips(key, "train")

    def system(self) -> EmbeddingSharing:
        """Return all that the site knows of its machines, as what scores any clip of them from now on."""
        classifier = self._classifier()
        return EmbeddingSharing.of_site(
            {key: self._released(self._clips(key, "train")) for key in self.machines},
            config=replace(
                classifier.config if classifier is not None else Config(),
                embedder=name_of(self.embedder),
            ),
            pools=self._pools.read("all") if self._pools.names else {},
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

    def _dimensions(self) -> int:
        first = next(iter(self.machines))
        return int(self.frames(self._clips(first, "train")[:1])[0].shape[1])

    def _score_machine(self, system: EmbeddingSharing, key: MachineKey) -> SiteScores:
        test = self._clips(key, "test")
        scores, network = system.pairs(key, self._released(test), received=self._received(key))
        accuracy = None
        if network is not None:
            accuracy = network.accuracy([clip.label == "normal" for clip in test])
        return SiteScores(key, test, scores, accuracy)

    def _released(self, clips: Sequence[Clip]) -> list[Frames]:
        """Return the embeddings of clips as they leave, or would: the site scores what it shares."""
        frames = self.frames(clips)
        if self.sharing == "statistics":  # no embedding leaves, in whatever form
            return [release(own) for own in frames]
        return [self.releasing.embeddings(own) for own in frames]

    def _moments(self) -> dict[MachineKey, Moments]:
        """Return how the clips of each machine vary, as it leaves."""
        moments: dict[MachineKey, Moments] = {}
        least = self.releasing.statistics_chain.least
        for key in self.machines:
            train = self._clips(key, "train")
            if len(train) < least:
                _log.warning(
                    "%s has %d training clips: its statistics stay here, wanted at least %d",
                    "/".join(key),
                    len(train),
                    least,
                )
                continue
            try:
                moments[key] = self.releasing.statistics(key, self._released(train))
            except DataError as error:
                _log.warning("%s: %s", "/".join(key), error)
        return moments

    def _received(self, key: MachineKey) -> NetworkScores | None:
        """Return the scores that the server computed for a machine (Algorithm 2)."""
        path = self._received_path(key)
        return NetworkScores.parse(storage.read_json(path)) if path.exists() else None

    def _classifier(self) -> IDClassifier | None:
        """Return the classifier that the server sent for the site's machines (Algorithm 1)."""
        for folder in sorted((self.folder / "classifiers").glob("*")):
            classifier = IDClassifier.load(folder)
            if any(key in classifier.keys for key in self.machines):
                return classifier
        return None

    def _clips(self, key: MachineKey, split: str) -> list[Clip]:
        return [clip for clip in self.machines[key] if clip.split == split]

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
                clips = self._clips(key, split)
                made = self._cutter.pieces(key, self._released(clips), self.embedder.settings)
                pieces |= {
                    piece.fingerprint: (piece, [clips[place] for place in piece.places])
                    for piece in made
                }
            self._cut[split] = pieces
        return self._cut[split]

    def _require_round_of(self, algorithm: Algorithm, what: str) -> None:
        """Refuse what the round, or this site, does not have."""
        allowed = {1, self.algorithm}
        if self.told is not None:
            allowed &= {self.told.algorithm}
        if algorithm not in allowed:
            raise ProtocolError(
                f"{what} came, which Algorithm {algorithm} has: not this round, or not this site"
            )

    def _try(self, classifier: IDClassifier) -> None:
        """Refuse a classifier of other machines or embeddings than these, or without an answer to them."""
        own = [key for key in self.machines if key in classifier.keys]
        if not own:
            raise ProtocolError("a classifier came that tells none of this site's machines apart")
        for key in own:
            (frames,) = self._released(self._clips(key, "train")[:1])
            classifier.require_usable(frames)

    def _accepted(
        self, pools: dict[MachineKey, Moments]
    ) -> tuple[dict[MachineKey, Moments], list[str]]:
        """Return what of new pools is in force from now on, and what of them is refused."""
        try:
            before = self._pools.read("all") if self._pools.names else {}
        except StorageError:  # what is damaged is no reason to stay with it
            before = {}

        def clips_of(key: MachineKey) -> NDArray[np.float64]:
            return mean_frames(self._released(self._clips(key, "train")))

        return accepted(clips_of, before, pools)

    def _received_path(self, key: MachineKey) -> Path:
        return self.folder / RECEIVED / f"{self._names[key]}.json"

    def _kept(self, what: str, keep: Callable[[], str]) -> Message:
        """Keep what came down, or refuse it and go on without: the site then has its own scores."""
        accepted = True
        try:
            what = keep()
        except ProtocolError as error:
            accepted = False
            _log.warning("refused: %s", error)
            self.brought.refuse(str(error))
        message = plain(Acknowledgement(what, accepted))
        self._record_text("acknowledgement", what if accepted else f"{what}: refused", message)
        return message

    def _record_text(self, what: str, detail: str, message: Message) -> None:
        content = json.dumps(message).encode()
        self.ledger.record(
            what, detail, clips=0, n_bytes=len(content), sha256=storage.sha256_bytes(content)
        )
