"""The messages between a site and the server, defined once: what each holds, and how large it may be.

`parse` compares what a peer has sent with its definition, strictly: no text is taken for a number, nothing is
longer or larger than stands here, and what does not fit is a `ProtocolError` before anything is done with it.
Fields that are not known are ignored and new ones have a default, so that two versions that differ in their
minor number by `MINORS_APART` at most understand each other. ``docs/protocol.md`` is made from this file, and
`statistics_messages`, `mask_messages` (sums in secret) and `scoring.messages` (scores between rounds).
"""

from __future__ import annotations

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
ScoreColumn = Annotated[list[float], Meta(max_length=200_000)]
FlagColumn = Annotated[list[bool], Meta(max_length=200_000)]

M = TypeVar("M", bound=msgspec.Struct)


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


class ManifestQuestion(msgspec.Struct, frozen=True):
    """Which pieces are there?

    Parameters
    ----------
    split
        Of which clips.
    """

    split: Split


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One piece of embeddings that can be asked for.

    Parameters
    ----------
    key
        The machine and machine ID that all its clips are of.
    places
        Where its clips stand among all of this machine ID and split, from 0.
    n_bytes
        The size of its embeddings as they will be sent; the clips' lengths come on top.
    fingerprint
        What to ask for; changes whenever the content would.
    """

    key: tuple[Name, Name]
    places: Annotated[list[Count], Meta(min_length=1, max_length=64)]
    n_bytes: Annotated[int, Meta(ge=4, le=1 << 30)]
    fingerprint: Sha256


class Manifest(msgspec.Struct, frozen=True):
    """The pieces of a split.

    Parameters
    ----------
    pieces
        In the order of machines and clips.
    """

    pieces: Annotated[list[Piece], Meta(max_length=25_000)]


class ChunkQuestion(msgspec.Struct, frozen=True):
    """Hand over one piece.

    Parameters
    ----------
    split, fingerprint
        As the manifest has it.
    """

    split: Split
    fingerprint: Sha256


class Chunk(msgspec.Struct, frozen=True):
    """One piece of embeddings.

    Parameters
    ----------
    embeddings
        (sum of T, D) float16, the clips one after the other; no more bytes than were announced.
    lengths
        T of each clip.
    sha256
        Of the embeddings, then the lengths as 64-bit integers.
    """

    embeddings: np.ndarray[Any, Any]
    lengths: Annotated[list[Frames], Meta(min_length=1, max_length=64)]
    sha256: Sha256


class ClassifierQuestion(msgspec.Struct, frozen=True):
    """Keep this ID classifier (Algorithm 1).

    Parameters
    ----------
    state
        Its arrays by name: those that its description asks for, no others, finite.
    description
        What it is.
    """

    state: Annotated[dict[Line, np.ndarray[Any, Any]], Meta(max_length=100_000)]
    description: ClassifierDescription


class ClassifierDescription(msgspec.Struct, frozen=True):
    """An ID classifier.

    Parameters
    ----------
    group
        The machines that learnt together: ``all``, or a machine type.
    keys
        Its classes; those of other sites without their names.
    dimensions, frames, hop
        D, T of one input, and frames from one input to the next.
    config
        The settings it was trained with; they name registered things only.
    places
        Of the site's own classes, which network has not seen which clip; of others 0.
    """

    group: Name
    keys: Annotated[
        list[tuple[Annotated[str, Meta(max_length=80)], Name]],
        Meta(min_length=2, max_length=100_000),
    ]
    dimensions: Dimensions
    frames: Frames
    config: Settings
    hop: Frames | None = None
    places: Annotated[list[Count], Meta(max_length=100_000)] | None = None

    def __post_init__(self) -> None:
        checked_name(self.group)


class ScoresMessage(msgspec.Struct, frozen=True):
    """The scores of one machine's clips in the classifier's embedding (Algorithm 2).

    Parameters
    ----------
    key
        The machine and machine ID.
    left_out
        Of the training clips, each scored as if it had not been trained on.
    test
        Of the test clips.
    held_out
        Whether the left-out scores come from networks that had not seen the clips.
    train_identified, test_identified
        Whether the classifier names the machine ID of each clip rightly.
    """

    key: tuple[Name, Name]
    left_out: ScoreColumn
    test: ScoreColumn
    held_out: bool
    train_identified: FlagColumn
    test_identified: FlagColumn

    def __post_init__(self) -> None:
        for part in self.key:
            checked_name(part)


class ScoresQuestion(msgspec.Struct, frozen=True):
    """Keep these scores (Algorithm 2).

    Parameters
    ----------
    scores
        Of one machine.
    """

    scores: ScoresMessage


class Acknowledgement(msgspec.Struct, frozen=True):
    """That something has come down.

    Parameters
    ----------
    what
        In words.
    accepted
        Whether the site keeps it; why not, it does not say.
    """

    what: Line
    accepted: bool


class Failure(msgspec.Struct, frozen=True):
    """That a question could not be answered.

    Parameters
    ----------
    failed
        The kind of the error; its text stays at the site.
    """

    failed: Annotated[str, Meta(pattern=r"\A[A-Za-z_]{1,60}\Z")]


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
        return msgspec.convert(message, kind)
    except (  # the last four where an array or a broken text stands for something else
        msgspec.ValidationError,
        RecursionError,
        AttributeError,
        TypeError,
        ValueError,
        ArithmeticError,
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
