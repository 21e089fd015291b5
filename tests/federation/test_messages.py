"""What a peer may say: nothing that does not fit ends in another error than ours, or costs anything."""

from __future__ import annotations

import random
import re
import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import machines
from mutations import mutated
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import ProtocolError
from thrum.federation.chunks import chunk_message, parse_chunk
from thrum.federation.members import Limits, member_of, pieces_of
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
from thrum.federation.piece_messages import Manifest, Piece
from thrum.federation.protocol import QUESTIONS, answer
from thrum.federation.result_messages import Acknowledgement, ClassifierQuestion, ScoresQuestion
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.systems.embedding_sharing import (
    FramePool,
    IDClassifier,
    NetworkScores,
    preset_config,
    train_classifier,
)

QUICK = preset_config("compact", assignments=["epochs=1", "members=2", "batch_size=32"])
PIECE = Piece(("Press", "id_00"), [1, 0], 40, "a" * 64)
DESCRIPTION = Description(
    VERSION, [Machine("Press", "id_00", 2, 1)], {"class": "LogMel"}, 4, 5, 2, 2
)
MEMBER = member_of("north", plain(DESCRIPTION), Limits())
CHUNK = chunk_message(np.arange(20, dtype=np.float16).reshape(5, 4), [2, 3])
SCORES = {
    "key": ["Press", "id_00"],
    "left_out": [0.5, 0.25],
    "test": [1.0],
    "held_out": True,
    "train_identified": [True, False],
    "test_identified": [True],
}


def trained(machines_: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    random_ = np.random.default_rng(0)
    pool = FramePool(
        {
            ("Press", f"id_{number:02d}"): machines.frames(random_, number, clips=8)
            for number in range(machines_)
        }
    )
    made = train_classifier(pool, QUICK, stack_frames=4, stack_hop=2, device="cpu")
    state, description = made.message()
    return state, {**description, "group": "all"}


CLASSIFIER = trained()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    data = machines.write_arrays(tmp_path / "data", machines=2, clips=8)
    clips = open_dataset(data).where(machine_id="id_00").clips
    made = Site(
        "north",
        clips,
        create_embedder("precomputed"),
        tmp_path / "site",
        algorithm=2,
        sharing="embeddings",
    )
    made.prepare()
    return made


def taken_scores(message: Any) -> None:
    parse_scores = parse(ScoresQuestion, message, what="the scores").scores
    NetworkScores.parse(plain(parse_scores))


def taken_classifier(message: Any) -> None:
    what = parse(ClassifierQuestion, message, what="the classifier")
    IDClassifier.from_message(what.state, plain(what.description))


SOUND: Mapping[str, tuple[Any, Callable[[Any], object]]] = {
    "description": (plain(DESCRIPTION), lambda m: member_of("north", m, Limits())),
    "manifest": (plain(Manifest([PIECE])), lambda m: pieces_of(MEMBER, m, "train")),
    "chunk": (CHUNK, lambda m: parse_chunk(m, PIECE, dimensions=4)),
    "acknowledgement": (
        plain(Acknowledgement("scores", True)),
        lambda m: parse(Acknowledgement, m, what="an acknowledgement"),
    ),
    "failure": ({"failed": "OSError"}, lambda m: parse(Failure, m, what="a failure")),
    "conclusion": (plain(Conclusion("done")), lambda m: parse(Conclusion, m, what="the end")),
    "hello": (plain(Hello(VERSION, 1)), lambda m: parse(Hello, m, what="hello")),
    "scores": ({"scores": SCORES}, taken_scores),
    "classifier": ({"state": CLASSIFIER[0], "description": CLASSIFIER[1]}, taken_classifier),
}


def refusal(taken: Callable[[Any], object], message: Any) -> str:
    """Return how a message is refused; nothing where it is taken. Any other error goes on."""
    try:
        taken(message)
    except ProtocolError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", SOUND)
def test_what_is_sound_is_taken(kind: str) -> None:
    message, taken = SOUND[kind]
    taken(message)
    if isinstance(message, dict) and "protocol" in message:
        taken({**message, "a later field": 3})


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32))
def test_what_is_not_is_a_protocol_error_and_no_other(kind: str, seed: int) -> None:
    message, taken = SOUND[kind]
    said = refusal(taken, mutated(message, random.Random(seed)))
    assert said.isprintable()


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(question=st.sampled_from([*QUESTIONS, "score"]) | plain_values, arguments=plain_values)
def test_whatever_is_asked_a_site_answers_or_refuses(
    site: Site, question: Any, arguments: Any
) -> None:
    try:
        given_ = answer(site, question, arguments)
    except ProtocolError:
        return
    assert given_.get("accepted") in (None, False)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 1 << 32))
