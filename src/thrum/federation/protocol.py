"""Who asks what: the whole interface between a site and the server, with no engine in it.

The server calls the methods of `SiteHandle`; in one process a handle is the `thrum.federation.site.Site`
itself, deployed it is a stand-in that carries each call over the network. What is asked and answered is
defined in `thrum.federation.messages` and where that points; a recording, a file name or a label never is
part of it.

========================  ======  =============================================================
method                    leaves  what
========================  ======  =============================================================
`describe`                yes     machines and their clip counts, the embedder's settings
`manifest`                yes     which pieces of embeddings there are, with fingerprints
`chunk`                   yes     one piece: released embeddings of a few clips
`statistics`              yes     of each machine a count and how its clips vary; no embedding
`mask_keys`               yes     keys for a sum of statistics of which the server sees no part
`mask_shares`             yes     parts of the site's secrets, sealed for the other sites
`mask_values`             yes     its statistics, masked
`unmask`                  yes     its parts of the others' secrets
`accept_total`            ack     the sum of all sites' statistics
`accept_classifier`       ack     Algorithm 1: the trained ID classifier comes down
`accept_scores`           ack     Algorithm 2: the anomaly scores of the site's clips come down
`accept_pools`            ack     for each machine, how the clips of the others vary
========================  ======  =============================================================

A question that cannot be answered is an error. What comes down and cannot be used is no error of the
round: the site refuses it, says so in its acknowledgement, and keeps the scores that it has by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import NODEFAULT, Struct, structs

from thrum.errors import ProtocolError
from thrum.federation.mask_messages import (
    MaskKeysQuestion,
    MaskSharesQuestion,
    MaskValuesQuestion,
    TotalQuestion,
    UnmaskQuestion,
)
from thrum.federation.messages import Hello, Message, printable
from thrum.federation.piece_messages import ChunkQuestion, ManifestQuestion
from thrum.federation.result_messages import ClassifierQuestion, ScoresQuestion
from thrum.federation.statistics_messages import PoolsQuestion, StatisticsQuestion

QUESTIONS: Mapping[str, type[Struct]] = {
    "describe": Hello,
    "manifest": ManifestQuestion,
    "chunk": ChunkQuestion,
    "statistics": StatisticsQuestion,
    "mask_keys": MaskKeysQuestion,
    "mask_shares": MaskSharesQuestion,
    "mask_values": MaskValuesQuestion,
    "unmask": UnmaskQuestion,
    "accept_total": TotalQuestion,
    "accept_classifier": ClassifierQuestion,
    "accept_scores": ScoresQuestion,
    "accept_pools": PoolsQuestion,
}
"""What a site answers, and what each question has to say: the arguments of the method of that name."""


class SiteHandle(Protocol):
    """What the server can ask of a site; arguments and answers as they travel."""

    def describe(
        self, protocol: Sequence[int], algorithm: int, sharing: str = "embeddings"
    ) -> Message:
        """Say which machines the site has and which embedder it uses."""
        ...

    def manifest(self, split: str) -> Message:
        """List the pieces of embeddings of a split."""
        ...

    def chunk(self, split: str, fingerprint: str) -> Message:
        """Hand over one piece."""
        ...

    def statistics(self) -> Message:
        """Say how the clips of each machine vary."""
        ...

    def mask_keys(self) -> Message:
        """Make keys for a sum of which nobody sees a part."""
        ...

    def mask_shares(self, peers: Sequence[Message], place: int, needed: int) -> Message:
        """Hand out parts of one's secrets, sealed for the others."""
        ...

    def mask_values(self, boxes: Sequence[str]) -> Message:
        """Say what one adds, masked."""
        ...

    def unmask(self, present: Sequence[int]) -> Message:
        """Hand over one's parts of the others' secrets."""
        ...

    def accept_total(self, total: Message) -> Message:
        """Keep the sum over all sites, or refuse it; say which."""
        ...

    def accept_pools(self, pools: Message) -> Message:
        """Keep how the clips of others vary, or refuse it; say which."""
        ...

    def accept_classifier(self, state: Message, description: Message) -> Message:
        """Keep an ID classifier, or refuse it; say which."""
        ...

    def accept_scores(self, scores: Message) -> Message:
        """Keep the scores that the server computed, or refuse them; say which."""
        ...


def answer(site: SiteHandle, question: object, arguments: object) -> Message:
    """Answer a question that came over a network.

    Raises
    ------
    ProtocolError
        Where no site answers it, or something is missing.
    """
    kind = QUESTIONS.get(question) if isinstance(question, str) else None
    if kind is None:
        raise ProtocolError(f"the server asked {printable(str(question))!r}, which no site answers")
    if not isinstance(arguments, dict):
        raise ProtocolError(f"the server asked {question!r} with {type(arguments).__name__}")
    fields = structs.fields(kind)
    missing = [f.name for f in fields if f.default is NODEFAULT and f.name not in arguments]
    if missing:
        raise ProtocolError(f"the server asked {question!r} without {', '.join(missing)}")
    known = {f.name: arguments[f.name] for f in fields if f.name in arguments}
    given: Message = getattr(site, str(question))(**known)
    return given
