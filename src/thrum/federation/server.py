"""The server's side: collect embeddings, train the ID classifier, hand out the classifier or the scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import FederationError, ProtocolError, StorageError
from thrum.federation.chunks import parse_chunk
from thrum.federation.members import (
    Limits,
    Member,
    check_consent,
    check_members,
    member_of,
    pieces_of,
)
from thrum.federation.messages import (
    VERSION,
    Acknowledgement,
    Algorithm,
    MachineKey,
    Message,
    Piece,
    Split,
    parse,
)
from thrum.federation.pieces import Clips, PieceStore
from thrum.federation.protocol import SiteHandle
from thrum.systems.embedding_sharing import (
    Config,
    FramePool,
    IDClassifier,
    groups_of,
    score_machine,
    train_classifier,
)
from thrum.training import device_of
from thrum.types import Progress

PARALLEL_SITES = 8
_SPLITS: dict[Algorithm, tuple[Split, ...]] = {1: ("train",), 2: ("train", "test")}

Listed = dict[str, dict[Split, list[Piece]]]
"""The pieces of each site and split."""


@dataclass(frozen=True)
class Outcome:
    """What a round of collaboration came to.

    Parameters
    ----------
    members
        The sites that took part.
    classifiers
        For each group of machines that learnt together, its classifier. The group is ``all``, or a
        machine type.
    alone
        Machine IDs that had nothing to be told apart from.
    damaged
        What was found damaged at the server and made again, in words.
    refused
        Sites that refused what they were sent.
    """

    members: Sequence[Member]
    classifiers: Mapping[str, IDClassifier]
    alone: Sequence[MachineKey]
    damaged: Sequence[str] = ()
    refused: Sequence[str] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader must know of what went wrong in a round that was finished all the same."""
        return [
            *self.damaged,
            *(
                f"site {name!r} refused what it was sent; why is shown there"
                for name in self.refused
            ),
        ]


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
        progress: Progress | None = None,
    ) -> None:
        config.require_shareable()
        self.folder = folder
        self.pieces = PieceStore(folder / "pieces")
        self.config = config
        self.seed = seed
        self.device = device
        self.per_machine_type = per_machine_type
        self.registry = registry
        self.limits = limits or Limits()
        self.progress = progress

    def collaborate(self, sites: Mapping[str, SiteHandle], *, algorithm: Algorithm = 1) -> Outcome:
        """Run one round over `sites`: the paper's Algorithm 1 or 2.

        Raises
        ------
        FederationError
            Where two sites claim one machine ID, use different embedders, or a message is wrong.
        """
        with _locked(self.folder):
            members = self._register(sites, algorithm)
            shutil.rmtree(self.folder / "classifiers", ignore_errors=True)  # of an earlier round
            listed = self._listed(sites, members, _SPLITS[algorithm])
            self.pieces.keep_only(listed)
            pools = self._collect(sites, members, listed, "train")
            groups, alone = groups_of(pools, per_machine_type=self.per_machine_type)
            classifiers = {}
            for group, keys in groups.items():
                pool = FramePool({key: pools[key] for key in keys})
                classifiers[group] = train_classifier(
                    pool,
                    self.config,
                    stack_frames=members[0].description.stack_frames,
                    stack_hop=members[0].description.stack_hop,
                    seed=self.seed,
                    device=self.device,
                    checkpoint=self.folder / "training" / f"{group}.safetensors",
                    progress=self.progress,
                )
                classifiers[group].save(self.folder / "classifiers" / group)
            if algorithm == 1:
                refused = self._send_classifiers(sites, members, classifiers, groups)
            else:
                test = self._collect(sites, members, listed, "test")
                refused = self._send_scores(sites, members, classifiers, groups, pools, test)
        return Outcome(members, classifiers, alone, list(self.pieces.damaged), refused)

    def _register(self, sites: Mapping[str, SiteHandle], algorithm: Algorithm) -> list[Member]:
        """Ask every site what it has, and refuse what cannot be joined."""
        if not sites:
            raise FederationError("no site takes part; wanted at least one")
        answers = self._ask_all(
            {name: partial(site.describe, VERSION, algorithm) for name, site in sites.items()},
            "joining",
        )
        members = [member_of(name, answer, self.limits) for name, answer in answers.items()]
        check_members(members, self.registry)
        check_consent(members, algorithm)
        return members

    def _listed(
        self, sites: Mapping[str, SiteHandle], members: Sequence[Member], splits: Sequence[Split]
    ) -> Listed:
        """Ask every site for the pieces that it has, of each split; no more than it may send."""
        listed: Listed = {member.name: {} for member in members}
        for split in splits:
            answers = self._ask_all(
                {member.name: partial(sites[member.name].manifest, split) for member in members},
                f"listing {split} embeddings",
            )
            for member in members:
                listed[member.name][split] = pieces_of(member, answers[member.name], split)
        for name, own in listed.items():
            n_bytes = sum(piece.n_bytes for pieces in own.values() for piece in pieces)
            if n_bytes > self.limits.n_bytes:
                raise ProtocolError(
                    f"site {name!r} wants to send {n_bytes:,} bytes, {self.limits.n_bytes:,} are "
                    f"allowed to a site (--max-gigabytes)"
                )
        return listed

    def _collect(
        self,
        sites: Mapping[str, SiteHandle],
        members: Sequence[Member],
        listed: Listed,
        split: Split,
    ) -> dict[MachineKey, Clips]:
        """Fetch the pieces of `split` that are not there yet; return the frames (T, D) of every clip."""
        done = 0

        def collect_site(member: Member) -> dict[MachineKey, Clips]:
            nonlocal done
            clips: dict[MachineKey, list[tuple[int, NDArray[np.float16]]]] = {}
            for piece in listed[member.name][split]:
                own = self._fetch(sites[member.name], member, split, piece)
                clips.setdefault(piece.key, []).extend(zip(piece.places, own, strict=True))
            done += 1
            self._tell(f"collecting {split} embeddings", done, len(members))
            return {  # in the order that they have at the site
                key: [frames for _, frames in sorted(own, key=lambda placed: placed[0])]
                for key, own in clips.items()
            }

        with ThreadPoolExecutor(PARALLEL_SITES) as executor:
            collected = list(executor.map(collect_site, members))
        return dict(sorted((key, clips) for site in collected for key, clips in site.items()))

    def _fetch(self, site: SiteHandle, member: Member, split: Split, piece: Piece) -> Clips:
        """Return the clips (T, D) of a piece, from disk where it has already arrived."""
        clips = self.pieces.clips(member.name, split, piece)
        if clips is None:
            embeddings, lengths = parse_chunk(
                site.chunk(split, piece.fingerprint),
                piece,
                dimensions=member.description.dimensions,
            )
            self.pieces.keep(member.name, split, piece, embeddings, lengths)
            clips = self.pieces.clips(member.name, split, piece)
        if clips is None:
            raise StorageError(
                f"a piece that was just written to {self.pieces.folder} reads as something else: "
                f"see to the disk"
            )
        return clips

    def _send_classifiers(
        self,
        sites: Mapping[str, SiteHandle],
        members: Sequence[Member],
        classifiers: Mapping[str, IDClassifier],
        groups: Mapping[str, Sequence[MachineKey]],
    ) -> list[str]:
        """Send each site the classifier of its groups; the machines of others are not named there.

        Returns the names of the sites that refused one, as `_send_scores` does.
        """
        refused = []
        for number, member in enumerate(members, start=1):
            kept = True
            for group, classifier in classifiers.items():
                if any(key in groups[group] for key in member.machines):
                    state, description = classifier.message()
                    keys = _own_keys(classifier.keys, member)
                    answer = sites[member.name].accept_classifier(
                        state, {**description, "keys": keys, "group": group}
                    )
                    kept &= _accepted(answer, member)
            if not kept:
                refused.append(member.name)
            self._tell("sending the classifier", number, len(members))
        return refused

    def _send_scores(
        self,
        sites: Mapping[str, SiteHandle],
        members: Sequence[Member],
        classifiers: Mapping[str, IDClassifier],
        groups: Mapping[str, Sequence[MachineKey]],
        train: Mapping[MachineKey, Clips],
        test: Mapping[MachineKey, Clips],
    ) -> list[str]:
        group_of = {key: group for group, keys in groups.items() for key in keys}
        refused = []
        for number, member in enumerate(members, start=1):
            kept = True
            for key in member.machines:
                if key not in group_of:
                    continue
                classifier = classifiers[group_of[key]].to(device_of(self.device))
                scores = score_machine(classifier, key, train[key], test.get(key, []))
                answer = sites[member.name].accept_scores({"key": list(key), **scores.message()})
                kept &= _accepted(answer, member)
            if not kept:
                refused.append(member.name)
            self._tell("scoring at the server", number, len(members))
        return refused

    def _ask_all(self, calls: Mapping[str, Any], stage: str) -> dict[str, Message]:
        """Make the calls side by side; answers in the order of the site names."""
        names = sorted(calls)
        answers: dict[str, Message] = {}
        with ThreadPoolExecutor(PARALLEL_SITES) as executor:
            for name, answer in zip(
                names, executor.map(lambda name: calls[name](), names), strict=True
            ):
                answers[name] = answer
                self._tell(stage, len(answers), len(names))
        return answers

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _accepted(answer: Message, member: Member) -> bool:
    what = f"the acknowledgement of site {member.name!r}"
    return parse(Acknowledgement, answer, what=what).accepted


def _own_keys(keys: Sequence[MachineKey], member: Member) -> list[list[str]]:
    """Return the classes in their order, those that are not of `member` as numbers without a machine."""
    return [
        list(key) if key in member.machines else ["", str(number)]
        for number, key in enumerate(keys)
    ]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; an orphan of a killed server must not write beside us."""
    import fcntl

    storage.private_folder(folder)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FederationError(
                f"another process works in {folder}; wait for it, or end it"
            ) from error
        file.write(str(os.getpid()))
        file.flush()
        yield