def test_whatever_comes_down_a_site_keeps_its_own_scores(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    site.brought.forget()
    for question in ("classifier", "scores"):
        message = mutated(SOUND[question][0], chance)
        said = refusal(lambda m, q=question: answer(site, f"accept_{q}", m), message)
        assert said == "" or "the server asked" in said
    assert {"local", "local_whitened"} <= site.score()[0].scores.keys()


# Bounds


def test_a_site_may_not_describe_or_send_more_than_its_quota(tmp_path: Path) -> None:
    data = machines.write_arrays(tmp_path / "data", machines=2, clips=20)
    taken = {}
    for _, machine_id in open_dataset(data).machine_keys:
        clips = open_dataset(data).where(machine_id=machine_id).clips
        taken[machine_id] = Site(
            machine_id,
            clips,
            create_embedder("precomputed"),
            tmp_path / machine_id,
            sharing="embeddings",
        )
        taken[machine_id].prepare()

    def collaborate(limits: Limits) -> None:
        Server(tmp_path / "server", config=QUICK, device="cpu", limits=limits).collaborate(
            taken, sharing="embeddings"
        )

    with pytest.raises(ProtocolError, match="36 clips, 35 are allowed to a site"):
        collaborate(Limits(clips=35))
    n_bytes = 2 * 20 * 24 * machines.DIMENSIONS
    with pytest.raises(ProtocolError, match=f"{n_bytes:,} bytes, {n_bytes - 1:,} are allowed"):
        collaborate(Limits(n_bytes=n_bytes - 1))
    assert not list((tmp_path / "server").rglob("*.npy"))
    assert {e.what for e in taken["id_00"].ledger.entries()} == {"description", "manifest"}
    collaborate(Limits(clips=36, n_bytes=n_bytes))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda p: [{**p, "places": [0]}] * 2, "lists a piece twice"),
        (lambda p: [p, p], "names 4 clips, 2 were described"),
        (lambda p: [p] * 4000, "4,000 pieces came, wanted 2 at most"),
        (lambda p: [], "lists 0, or other ones"),
        (lambda p: [{**p, "places": [0]}], "lists 1, or other ones"),
        (lambda p: [{**p, "places": [0, 0]}], "lists 2, or other ones"),
        (lambda p: [{**p, "places": [0, 1, 2]}], "names 3 clips, 2 were described"),
        (lambda p: [{**p, "places": [0, 1 << 60]}], "not understood"),
        (lambda p: [{**p, "key": ["Press", "id_07"]}], "that it did not describe"),
        (lambda p: [{**p, "n_bytes": 1 << 40}], "not understood"),
    ],
)
def test_a_list_of_pieces_is_of_the_clips_that_were_described(
    change: Callable[[dict[str, Any]], list[dict[str, Any]]], wanted: str
) -> None:
    started = time.process_time()
    with pytest.raises(ProtocolError, match=wanted):
        pieces_of(MEMBER, {"pieces": change(plain(PIECE))}, "train")
    assert time.process_time() - started < 0.05


# What comes down


def poisoned(name: str, value: float) -> dict[str, Any]:
    state = {key: np.array(array) for key, array in CLASSIFIER[0].items()}
    state[name].reshape(-1)[0] = value
    return state


