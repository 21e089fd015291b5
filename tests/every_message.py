"""Every message of the protocol, sound, with what takes it at the site or at the server."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

import machines
from thrum.federation.chunks import chunk_message, chunk_sha256, parse_chunk
from thrum.federation.mask_messages import MaskKeys
from thrum.federation.masked import MaskedPart
from thrum.federation.members import Limits, check_statistics, member_of, pieces_of
from thrum.federation.messages import (
    VERSION,
    Conclusion,
    Description,
    Failure,
    Hello,
    Machine,
    parse,
    plain,
)
from thrum.federation.piece_messages import ChunkQuestion, Manifest, ManifestQuestion, Piece
from thrum.federation.protocol import QUESTIONS
from thrum.federation.result_messages import (
    Acknowledgement,
    ClassifierQuestion,
    ScoresMessage,
    ScoresQuestion,
)
from thrum.federation.scoring.messages import (
    NewClipsQuestion,
    decoded_question,
    decoded_scores,
    encoded,
)
from thrum.federation.secure import _boxes, _parts, read_total, values_of
from thrum.federation.statistics import parse_statistics, pools_message
from thrum.systems.embedding_sharing import (
    FramePool,
    IDClassifier,
    Moments,
    NetworkScores,
    preset_config,
    train_classifier,
)

KEY = ("Press", "id_00")
PIECE = Piece(KEY, [1, 0], 40, "a" * 64)
DESCRIPTION = Description(VERSION, [Machine(*KEY, 2, 1)], {"class": "LogMel"}, 4, 5, 2, 2)
MEMBER = member_of("north", plain(DESCRIPTION), Limits())
SCORES = {
    "key": list(KEY),
    "left_out": [0.5, 0.25],
    "test": [1.0],
    "held_out": True,
    "train_identified": [True, False],
    "test_identified": [True],
}
MOMENTS = {KEY: Moments(2, np.diag([1.0, 0, 0, 0])[:1], 0.0)}


def network() -> dict[str, Any]:
    chance = np.random.default_rng(0)
    pool = FramePool(
        {("Press", f"id_{n:02d}"): machines.frames(chance, n, clips=8) for n in range(2)}
    )
    quick = preset_config("compact", assignments=["epochs=1", "members=2", "batch_size=32"])
    made = train_classifier(pool, quick, stack_frames=4, stack_hop=2, device="cpu")
    state, description = made.message()
    return {"state": state, "description": {**description, "group": "all"}}


def parts() -> tuple[list[MaskedPart], list[dict[str, str]], list[list[str]]]:
    """Three sites of a secret sum, with what each has said of keys and shares."""
    made = [MaskedPart(lambda: values_of(MOMENTS, 4)) for _ in range(3)]
    keys = [own.keys() for own in made]
    boxes = [own.shares(keys, place, 2).boxes for place, own in enumerate(made)]
    return made, [plain(own) for own in keys], boxes


PARTS, PEERS, BOXES = parts()
SHARING = MaskedPart(lambda: values_of(MOMENTS, 4))
FOR_FIRST = [own[0] for own in BOXES]
MASKED = copy.copy(PARTS[0])
MASKED._kept = dict(MASKED._kept)
MASKED.masked(FOR_FIRST)
WHOLE = np.eye(4)[np.triu_indices(4)] * 0.75


def fresh(part: MaskedPart) -> MaskedPart:
    """Return a part that does not remember what the last broken message said."""
    own = copy.copy(part)
    own._kept = dict(part._kept)
    return own


def asked(name: str, message: Any) -> Any:
    return parse(QUESTIONS[name], message, what="the question")


def take_shares(message: Any) -> None:
    said = asked("mask_shares", message)
    fresh(SHARING).shares(said.peers, said.place, said.needed)


def take_scores(message: Any) -> None:
    NetworkScores.parse(plain(parse(ScoresQuestion, message, what="the scores").scores))


def take_classifier(message: Any) -> None:
    came = parse(ClassifierQuestion, message, what="the classifier")
    IDClassifier.from_message(came.state, plain(came.description))


def take_statistics(message: Any) -> None:
    check_statistics(MEMBER, parse_statistics(message, dimensions=4, most=1, what="statistics"))


AT_THE_SITE: Mapping[str, tuple[Any, Callable[[Any], object]]] = {
    "describe": (plain(Hello(VERSION, 1)), lambda m: parse(Hello, m, what="hello")),
    "manifest": ({"split": "train"}, lambda m: parse(ManifestQuestion, m, what="a question")),
    "chunk": (
        {"split": "train", "fingerprint": "a" * 64},
        lambda m: parse(ChunkQuestion, m, what="a question"),
    ),
    "statistics": ({}, lambda m: asked("statistics", m)),
    "mask_keys": ({}, lambda m: asked("mask_keys", m)),
    "mask_shares": (
        {"peers": [plain(SHARING.keys()), *PEERS[1:]], "place": 0, "needed": 2},
        take_shares,
    ),
    "mask_values": (
        {"boxes": FOR_FIRST},
        lambda m: fresh(PARTS[0]).masked(asked("mask_values", m).boxes),
    ),
    "unmask": ({"present": [0, 1, 2]}, lambda m: fresh(MASKED).unmask(asked("unmask", m).present)),
    "accept_total": (
        {"total": {"values": WHOLE, "machines": 3, "clips": 6}},
        lambda m: read_total(asked("accept_total", m) and m["total"], 4),
    ),
    "accept_classifier": (network(), take_classifier),
    "accept_scores": ({"scores": SCORES}, take_scores),
    "accept_pools": (
        {"pools": pools_message(MOMENTS)},
        lambda m: parse_statistics(
            asked("accept_pools", m) and m["pools"], dimensions=4, most=1, what="pools"
        ),
    ),
    "conclude": (plain(Conclusion("done")), lambda m: parse(Conclusion, m, what="the end")),
}
AT_THE_SERVER: Mapping[str, tuple[Any, Callable[[Any], object]]] = {
    "description": (plain(DESCRIPTION), lambda m: member_of("north", m, Limits())),
    "manifest": (plain(Manifest([PIECE])), lambda m: pieces_of(MEMBER, m, "train")),
    "chunk": (
        chunk_message(np.arange(20, dtype=np.float16).reshape(5, 4), [2, 3]),
        lambda m: parse_chunk(m, PIECE, dimensions=4),
    ),
    "statistics": (pools_message(MOMENTS), take_statistics),
    "keys": (PEERS[0], lambda m: parse(MaskKeys, m, what="keys")),
    "shares": ({"boxes": BOXES[0]}, lambda m: _boxes(m, "north", 0, 3)),
    "parts": ({"parts": ["a" * 132] * 3}, lambda m: _parts(m, "north", [0, 1, 2], 3)),
    "acknowledgement": (
        plain(Acknowledgement("scores", True)),
        lambda m: parse(Acknowledgement, m, what="an acknowledgement"),
    ),
    "failure": ({"failed": "OSError"}, lambda m: parse(Failure, m, what="a failure")),
}
KINDS = {
    **{f"to a site: {name}": own for name, own in AT_THE_SITE.items()},
    **{f"to the server: {name}": own for name, own in AT_THE_SERVER.items()},
}


def question() -> NewClipsQuestion:
    clips = np.arange(20, dtype=np.float16).reshape(5, 4)
    return NewClipsQuestion(
        protocol=VERSION,
        site="north",
        time=1e9,
        nonce="a" * 32,
        key=KEY,
        dimensions=4,
        lengths=[2, 3],
        embeddings=clips.tobytes(),
        sha256=chunk_sha256(clips, [2, 3]),
    )


BETWEEN_ROUNDS: Mapping[str, tuple[bytes, Callable[[bytes], object]]] = {
    "to the server: new clips": (encoded(question()), lambda b: decoded_question(b).clips()),
    "to a site: scores": (
        encoded(msgspec.convert(SCORES, ScoresMessage)),
        lambda b: NetworkScores.parse(plain(decoded_scores(b, KEY))),
    ),
}


def encode_array(value: Any) -> Any:
    return {"dtype": value.dtype.str, "shape": list(value.shape), "bytes": value.tobytes()}


def decode_array(value: Any) -> Any:
    """Return a value with its arrays put together again, as an engine does; whatever that makes."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "shape", "bytes"}:
            return np.ndarray(value["shape"], value["dtype"], bytes(value["bytes"]))
        return {key: decode_array(inner) for key, inner in value.items()}
    return [decode_array(inner) for inner in value] if isinstance(value, list) else value


ENCODED = {
    kind: msgspec.msgpack.Encoder(enc_hook=encode_array).encode(message)
    for kind, (message, _) in KINDS.items()
    if kind != "to a site: accept_classifier"
}
