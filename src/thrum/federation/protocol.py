"""What a site answers and what the server asks: the whole interface between them, with no engine in it.

Messages are plain: dictionaries of strings, numbers, lists and numpy arrays. The server calls the methods of
`SiteHandle`; in one process a handle is the `thrum.federation.site.Site` itself, deployed it is a stand-in
that carries each call over the network. A recording, a file name or a label never is part of a message.

========================  ======  =============================================================
method                    leaves  what
========================  ======  =============================================================
`describe`                yes     machines and their clip counts, the embedder's settings
`manifest`                yes     which pieces of embeddings there are, with fingerprints
`chunk`                   yes     one piece: released embeddings of up to 16 clips
`accept_classifier`       ack     Algorithm 1: the trained ID classifier comes down
`accept_scores`           ack     Algorithm 2: the anomaly scores of the site's clips come down
========================  ======  =============================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ProtocolError
from thrum.storage import sha256_bytes

VERSION = 2
_SHA256 = re.compile("[0-9a-f]{64}")

SITE_METHODS = ("describe", "manifest", "chunk", "accept_classifier", "accept_scores")

Algorithm = Literal[1, 2]
Message = dict[str, Any]
MachineKey = tuple[str, str]


class SiteHandle(Protocol):
    """What the server can ask of a site."""

    def describe(self) -> Message:
        """Say which machines the site has and which embedder it uses."""
        ...

    def manifest(self, split: str) -> Message:
        """List the pieces of embeddings of a split."""
        ...

    def chunk(self, split: str, index: int) -> Message:
        """Hand over one piece."""
        ...

    def accept_classifier(self, state: Message, description: Message) -> Message:
        """Keep an ID classifier; say that it has arrived."""
        ...

    def accept_scores(self, scores: Message) -> Message:
        """Keep the scores that the server computed; say that they have arrived."""
        ...


@dataclass(frozen=True)
class Piece:
    """One line of a site's manifest: a piece of embeddings that can be asked for.

    Parameters
    ----------
    index
        What to ask for.
    key
        The machine and machine ID that all its clips are of.
    clips
        How many clips it holds.
    n_bytes
        The size of its embeddings as they will be sent; the clips' lengths come on top.
    fingerprint
        Changes whenever its content would: 64 hexadecimal digits.
    """

    index: int
    key: MachineKey
    clips: int
    n_bytes: int
    fingerprint: str

    def message(self) -> Message:
        """Return the piece as a message."""
        return {
            "index": self.index,
            "key": list(self.key),
            "clips": self.clips,
            "n_bytes": self.n_bytes,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> Piece:
        """Read a piece from a message."""
        try:
            machine, machine_id = message["key"]
            fingerprint = str(message["fingerprint"])
            if not _SHA256.fullmatch(fingerprint):  # it becomes part of a path
                raise ValueError("a fingerprint is 64 hexadecimal digits")
            return cls(
                int(message["index"]),
                (checked_name(str(machine)), checked_name(str(machine_id))),
                int(message["clips"]),
                int(message["n_bytes"]),
                fingerprint,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"a manifest line is not understood: {dict(message)!r}") from error


def checked_name(name: str) -> str:
    """Return a name that a peer has sent, or raise: it becomes part of a path."""
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise ProtocolError(f"the name {name!r} is refused: it must be usable as a file name")
    return name


def chunk_message(embeddings: NDArray[np.float16], lengths: Sequence[int]) -> Message:
    """Return a piece of embeddings (sum of T, D), the clips one after the other, as a message."""
    return {
        "embeddings": embeddings,
        "lengths": [int(length) for length in lengths],
        "sha256": sha256_bytes(chunk_content(embeddings, lengths)),
    }


def chunk_content(embeddings: NDArray[Any], lengths: Sequence[int]) -> bytes:
    """Return all that a piece says, as its checksum has it: the embeddings, then the clips' lengths."""
    return np.ascontiguousarray(embeddings).tobytes() + np.asarray(lengths, "<i8").tobytes()


def parse_chunk(message: Mapping[str, Any], piece: Piece) -> tuple[NDArray[np.float16], list[int]]:
    """Check a piece that has arrived; return its embeddings (sum of T, D) and clip lengths.

    Raises
    ------
    ProtocolError
        Where it was damaged on the way or is not what the manifest announced.
    """
    try:
        embeddings = np.ascontiguousarray(message["embeddings"])
        lengths = [int(length) for length in message["lengths"]]
        content = chunk_content(embeddings, lengths)
        announced = message["sha256"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"piece {piece.index} of {piece.key} is not understood") from error
    where = f"piece {piece.index} of {'/'.join(piece.key)}"
    if sha256_bytes(content) != announced:
        raise ProtocolError(f"{where} was damaged on the way (its sha256 differs); run again")
    if embeddings.dtype != np.float16 or embeddings.ndim != 2:
        raise ProtocolError(
            f"{where} is {embeddings.dtype} {embeddings.shape}, wanted float16 (T, D)"
        )
    if len(lengths) != piece.clips or sum(lengths) != len(embeddings) or min(lengths) < 1:
        raise ProtocolError(f"{where} does not hold the {piece.clips} clips that were announced")
    if not np.isfinite(embeddings).all():
        raise ProtocolError(f"{where} holds NaN or infinite values")
    return embeddings, lengths
