"""A site asks the server for scores of new clips (Algorithm 2); each question stands in its ledger first."""

from __future__ import annotations

import base64
import http.client
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrum.embedders.base import create_embedder
from thrum.errors import FederationError, ProtocolError
from thrum.federation.brought import RECEIVED
from thrum.federation.chunks import chunk_bytes, chunk_sha256
from thrum.federation.ledger import Ledger
from thrum.federation.messages import VERSION, MachineKey, plain
from thrum.federation.result_messages import ScoresMessage
from thrum.federation.scoring.messages import (
    LARGEST_BYTES,
    MOST_CLIPS,
    NewClipsQuestion,
    decoded_scores,
    encoded,
)
from thrum.federation.scoring.service import PATH, SIGNATURE
from thrum.federation.scoring.signing import signed
from thrum.privacy.mechanisms import parse_chain
from thrum.systems.base import load_system
from thrum.systems.embedding_sharing import EmbeddingSharing, NetworkScores, ScorePair
from thrum.types import Clip

ANSWER_SECONDS = 120.0
BYTES_AT_ONCE = 8 * 2**20
LARGEST_ANSWER = 64 * 2**20

Released = NDArray[np.float16]


@dataclass(frozen=True)
class Counter:
    """Where questions are asked.

    Parameters
    ----------
    host, port
        Of the service.
    tls
        The site's certificate and key, and whom it trusts.
    key
        The PEM file of the key that signs.
    site
        The site's name.
    require_server
        Raises where a certificate is not that of the kit's server.
    """

    host: str
    port: int
    tls: ssl.SSLContext
    key: Path
    site: str
    require_server: Callable[[Mapping[str, Any] | None], None]


def ask_scores(
    counter: Counter,
    key: MachineKey,
    clips: Sequence[Released],
    ledger: Ledger,
    *,
    embedder: str,
    chain: str,
) -> NetworkScores:
    """Return what the server's classifier says of new clips (T, D) of one machine, as they were released.

    Parameters
    ----------
    ledger
        The site's; every question stands in it before it is sent.
    embedder
        The class of the embedder, for the ledger.
    chain
        The chain of mechanisms that they have passed, for the ledger.

    Raises
    ------
    FederationError
        Where nobody answers, or the server refuses.
    ProtocolError
        Where the answer is not understood.
    """
    answers = []
    for some in _parts(clips):
        question = _question(counter.site, key, some)
        ledger.record(
            "embeddings",
            f"{'/'.join(key)}, new clips, to be scored by the server",
            clips=len(some),
            n_bytes=chunk_bytes(np.concatenate(some), question.lengths),
            sha256=question.sha256,
            embedder=embedder,
            chain=chain,
        )
        answers.append(_asked(counter, encoded(question), key))
        if len(answers[-1].test) != len(some):
            raise ProtocolError(f"the server answered {len(answers[-1].test)} of {len(some)} clips")
    found = [NetworkScores.parse(plain(answer)) for answer in answers]
    first = found[0]
    test = np.concatenate([one.scores.test for one in found])
    named = np.concatenate([one.test_identified for one in found])
    pair = ScorePair(first.scores.left_out, test)
    return NetworkScores(pair, first.held_out, first.train_identified, named)


def score_new(
    folder: Path,
    key: MachineKey,
    clips: Sequence[Clip],
    counter: Counter,
    *,
    device: str = "auto",
) -> tuple[dict[str, ScorePair], NetworkScores]:
    """Score new clips of a site's machine by every method of its last round, the server's among them.

    Returns
    -------
    scores, network
        By method; and what the server says besides.

    Parameters
    ----------
    folder
        The site's.
    device
        ``auto``, ``cpu`` or ``cuda``: where it embeds and scores.

    Raises
    ------
    FederationError
        Where the site has not taken part in a round of Algorithm 2, releases embeddings with noise that was
        accounted for in the round alone, or the server does not answer.
    """
    if not (folder / RECEIVED).is_dir():
        raise FederationError(
            f"{folder} holds no round of Algorithm 2: the site has all that it needs, thrum score asks nobody"
        )
    system = load_system(folder, device=device)
    assert isinstance(system, EmbeddingSharing)
    chain = parse_chain(system.release_[0])
    if chain.noise is not None:
        raise FederationError(
            f"embeddings leave this site with noise ({chain.told}), whose budget was for the clips of the "
            f"round: no others may leave"
        )
    embedder = (
        "precomputed" if any(clip.row is not None for clip in clips) else system.config.embedder
    )
    released = system.released(clips)
    network = ask_scores(
        counter,
        key,
        released,
        Ledger(folder / "ledger.jsonl"),
        embedder=type(create_embedder(embedder)).__name__,
        chain=chain.told,
    )
    pairs, _ = system.pairs(key, released, received=network)
    return pairs, network


def _parts(clips: Sequence[Released]) -> Iterator[list[Released]]:
    """Yield clips that travel together."""
    part: list[Released] = []
    for clip in clips:
        if clip.nbytes > LARGEST_BYTES - (1 << 16):
            raise FederationError(
                f"a clip's embeddings are {clip.nbytes:,} bytes, {LARGEST_BYTES:,} may be sent: cut it into "
                f"shorter clips (--clip-seconds)"
            )
        full = sum(own.nbytes for own in part) + clip.nbytes > BYTES_AT_ONCE
        if part and (full or len(part) == MOST_CLIPS):
            yield part
            part = []
        part.append(clip)
    if part:
        yield part


def _question(site: str, key: MachineKey, clips: Sequence[Released]) -> NewClipsQuestion:
    whole, lengths = np.concatenate(clips), [len(clip) for clip in clips]
    return NewClipsQuestion(
        protocol=VERSION,
        site=site,
        time=time.time(),
        nonce=secrets.token_hex(16),
        key=key,
        dimensions=int(whole.shape[1]),
        lengths=lengths,
        embeddings=whole.astype("<f2").tobytes(),
        sha256=chunk_sha256(whole, lengths),
    )


def _asked(counter: Counter, body: bytes, key: MachineKey) -> ScoresMessage:
    where = f"{counter.host}:{counter.port}"
    connection = http.client.HTTPSConnection(
        counter.host, counter.port, context=counter.tls, timeout=ANSWER_SECONDS
    )
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        counter.require_server(connection.sock.getpeercert())
        signature = base64.b64encode(signed(body, counter.key)).decode()
        connection.request("POST", PATH, body, {SIGNATURE: signature})
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER)
    except ssl.SSLCertVerificationError as error:
        raise FederationError(
            f"what answers at {where} is not the server of this kit ({error.verify_message})"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise FederationError(
            f"no scores came from {where} ({error}): is thrum collaborate serve-scores running there, and is "
            f"this the right --port?"
        ) from error
    finally:
        connection.close()
    if response.status == http.client.FORBIDDEN:
        raise FederationError(
            f"the server at {where} refused the question of {counter.site!r}; why stands in its log. It "
            f"answers for machines of the last round alone, clocks within five minutes"
        )
    if response.status != http.client.OK:
        raise FederationError(f"the server at {where} could not answer ({response.status})")
    return decoded_scores(answer, key)
