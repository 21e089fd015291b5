"""The server's side: collect embeddings, train the ID classifier, hand out the classifier or the scores."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import FederationError, ProtocolError, StorageError
from thrum.federation.pieces import PieceStore
from thrum.federation.protocol import (
    VERSION,
    Algorithm,
    MachineKey,
    Message,
    Piece,
    SiteHandle,
    checked_name,
    parse_chunk,
)
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


@dataclass(frozen=True)
class Member:
    """A site that takes part, as the server has registered it.

    Parameters
    ----------
    name
        The site's name; deployed, the one in its certificate.
    machines
        Its machines and the number of training and test clips of each.
    stack_frames, stack_hop
        How its embedder's frames are stacked to inputs of the classifier.
    embedder
        The settings of its embedder.
    invertible
        Whether its embeddings can be turned back into sound.
    algorithm
        What it allows: under 1 no test clip leaves it.
    """

    name: str
    machines: Mapping[MachineKey, tuple[int, int]]
    stack_frames: int
    stack_hop: int
    embedder: Mapping[str, Any]
    invertible: bool
    algorithm: int


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
    """

    members: Sequence[Member]
    classifiers: Mapping[str, IDClassifier]
    alone: Sequence[MachineKey]
    damaged: Sequence[str] = ()


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
        self.progress = progress

    def collaborate(self, sites: Mapping[str, SiteHandle], *, algorithm: Algorithm = 1) -> Outcome:
        """Run one round over `sites`: the paper's Algorithm 1 or 2.

        Raises
        ------
        FederationError
            Where two sites claim one machine ID, use different embedders, or a message is wrong.
        """
        with _locked(self.folder):
            members = self._register(sites)
            _refuse_without_consent(members, algorithm)
            shutil.rmtree(self.folder / "classifiers", ignore_errors=True)  # of an earlier round
            pools = self._collect(sites, members, "train")
            groups, alone = groups_of(pools, per_machine_type=self.per_machine_type)
            classifiers = {}
            for group, keys in groups.items():
                pool = FramePool({key: pools[key] for key in keys})
                classifiers[group] = train_classifier(
                    pool,
                    self.config,
                    stack_frames=members[0].stack_frames,
                    stack_hop=members[0].stack_hop,
                    seed=self.seed,
                    device=self.device,
                    checkpoint=self.folder / "training" / f"{group}.safetensors",
                    progress=self.progress,
                )
                classifiers[group].save(self.folder / "classifiers" / group)
            if algorithm == 1:
                self._send_classifiers(sites, members, classifiers, groups)
            else:
                self._send_scores(sites, members, classifiers, groups, pools)
        return Outcome(members, classifiers, alone, list(self.pieces.damaged))

    def _register(self, sites: Mapping[str, SiteHandle]) -> list[Member]:
        """Ask every site what it has, and refuse what cannot be joined."""
        if not sites:
            raise FederationError("no site takes part; wanted at least one")
        answers = self._ask_all({name: site.describe for name, site in sites.items()}, "joining")
        members = [_member(name, answer) for name, answer in answers.items()]
        owners: dict[MachineKey, str] = {}
        for member in members:
            allowed = None if self.registry is None else set(self.registry.get(member.name, ()))
            for key in member.machines:
                if allowed is not None and key not in allowed:
                    raise FederationError(
                        f"site {member.name!r} speaks for {'/'.join(key)}, which is not registered to it"
                    )
                if key in owners:
                    raise FederationError(
                        f"sites {owners[key]!r} and {member.name!r} both claim machine ID "
                        f"{'/'.join(key)}: an ID belongs to one site; rename one of the folders"
                    )
                owners[key] = member.name
        first = members[0]
        for member in members[1:]:
            if (member.embedder, member.stack_frames, member.stack_hop) != (
                first.embedder,
                first.stack_frames,
                first.stack_hop,
            ):
                raise FederationError(
                    f"sites {first.name!r} and {member.name!r} use different embedders "
                    f"({dict(first.embedder)} and {dict(member.embedder)}): all must use the same"
                )
        return members

    def _collect(
        self, sites: Mapping[str, SiteHandle], members: Sequence[Member], split: str
    ) -> dict[MachineKey, list[NDArray[np.float16]]]:
        """Fetch the pieces of `split` that are not there yet; return the frames (T, D) of every clip."""
        done = 0

        def collect_site(member: Member) -> dict[MachineKey, list[NDArray[np.float16]]]:
            nonlocal done
            site = sites[member.name]
            pieces = [Piece.parse(line) for line in site.manifest(split)["pieces"]]
            clips: dict[MachineKey, list[NDArray[np.float16]]] = {}
            for piece in pieces:
                if piece.key not in member.machines:
                    raise ProtocolError(
                        f"site {member.name!r} sent embeddings of {'/'.join(piece.key)}, "
                        f"which it did not register"
                    )
                clips.setdefault(piece.key, []).extend(self._fetch(site, member, split, piece))
            done += 1
            self._tell(f"collecting {split} embeddings", done, len(members))
            return clips

        with ThreadPoolExecutor(PARALLEL_SITES) as executor:
            collected = list(executor.map(collect_site, members))
        return dict(sorted((key, clips) for site in collected for key, clips in site.items()))

    def _fetch(
        self, site: SiteHandle, member: Member, split: str, piece: Piece
    ) -> list[NDArray[np.float16]]:
        """Return the clips (T, D) of a piece, from disk where it has already arrived."""
        clips = self.pieces.clips(member.name, split, piece)
        if clips is None:
            embeddings, lengths = parse_chunk(site.chunk(split, piece.index), piece)
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
    ) -> None:
        """Send each site the classifier of its groups; the machines of others are not named there."""
        for number, member in enumerate(members, start=1):
            for group, classifier in classifiers.items():
                if any(key in groups[group] for key in member.machines):
                    state, description = classifier.message()
                    keys = _own_keys(classifier.keys, member)
                    sites[member.name].accept_classifier(
                        state, {**description, "keys": keys, "group": group}
                    )
            self._tell("sending the classifier", number, len(members))

    def _send_scores(
        self,
        sites: Mapping[str, SiteHandle],
        members: Sequence[Member],
        classifiers: Mapping[str, IDClassifier],
        groups: Mapping[str, Sequence[MachineKey]],
        train: Mapping[MachineKey, list[NDArray[np.float16]]],
    ) -> None:
        test = self._collect(sites, members, "test")
        group_of = {key: group for group, keys in groups.items() for key in keys}
        for number, member in enumerate(members, start=1):
            for key in member.machines:
                if key not in group_of:
                    continue
                classifier = classifiers[group_of[key]].to(device_of(self.device))
                scores = score_machine(classifier, key, train[key], test.get(key, []))
                sites[member.name].accept_scores({"key": list(key), **scores.message()})
            self._tell("scoring at the server", number, len(members))

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


def _member(name: str, answer: Message) -> Member:
    """Read a site's description of itself."""
    if answer.get("protocol") != VERSION:
        raise ProtocolError(
            f"site {name!r} speaks protocol {answer.get('protocol')!r}, this server {VERSION}: "
            f"install the same version of thrum everywhere"
        )
    try:
        machines = {
            (checked_name(str(machine)), checked_name(str(machine_id))): (int(train), int(test))
            for machine, machine_id, train, test in answer["machines"]
        }
        return Member(
            name,
            machines,
            int(answer["stack_frames"]),
            int(answer["stack_hop"]),
            json.loads(json.dumps(answer["embedder"])),
            bool(answer["invertible"]),
            int(answer["algorithm"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the description of site {name!r} is not understood") from error


def _refuse_without_consent(members: Sequence[Member], algorithm: Algorithm) -> None:
    unwilling = [member.name for member in members if member.algorithm < algorithm]
    if unwilling:
        raise FederationError(
            f"Algorithm 2 needs the test clips' embeddings, which do not leave {', '.join(unwilling)}: "
            f"run Algorithm 1, or start the client there with --algorithm 2"
        )


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

    folder.mkdir(parents=True, exist_ok=True)
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
