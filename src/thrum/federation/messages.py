"""The messages between a site and the server, defined once: their parts, how they are read, and who is there.

`parse` compares what a peer has sent with its definition, strictly: no text is taken for a number, nothing is
longer or larger than stands here, and what does not fit is a `ProtocolError` before anything is done with it.
Fields that are not known are ignored and new ones have a default, so that two versions that differ in their
minor number by `MINORS_APART` at most understand each other. The others are in `piece_messages` (embeddings),
`statistics_messages`, `mask_messages` (sums in secret), `result_messages` (what comes down) and
`scoring.messages` (scores between rounds); ``docs/protocol.md`` is made from all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from thrum.errors import ProtocolError

VERSION = (5, 0)
"""Major and minor: the major changes where older versions could not go on."""
MINORS_APART = 2

Algorithm = Literal[1, 2]
Sharing = Literal["statistics", "embeddings"]
Split = Literal["train", "test"]
Message = dict[str, Any]
"""As it travels: dictionaries, lists, strings, numbers and numpy arrays."""
MachineKey = tuple[str, str]

NAME_BYTES = 80
"""Two names and what is written beside them must fit into the 255 bytes of a file name."""
Name = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES)]
Count = Annotated[int, Meta(ge=0, le=200_000)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Dimensions = Annotated[int, Meta(ge=2, le=65_536)]
Frames = Annotated[int, Meta(ge=1, le=1_000_000)]
Line = Annotated[str, Meta(max_length=500)]
Chain = Annotated[str, Meta(max_length=200)]
Scalar = (
    bool
    | Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
    | Annotated[float, Meta(ge=-1e15, le=1e15)]
    | Annotated[str, Meta(max_length=200)]
    | None
)
Settings = Annotated[dict[Annotated[str, Meta(max_length=80)], Scalar], Meta(max_length=64)]
Version = tuple[Annotated[int, Meta(ge=0, le=999)], Annotated[int, Meta(ge=0, le=999)]]

M = TypeVar("M", bound=msgspec.Struct)
_PREPARED: set[type[msgspec.Struct]] = set()
_PREPARING = threading.Lock()


class Hello(msgspec.Struct, frozen=True):
    """What the server says of the round when it asks a site to describe itself.

    Parameters
    ----------
    protocol
        The server's version.
    algorithm
        1: the classifier will come down. 2: the scores will.
    sharing
        ``statistics``: how clips vary will be asked for, and no embedding. ``embeddings``: these.
    """

    protocol: Version
    algorithm: Algorithm
    sharing: Sharing = "embeddings"


class Machine(msgspec.Struct, frozen=True, array_like=True):
    """One machine ID of a site.

    Parameters
    ----------
    machine, machine_id
        Its names.
    train, test
        How many clips of each split there are.
    """

    machine: Name
    machine_id: Name
    train: Count
    test: Count

    def __post_init__(self) -> None:
        checked_name(self.machine)
        checked_name(self.machine_id)

    @property
    def key(self) -> MachineKey:
        """Machine and machine ID."""
        return self.machine, self.machine_id


class Description(msgspec.Struct, frozen=True):
    """A site, as it describes itself.

    Parameters
    ----------
    protocol
        Its version.
    machines
        Its machine IDs.
    embedder
        The settings of its embedder; the same at all sites.
    dimensions
        D, the size of one embedding.
    stack_frames, stack_hop
        How frames are stacked to inputs of the classifier.
    algorithm
        What it allows; under 1 no test clip leaves it.
    sharing
        What it allows; under ``statistics`` no embedding leaves it.
    release, statistics_release
        The chains of mechanisms that embeddings and statistics pass before they leave it; the same at all
        sites.
    """

    protocol: Version
    machines: Annotated[list[Machine], Meta(min_length=1, max_length=10_000)]
    embedder: Settings
    dimensions: Dimensions
    stack_frames: Frames
    stack_hop: Frames
    algorithm: Algorithm
    sharing: Sharing = "embeddings"
    release: Chain = "frames"
    statistics_release: Chain = "least:5"


class Failure(msgspec.Struct, frozen=True):
    """That a question could not be answered.

    Parameters
    ----------
    failed
        The kind of the error; its text stays at the site.
    """

    failed: Annotated[str, Meta(pattern=r"\A[A-Za-z_]{1,60}\Z")]


class Announcement(msgspec.Struct, frozen=True):
    """What a site that goes on says between rounds.

    Parameters
    ----------
    new_clips
        How many training clips it has that were in no round that is done.
    """

    new_clips: Count


class Conclusion(msgspec.Struct, frozen=True):
    """How a round ended.

    Parameters
    ----------
    state
        ``done``, or ``stopped`` by an error.
    seed, algorithm
        Of a round that is done.
    kind
        Of the error; its text stays at the server.
    """

    state: Literal["done", "stopped"]
    seed: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    algorithm: Algorithm = 1
    kind: Annotated[str, Meta(pattern=r"\A[A-Za-z_]{1,60}\Z")] = "FederationError"


def prepared(kind: type[M]) -> type[M]:
    """Return a kind of message that may be read in several threads at once.

    At the first use of a kind msgspec works out its fields; where two threads do that at once, the process
    dies (a segmentation fault, msgspec 0.22).
    """
    if kind not in _PREPARED:
        with _PREPARING:
            msgspec.msgpack.Decoder(kind)
            _PREPARED.add(kind)
    return kind


def parse(kind: type[M], message: object, *, what: str) -> M:
    """Return a message as its definition has it.

    Parameters
    ----------
    what
        What it is, for the error: ``"the manifest of site 'north'"``.

    Raises
    ------
    ProtocolError
        Where it does not fit.
    """
    try:
        return msgspec.convert(message, prepared(kind))
    except (  # the last five where an array or a broken text stands for something else
        msgspec.ValidationError,
        RecursionError,
        AttributeError,
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
    ) as error:
        raise ProtocolError(f"{what} is not understood: {printable(str(error))}") from error


def require_at_most(message: object, field: str, most: int, *, what: str) -> None:
    """Raise a `ProtocolError` where a list of a message is longer than it can be, before it is looked at.

    What is no list is left to `parse`.
    """
    listed = message.get(field) if isinstance(message, dict) else None
    if isinstance(listed, list | tuple) and len(listed) > most:
        raise ProtocolError(f"{what}: {len(listed):,} {field} came, wanted {most:,} at most")


def plain(message: msgspec.Struct) -> Message:
    """Return a message as it travels; arrays stay what they are."""
    built: Message = msgspec.to_builtins(message, builtin_types=(np.ndarray,), enc_hook=_as_it_is)
    return built


def understood(theirs: Sequence[int]) -> bool:
    """Whether a peer of another version can be talked with."""
    major, minor = theirs
    return major == VERSION[0] and abs(minor - VERSION[1]) <= MINORS_APART


def checked_name(name: str) -> str:
    """Return a name that a peer has sent, or raise: it becomes part of a path, and is shown to people."""
    if (
        not 0 < len(name.encode(errors="replace")) <= NAME_BYTES
        or name.startswith(".")
        or any(c in "/\\" or not c.isprintable() for c in name)
    ):
        raise ProtocolError(
            f"the name {printable(name[:NAME_BYTES])!r} is refused: it must be usable as a file name, of "
            f"{NAME_BYTES} bytes at most and nothing that cannot be printed"
        )
    return name


def printable(text: str) -> str:
    """Return words of a peer without what would move a terminal's cursor, and not more than two lines."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:300])


def _as_it_is(value: Any) -> Any:
    return value