VARIANCE = next(name for name in CLASSIFIER[0] if name.endswith("running_var"))


@pytest.mark.parametrize(
    ("state", "change", "wanted"),
    [
        (poisoned("0.loss.anchors", np.nan), {}, "NaN or infinite"),
        (poisoned("1.frame_whitening.mean", np.inf), {}, "NaN or infinite"),
        (poisoned(VARIANCE, -1.0), {}, "negative variances"),
        (poisoned("0.frame_whitening.mean", 3e38), {}, "does not work on the embeddings here"),
        (None, {"frames": 0}, "not understood"),
        (None, {"frames": 10**6}, "inputs of 1000000 frames, clips here have 24"),
        (None, {"frames": 10**7}, "not understood"),
        (None, {"hop": -1}, "not understood"),
        (None, {"dimensions": 2 * 10**6}, "not understood"),
        (None, {"dimensions": 65_536}, "not those|wanted"),
        (None, {"config": {"members": 10**9}}, "networks, 64 at most"),
        (None, {"config": {"members": 1}}, "arrays are not those"),
        (None, {"config": {"embedding_size": 10**9}}, "is not understood"),
        (None, {"config": {"form": "image"}}, "arrays are not those"),
        (None, {"config": {"scale": float("inf")}}, "not understood"),
        (None, {"keys": [["", "0"], ["", "1"]]}, "tells none of this site's machines apart"),
        (None, {"group": "../x"}, "is refused"),
        ({}, {}, "arrays are not those"),
    ],
)
def test_a_classifier_that_cannot_be_is_refused_before_memory_is_taken(
    site: Site, state: dict[str, Any] | None, change: dict[str, Any], wanted: str
) -> None:
    description = {**CLASSIFIER[1], **change}
    description["config"] = {**CLASSIFIER[1]["config"], **change.get("config", {})}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = site.accept_classifier(CLASSIFIER[0] if state is None else state, description)
    assert told == {"what": "a classifier", "accepted": False}
    (reason,) = site.refused
    assert re.search(wanted, reason), reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    assert not (site.folder / "classifiers").exists()
    (own,) = site.score()
    assert {"local", "local_whitened"} <= own.scores.keys()
    assert "network" not in own.scores
    entry = site.ledger.entries()[-1]
    assert (entry.what, entry.detail) == ("acknowledgement", "a classifier: refused")


