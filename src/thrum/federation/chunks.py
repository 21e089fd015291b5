"""One piece of embeddings as it travels: its content, its checksum, and what is checked when it arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.errors import ProtocolError
from thrum.federation.messages import Message, parse, plain
from thrum.federation.piece_messages import Chunk, Piece
from thrum.privacy.mechanisms.gate import all_finite
from thrum.storage import content_of


def chunk_message(embeddings: NDArray[np.float16], lengths: Sequence[int]) -> Message:
    """Return a piece of embeddings (sum of T, D), the clips one after the other, as a message."""
    own = [int(length) for length in lengths]
    return plain(Chunk(embeddings, own, chunk_sha256(embeddings, own)))


def chunk_bytes(embeddings: NDArray[Any], lengths: Sequence[int]) -> int:
    """Return the size of all that a piece says."""
    return int(embeddings.nbytes) + 8 * len(lengths)


def chunk_sha256(embeddings: NDArray[Any], lengths: Sequence[int]) -> str:
    """Return the checksum of all that a piece says: the embeddings, then the clips' lengths."""
    told = hashlib.sha256(content_of(embeddings))
    told.update(np.asarray(lengths, "<i8").tobytes())
    return told.hexdigest()


def parse_chunk(
    message: object, piece: Piece, *, dimensions: int
) -> tuple[NDArray[np.float16], list[int]]:
    """Check a piece that has arrived; return its embeddings (sum of T, D) and clip lengths.

    Raises
    ------
    ProtocolError
        Where it was damaged on the way or is not what the manifest announced.
    """
    where = f"a piece of {'/'.join(piece.key)}"
    chunk = parse(Chunk, message, what=where)
    embeddings, lengths = chunk.embeddings, chunk.lengths
    if embeddings.dtype != np.float16 or embeddings.ndim != 2 or embeddings.shape[1] != dimensions:
        raise ProtocolError(
            f"{where} is {embeddings.dtype} {embeddings.shape}, wanted float16 (T, {dimensions})"
        )
    if embeddings.nbytes != piece.n_bytes:
        raise ProtocolError(
            f"{where} has {embeddings.nbytes:,} bytes, {piece.n_bytes:,} were announced"
        )
    if len(lengths) != len(piece.places) or sum(lengths) != len(embeddings):
        raise ProtocolError(
            f"{where} does not hold the {len(piece.places)} clips that were announced"
        )
    if chunk_sha256(embeddings, lengths) != chunk.sha256:
        raise ProtocolError(f"{where} was damaged on the way (its sha256 differs); run again")
    if not all_finite(embeddings):
        raise ProtocolError(f"{where} holds NaN or infinite values")
    return embeddings, lengths
