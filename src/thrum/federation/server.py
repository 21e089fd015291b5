"""The server's side: collect embeddings, train the ID classifier, hand out the classifier or the scores."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum.errors import FederationError, ProtocolError
from thrum.federation.changes import changed_by_one
from thrum.federation.chunks import parse_chunk
from thrum.federation.handing_out import HandingOut
from thrum.federation.locking import locked
from thrum.federation.members import (
    Limits,
    Member,
    check_consent,
    check_members,
    check_registered,
    check_releases,
    check_statistics,
    member_of,
    pieces_of,
)
from thrum.federation.messages import VERSION, Algorithm, MachineKey, Sharing, Split
from thrum.federation.outcome import Outcome
from thrum.federation.piece_messages import Piece
from thrum.federation.pieces import Clips, PieceStore
from thrum.federation.pooling import KnownStatistics, of_embeddings, pool_for
from thrum.federation.protocol import SiteHandle
from thrum.federation.roll import Roll
from thrum.federation.scoring import kept as kept_scoring
from thrum.federation.secure import summed
from thrum.federation.statistics import parse_statistics
from thrum.federation.training_costs import FILE, TrainingCosts
from thrum.privacy.mechanisms import parse_statistics_chain
from thrum.systems.embedding_sharing import (
    Config,
    FramePool,
    groups_of,
    train_classifier,
)
from thrum.systems.embedding_sharing.moments import Moments
from thrum.systems.embedding_sharing.private import cost_of, require_opacus
from thrum.training import device_of
from thrum.types import Progress

WHITENING_FROM = 5
"""Sites. Ours: of five, what is left is a mean of four others (docs/privacy.md)."""
PIECES_AT_ONCE = 2
"""Of one site."""
_SPLITS: dict[Algorithm, tuple[Split, ...]] = {1: ("train",), 2: ("train", "test")}

Listed = dict[str, dict[Split, list[Piece]]]
"""The pieces of each site and split."""


class Server:
    """Runs rounds of collaboration in a folder; a killed round goes on where it was.

    Parameters
    ----------
    folder
        Holds the pieces that have arrived, checkpoints and classifiers. One process at a time.
    config
        How the classifier is trained and how clips are scored.
    seed
        Decides everything random.
    device
        ``auto``, ``cpu`` or ``cuda``.
    per_machine_type
        Train one classifier a machine type, as the paper's experiments do, instead of one for all.
    registry
        Which machines each site may speak for. None binds a machine to the first site that claims it.
    limits
        What one site may send.
    quorum
        How many sites must be left where some fail; None wants all.
    release
        The chain of mechanisms that all sites must release by, as all may know it; None takes theirs.
    whitening_from
        Under Algorithm 1, the fewest sites whose frames a classifier is standardised by: it carries their
        mean, and of two sites each works out the other's.
    progress
        Told how far the round has come.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Config,
        seed: int = 0,
        device: str = "auto",
        per_machine_type: bool = False,
        registry: Mapping[str, Sequence[MachineKey]] | None = None,
        limits: Limits | None = None,
        quorum: int | None = None,
        release: str | None = None,
        whitening_from: int = WHITENING_FROM,
        progress: Progress | None = None,
    ) -> None:
        config.require_shareable()
        require_opacus(config)
        self.folder = folder
        self.pieces = PieceStore(folder / "pieces")
        self.config = config
        self.seed = seed
        self.device = device
        self.per_machine_type = per_machine_type
        self.registry = registry
        self.limits = limits or Limits()
        self.quorum = quorum
        self.release = release
        self.whitening_from = whitening_from
        self._costs = TrainingCosts(folder / FILE)
        self.progress = progress

    def collaborate(
        self,
        sites: Mapping[str, SiteHandle],
        *,
        algorithm: Algorithm = 1,
        sharing: Sharing = "statistics",
    ) -> Outcome:
        """Run one round over `sites`: statistics are pooled, or the paper's Algorithm 1 or 2 is run.

        Raises
        ------
        FederationError
            Where two sites claim one machine ID, use different embedders, or a message is wrong.
        """
        with locked(self.folder):
            roll = Roll(sites, quorum=self.quorum, progress=self.progress)
            members = self._register(roll, sites, algorithm, sharing)
            since = changed_by_one(self.folder / "last.json", members, algorithm, sharing)
            if sharing == "statistics":
                outcome = self._share_statistics(roll, sites, members)
                return replace(outcome, remarks=[*outcome.remarks, *since])
            shutil.rmtree(self.folder / "classifiers", ignore_errors=True)  # of an earlier round
            kept_scoring.forget(self.folder)
            listed = self._listed(roll, sites, members, _SPLITS[algorithm])
            self.pieces.keep_only(listed, spared={*sites, *(self.registry or ())} - listed.keys())
            pools = self._collect(roll, sites, members, listed, "train")
            members = {name: members[name] for name in roll.present}
            found = of_embeddings(pools)
            trusted = [key for key in pools if key not in found.odd]
            groups, alone = groups_of(trusted, per_machine_type=self.per_machine_type)
            first = next(iter(members.values())).description
            config, told = self._config(algorithm, members)
            private = config.dp_epsilon is not None
            classifiers = {}
            for group, keys in groups.items():
                pool = FramePool({key: pools[key] for key in keys})
                if private:
                    told.append(self._costs.spend(keys, cost_of(config, pool), config))
                classifiers[group] = train_classifier(
                    pool,
                    config,
                    stack_frames=first.stack_frames,
                    stack_hop=first.stack_hop,
                    seed=self.seed,
                    device=self.device,
                    checkpoint=self.folder / "training" / f"{group}.safetensors",
                    progress=self.progress,
                )
                classifiers[group].save(
                    self.folder / "classifiers" / group,
                    sites=[name for name, own in members.items() if set(keys) & set(own.machines)],
                )
            handing_out = HandingOut(roll, sites, members)
            pooled = {} if private else handing_out.pools(found)
            if algorithm == 1:
                kept = handing_out.classifiers(classifiers, groups)
            else:
                test = self._collect(roll, sites, members, listed, "test")
                own = device_of(self.device)
                kept = handing_out.scores(classifiers, groups, pools, test, device=own)
                kept_scoring.keep(
                    self.folder, {name: listed[name]["train"] for name in roll.present}
                )
        without = [
            f"{'/'.join(key)} has nothing to be told apart from, and no classifier" for key in alone
        ]
        return Outcome(
            list(members.values()),
            classifiers,
            [key for key in pools if key not in found.of],
            [*self.pieces.damaged, *found.notes, *without, *told, *since],
            [name for name in kept if not (kept[name] and pooled.get(name, True))],
            dict(roll.lost),
        )

    def _config(
        self, algorithm: Algorithm, members: Mapping[str, Member]
    ) -> tuple[Config, list[str]]:
        """Return the settings of the classifier under the policy, and what the operator must know of it."""
        if self.config.dp_epsilon is not None:
            return self.config, [
                "no site is sent how the others' clips vary: no noise is on that, which there is on the "
                "networks"
            ]
        few = algorithm == 1 and len(members) < self.whitening_from
        if not few or not self.config.standardise:
            return self.config, []
        return replace(self.config, standardise=False), [
            f"the classifier is not standardised by the sites' frames: of {len(members)} sites, fewer than "
            f"{self.whitening_from}, it would tell each what the others' mean is (--whitening-from)"
        ]

    def _share_statistics(
        self, roll: Roll, sites: Mapping[str, SiteHandle], members: Mapping[str, Member]
    ) -> Outcome:
        """Pool how clips vary; who comes later, or is not here today, takes part by what is kept."""

        def ask(name: str) -> dict[MachineKey, Moments]:
            member = members[name]
            own = parse_statistics(
                sites[name].statistics(),
                dimensions=member.description.dimensions,
                most=len(member.machines),
                what=f"the statistics of site {name!r}",
            )
            check_statistics(member, own)
            return own

        first = next(iter(members.values())).description
        if parse_statistics_chain(first.statistics_release).secure:
            return self._sum_statistics(roll, sites, members, first.dimensions)
        collected = roll.ask(ask, "collecting statistics")
        known = KnownStatistics(self.folder / "statistics", first.embedder)
        notes = [note for name, own in collected.items() for note in known.keep(name, own)]
        asking = [key for name in collected for key in members[name].machines]
        pools = pool_for(asking, known.all())
        kept = HandingOut(roll, sites, members).pools(pools)
        return Outcome(
            [members[name] for name in roll.present],
            {},
            [key for key in asking if key not in pools.of],
            [*known.damaged, *notes, *pools.notes],
            [name for name, accepted in kept.items() if not accepted],
            dict(roll.lost),
        )

    def _sum_statistics(
        self,
        roll: Roll,
        sites: Mapping[str, SiteHandle],
        members: Mapping[str, Member],
        dimensions: int,
    ) -> Outcome:
        """Learn the sum of how all machines vary, of no one how; nobody can be judged, nothing is kept."""
        total = summed(roll, sites, dimensions)
        kept = HandingOut(roll, sites, members).total(total)
        return Outcome(
            [members[name] for name in roll.present],
            {},
            [],
            [
                f"the statistics of {total.machines} machines were summed in secret: no odd one is left out"
            ],
            [name for name, accepted in kept.items() if not accepted],
            dict(roll.lost),
        )

    def _register(
        self,
        roll: Roll,
        sites: Mapping[str, SiteHandle],
        algorithm: Algorithm,
        sharing: Sharing,
    ) -> dict[str, Member]:
        """Ask every site what it has, and refuse what cannot be joined."""
        if not sites:
            raise FederationError("no site takes part; wanted at least one")

        def join(name: str) -> Member:
            member = member_of(name, sites[name].describe(VERSION, algorithm, sharing), self.limits)
            check_registered(member, self.registry)
            return member

        members = roll.ask(join, "joining")
        check_members(list(members.values()))
        check_consent(list(members.values()), algorithm, sharing)
        chain = check_releases(list(members.values()), sharing, self.release)
        if sharing == "embeddings" and self.config.form == "image" and "clip_mean" in chain:
            raise FederationError(
                f"the classifier's form 'image' stacks frames, and the sites release {chain!r}, one vector a "
                f"clip: say --release frames at all sites, or --preset compact at the server"
            )
        return members

    def _listed(
        self,
        roll: Roll,
        sites: Mapping[str, SiteHandle],
        members: Mapping[str, Member],
        splits: Sequence[Split],
    ) -> Listed:
        """Ask every site for the pieces that it has, of each split; no more than it may send."""

        def listing(name: str) -> dict[Split, list[Piece]]:
            pieces = {
                split: pieces_of(members[name], sites[name].manifest(split), split)
                for split in splits
            }
            n_bytes = sum(piece.n_bytes for own in pieces.values() for piece in own)
            if n_bytes > self.limits.n_bytes:
                raise ProtocolError(
                    f"site {name!r} wants to send {n_bytes:,} bytes, {self.limits.n_bytes:,} are "
                    f"allowed to a site (--max-gigabytes)"
                )
            return pieces

        return roll.ask(listing, "listing embeddings")

    def _collect(
        self,
        roll: Roll,
        sites: Mapping[str, SiteHandle],
        members: Mapping[str, Member],
        listed: Listed,
        split: Split,
    ) -> dict[MachineKey, Clips]:
        """Fetch the pieces of `split` that are not there yet; return the frames (T, D) of every clip."""

        def collect(name: str) -> dict[MachineKey, Clips]:
            clips: dict[MachineKey, list[tuple[int, NDArray[np.float16]]]] = {}
            pieces = listed[name][split]
            fetched = self._fetch(sites[name], members[name], split, pieces)
            for piece, own in zip(pieces, fetched, strict=True):
                clips.setdefault(piece.key, []).extend(zip(piece.places, own, strict=True))
            return {  # in the order that they have at the site
                key: [frames for _, frames in sorted(own, key=lambda placed: placed[0])]
                for key, own in clips.items()
            }

        collected = roll.ask(collect, f"collecting {split} embeddings")
        return dict(
            sorted((key, clips) for own in collected.values() for key, clips in own.items())
        )

    def _fetch(
        self, site: SiteHandle, member: Member, split: Split, pieces: Sequence[Piece]
    ) -> list[Clips]:
        """Return the clips (T, D) of each piece, from disk where it has already arrived.

        While one piece is on its way, another is made, checked or written; no more than these are in memory.
        """

        def fetch(piece: Piece) -> Clips:
            known = self.pieces.clips(member.name, split, piece)
            if known is not None:
                return known
            message = site.chunk(split, piece.fingerprint)
            content = parse_chunk(message, piece, dimensions=member.description.dimensions)
            return self.pieces.keep(member.name, split, piece, *content)

        with ThreadPoolExecutor(PIECES_AT_ONCE) as executor:
            return list(executor.map(fetch, pieces))
