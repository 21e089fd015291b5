"""The sites of a round, as they have described themselves and the server has let them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thrum.errors import ConfigError, FederationError, ProtocolError
from thrum.federation.messages import (
    VERSION,
    Description,
    MachineKey,
    Message,
    Sharing,
    Split,
    parse,
    printable,
    require_at_most,
    understood,
)
from thrum.federation.piece_messages import Manifest, Piece
from thrum.privacy.mechanisms import parse_statistics_chain
from thrum.systems.embedding_sharing.moments import Moments


@dataclass(frozen=True)
class Limits:
    """What one site may send, as the operator has set it; ours, generous for years of rounds.

    Parameters
    ----------
    clips
        Clips that it describes, of both splits together.
    n_bytes
        Of embeddings that the server stores of it.
    """

    clips: int = 200_000
    n_bytes: int = 200_000_000_000


@dataclass(frozen=True)
class Member:
    """A site that takes part.

    Parameters
    ----------
    name
        The site's name; deployed, the one in its certificate.
    description
        What it said of itself.
    machines
        Its machines and the number of training and test clips of each.
    """

    name: str
    description: Description
    machines: Mapping[MachineKey, tuple[int, int]]


def member_of(name: str, answer: Message, limits: Limits) -> Member:
    """Read a site's description of itself.

    Raises
    ------
    ProtocolError
        Where it is of a version that cannot be talked with, malformed, or of more than `limits`.
    """
    theirs = answer.get("protocol") if isinstance(answer, dict) else None
    description = None
    if isinstance(theirs, list | tuple) and len(theirs) == 2:
        description = parse(Description, answer, what=f"the description of site {name!r}")
    if description is None or not understood(description.protocol):
        raise ProtocolError(
            f"site {name!r} speaks another version of the protocol than {VERSION[0]}.{VERSION[1]}: "
            f"install versions of thrum that are no further apart"
        )
    try:
        parse_statistics_chain(description.statistics_release)
    except ConfigError as error:
        raise ProtocolError(
            f"site {name!r} releases statistics in an unknown form: {error}"
        ) from error
    machines = {own.key: (own.train, own.test) for own in description.machines}
    if len(machines) != len(description.machines):
        raise ProtocolError(f"site {name!r} describes a machine ID twice")
    clips = sum(train + test for train, test in machines.values())
    if clips > limits.clips:
        raise ProtocolError(
            f"site {name!r} describes {clips:,} clips, {limits.clips:,} are allowed to a site "
            f"(--max-clips)"
        )
    return Member(name, description, machines)


def check_registered(member: Member, registry: Mapping[str, Sequence[MachineKey]] | None) -> None:
    """Raise a `FederationError` where a site speaks for a machine that is not registered to it."""
    allowed = None if registry is None else set(registry.get(member.name, ()))
    for key in member.machines:
        if allowed is not None and key not in allowed:
            raise FederationError(
                f"site {member.name!r} speaks for {'/'.join(key)}, which is not registered to it"
            )


def check_members(members: Sequence[Member]) -> None:
    """Refuse what cannot learn together.

    Raises
    ------
    FederationError
        Where two sites claim one machine ID, or embedders differ.
    """
    owners: dict[MachineKey, str] = {}
    for member in members:
        for key in member.machines:
            if key in owners:
                raise FederationError(
                    f"sites {owners[key]!r} and {member.name!r} both claim machine ID "
                    f"{'/'.join(key)}: an ID belongs to one site; rename one of the folders"
                )
            owners[key] = member.name
    first = members[0]
    for member in members[1:]:
        if _embedder(member) != _embedder(first):
            raise FederationError(
                f"sites {first.name!r} and {member.name!r} use different embedders "
                f"({_embedder(first)} and {_embedder(member)}): all must use the same"
            )


def check_consent(members: Sequence[Member], algorithm: int, sharing: Sharing) -> None:
    """Raise a `FederationError` where a site does not allow what the round needs."""
    if sharing == "statistics":
        return
    close = [member.name for member in members if member.description.sharing != "embeddings"]
    if close:
        raise FederationError(
            f"embeddings do not leave {', '.join(close)}: share statistics, or start the client there "
            f"with --sharing embeddings"
        )
    unwilling = [member.name for member in members if member.description.algorithm < algorithm]
    if unwilling:
        raise FederationError(
            f"Algorithm 2 needs the test clips' embeddings, which do not leave {', '.join(unwilling)}: "
            f"run Algorithm 1, or start the client there with --algorithm 2"
        )


def check_statistics(member: Member, moments: Mapping[MachineKey, Moments]) -> None:
    """Raise a `ProtocolError` where statistics are not of the very clips that the site described."""
    for key, own in moments.items():
        if key not in member.machines:
            raise ProtocolError(
                f"site {member.name!r} sent statistics of a machine ID that it did not describe"
            )
        described = member.machines[key][0]
        noisy = "gaussian:" in member.description.statistics_release
        most = len(own.axes) if noisy else own.count - 1
        if own.count != described or not own.count >= 2 or len(own.axes) > most:
            raise ProtocolError(
                f"site {member.name!r} sent {len(own.axes)} axes of {own.count} clips of "
                f"{'/'.join(key)}; it described {described}"
            )


def pieces_of(member: Member, answer: Message, split: Split) -> list[Piece]:
    """Read a site's list of pieces and compare it with what the site has described.

    Raises
    ------
    ProtocolError
        Where they are not pieces of the very clips that it described.
    """
    what = f"the list of pieces of site {member.name!r}"
    _require_no_more(answer, sum(own[split == "test"] for own in member.machines.values()), what)
    manifest = parse(Manifest, answer, what=what)
    if len({piece.fingerprint for piece in manifest.pieces}) != len(manifest.pieces):
        raise ProtocolError(f"site {member.name!r} lists a piece twice")
    places: dict[MachineKey, list[int]] = {key: [] for key in member.machines}
    for piece in manifest.pieces:
        if piece.key not in places:
            raise ProtocolError(
                f"site {member.name!r} lists a piece of a machine ID that it did not describe"
            )
        places[piece.key] += piece.places
    for key, own in places.items():
        described = member.machines[key][split == "test"]
        if sorted(own) != list(range(described)):
            raise ProtocolError(
                f"site {member.name!r} described {described} {split} clips of {'/'.join(key)}, and "
                f"lists {len(own)}, or other ones"
            )
    return manifest.pieces


def _require_no_more(answer: Message, described: int, what: str) -> None:
    """Refuse a list of more places than clips were described: to read it all would take its time."""
    require_at_most(answer, "pieces", described, what=what)
    pieces = answer.get("pieces") if isinstance(answer, dict) else None
    listed = 0
    for piece in pieces if isinstance(pieces, list | tuple) else ():
        places = piece.get("places") if isinstance(piece, dict) else None
        listed += len(places) if isinstance(places, list | tuple) else 1
    if listed > described:
        raise ProtocolError(f"{what} names {listed:,} clips, {described:,} were described")


def _embedder(member: Member) -> dict[str, object]:
    """Return all that decides whether embeddings can be pooled."""
    own = member.description
    return {
        **own.embedder,
        "dimensions": own.dimensions,
        "stack_frames": own.stack_frames,
        "stack_hop": own.stack_hop,
    }


def check_releases(members: Sequence[Member], sharing: Sharing, wanted: str | None) -> str:
    """Return the chain of mechanisms that all sites release by, as the round has it.

    Parameters
    ----------
    wanted
        The operator's; None takes the sites'.

    Raises
    ------
    FederationError
        Where sites differ, among themselves or from what the operator wants.
    """

    def own(member: Member) -> str:
        told = member.description
        return told.release if sharing == "embeddings" else told.statistics_release

    first = members[0]
    for member in members[1:]:
        if own(member) != own(first):
            raise FederationError(
                f"sites {first.name!r} and {member.name!r} release in different forms "
                f"({printable(own(first))!r} and {printable(own(member))!r}): all must say the same "
                f"--release"
            )
    if wanted is not None and own(first) != wanted:
        raise FederationError(
            f"the sites release by {printable(own(first))!r}, this round is of {wanted!r}: say the same "
            f"--release at the server and at all sites"
        )
    return own(first)