def test_a_round_goes_on_where_a_site_refuses(tmp_path: Path, site: Site) -> None:
    clips = open_dataset(tmp_path / "data").where(machine_id="id_01").clips
    other = Site(
        "south",
        clips,
        create_embedder("precomputed"),
        tmp_path / "south",
        algorithm=2,
        sharing="embeddings",
    )
    other.prepare()
    whole = site.accept_classifier

    def damaged(state: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
        return whole(state, {**description, "frames": -1})

    site.accept_classifier = damaged  # type: ignore[method-assign]
    server = Server(tmp_path / "server", config=QUICK, device="cpu", whitening_from=1)
    outcome = server.collaborate({"north": site, "south": other}, sharing="embeddings")
    assert outcome.refused == ["north"]
    assert outcome.notes == ["site 'north' refused what it was sent; why is shown there"]
    assert "network" not in site.score()[0].scores
    assert "network" in other.score()[0].scores


@pytest.mark.parametrize(
    ("allowed", "round_", "kept"), [(1, 1, False), (2, 1, False), (2, 2, True)]
)
def test_a_site_takes_what_its_algorithm_has_and_no_scores_under_the_first(
    site: Site, allowed: Any, round_: int, kept: bool
) -> None:
    site.algorithm = allowed
    site.describe(VERSION, round_)
    assert site.told == Hello(VERSION, 1 if round_ == 1 else 2)
    scores = {
        "key": ["Press", "id_00"],
        "left_out": [0.5] * 8,
        "test": [0.25] * 16,
        "held_out": True,
        "train_identified": [True] * 8,
        "test_identified": [True] * 16,
    }
    assert site.accept_scores(scores)["accepted"] is kept
    assert site.accept_classifier(*CLASSIFIER)["accepted"] is not kept
    assert ("network" in site.score()[0].scores) is True
    refused = "an ID classifier came" if kept else "scores came"
    assert refused in site.refused[0]


@pytest.mark.parametrize("machine_id", ["\ud800", "../id_00", "a\x1b[2J"])
def test_scores_of_a_name_that_is_none_are_refused_and_the_site_goes_on(
    site: Site, machine_id: str
) -> None:
    """A lone surrogate cannot be written to a file, so noting the refusal must not be what fails."""
    site.describe(VERSION, 2)
    assert site.accept_scores({**SCORES, "key": ["Press", machine_id]})["accepted"] is False
    assert len(site.refused) == 1
    assert site.refused[0].isprintable()


def test_what_an_earlier_round_brought_stays_until_something_is_accepted(site: Site) -> None:
    state, description = CLASSIFIER
    site.describe(VERSION, 1)
    assert site.accept_classifier(state, description)["accepted"]
    before = site.score()[0].scores["network"].test

    site.describe(VERSION, 1)  # of the next round
    assert not site.accept_classifier(state, {**description, "frames": -1})["accepted"]
    site.brought.end()
    assert np.array_equal(site.score()[0].scores["network"].test, before)
    assert len(site.refused) == 1

    site.describe(VERSION, 1)
    assert site.refused == []
    assert site.accept_classifier(state, {**description, "group": "Press"})["accepted"]
    site.brought.end()
    assert [path.name for path in (site.folder / "classifiers").iterdir()] == ["Press"]

    site.describe(VERSION, 1)  # and now it is alone: nothing is meant for it
    site.brought.end()
    assert "network" not in site.score()[0].scores


def test_a_site_that_is_killed_in_a_round_keeps_what_that_brought(
    tmp_path: Path, site: Site
) -> None:
    """Started again between what came down and the end, it goes on; it is no new round to it."""

    def started_again() -> Site:
        clips = open_dataset(tmp_path / "data").where(machine_id="id_00").clips
        again = Site(
            "north", clips, create_embedder("precomputed"), site.folder, sharing="embeddings"
        )
        again.prepare()
        return again

    state, description = CLASSIFIER
    site.describe(VERSION, 1)
    assert site.accept_classifier(state, {**description, "group": "Fan"})["accepted"]
    again = started_again()
    assert again.accept_classifier(state, {**description, "group": "Press"})["accepted"]
    last = started_again()
    last.brought.end()
    kept = sorted(path.name for path in (site.folder / "classifiers").iterdir())
    assert kept == ["Fan", "Press"]


def test_refusals_do_not_grow_without_end(site: Site) -> None:
    for _ in range(50):
        site.accept_scores({})
    assert len(site.refused) == 20


def test_no_message_is_built_that_its_definition_would_not_take(site: Site) -> None:
    member = member_of("north", site.describe(VERSION, 2), Limits())
    for split in ("train", "test"):
        for piece in pieces_of(member, site.manifest(split), split):  # type: ignore[arg-type]
            sent = site.chunk(split, piece.fingerprint)
            parse_chunk(sent, piece, dimensions=member.description.dimensions)


def test_a_kind_of_message_is_worked_out_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once end the process."""

    class Fresh(msgspec.Struct, frozen=True):
        number: int

    working, together = [], []
    decoder = msgspec.msgpack.Decoder

    def slow(kind: type) -> object:
        working.append(kind)
        together.append(len(working))
        time.sleep(0.01)
        working.pop()
        return decoder(kind)

    monkeypatch.setattr(msgspec.msgpack, "Decoder", slow)
    with ThreadPoolExecutor(8) as pool:
        read = [pool.submit(parse, Fresh, {"number": n}, what="it") for n in range(32)]
    assert [one.result().number for one in read] == list(range(32))
    assert set(together) == {1}
