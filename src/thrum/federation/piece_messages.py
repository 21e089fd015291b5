"""The messages of pieces of embeddings; see `thrum.federation.messages`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from thrum.federation.messages import Count, Frames, Name, Sha256, Split


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
