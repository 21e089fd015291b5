"""What a site asks between rounds; the answer is `thrum.federation.result_messages.ScoresMessage`.

A question travels as MessagePack, signed by the site's key, over TLS of both sides.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from thrum.errors import ProtocolError
from thrum.federation.chunks import chunk_sha256
from thrum.federation.messages import (
    Dimensions,
    Frames,
    MachineKey,
    Name,
    Sha256,
    Version,
    checked_name,
    prepared,
    printable,
)
from thrum.federation.result_messages import ScoresMessage

LARGEST_BYTES = 32 * 2**20
"""Of a question as it travels."""
MOST_CLIPS = 64

M = TypeVar("M", bound=msgspec.Struct)


class NewClipsQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Score these new clips of one machine by the classifier of the last round (Algorithm 2).

    Parameters
    ----------
    protocol
        The site's version.
    site
        Its name, which must be that of its certificate.
    time
        When it asks, seconds since 1970, UTC.
    nonce
        Said once and never again.
    key
        The machine and machine ID; one of the site's.
    dimensions
        D, the size of one embedding.
    lengths
        T of each clip.
    embeddings
        (sum of T, D) float16, little-endian, the clips one after the other.
    sha256
        Of the embeddings, then the lengths as 64-bit integers.
    """

    protocol: Version
    site: Name
    time: Annotated[float, Meta(ge=0, le=1e11)]
    nonce: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    key: tuple[Name, Name]
    dimensions: Dimensions
    lengths: Annotated[list[Frames], Meta(min_length=1, max_length=MOST_CLIPS)]
    embeddings: Annotated[bytes, Meta(max_length=LARGEST_BYTES)]
    sha256: Sha256

    def __post_init__(self) -> None:
        for part in (self.site, *self.key):
            checked_name(part)

    def clips(self) -> list[NDArray[np.float16]]:
        """Return the embeddings (T, D) of each clip, checked against all that the question says of them."""
        where = f"the clips of {'/'.join(self.key)}"
        if len(self.embeddings) != 2 * self.dimensions * sum(self.lengths):
            raise ProtocolError(f"{where} are not of the lengths that were announced")
        whole = np.frombuffer(self.embeddings, "<f2").reshape(-1, self.dimensions)
        if chunk_sha256(whole, self.lengths) != self.sha256:
            raise ProtocolError(
                f"{where} were damaged on the way (their sha256 differs); ask again"
            )
        if not np.isfinite(whole).all():
            raise ProtocolError(f"{where} hold NaN or infinite values")
        native = whole.astype(np.float16)
        return np.split(native, np.cumsum(self.lengths)[:-1])


def encoded(message: msgspec.Struct) -> bytes:
    """Return a message as it travels."""
    return msgspec.msgpack.encode(message)


def decoded_question(body: bytes) -> NewClipsQuestion:
    """Return what a site asks; a `ProtocolError` where it is not understood."""
    return _decoded(body, NewClipsQuestion, "the question")


def decoded_scores(body: bytes, key: MachineKey) -> ScoresMessage:
    """Return what the server answers of one machine; a `ProtocolError` where it is not understood."""
    scores = _decoded(body, ScoresMessage, "the server's answer")
    if scores.key != key:
        raise ProtocolError(f"the server answered with scores of {'/'.join(scores.key)}")
    return scores


def _decoded(body: bytes, kind: type[M], what: str) -> M:
    try:
        return msgspec.msgpack.decode(body, type=prepared(kind))
    except (msgspec.DecodeError, ProtocolError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{what} is not understood: {printable(str(error))}") from error
