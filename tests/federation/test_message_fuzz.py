"""Every message of the protocol, broken in all ways that chance finds: refused as ours, at once, cheaply."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import machines
from every_message import (
    AT_THE_SITE,
    BETWEEN_ROUNDS,
    ENCODED,
    KEY,
    KINDS,
    MEMBER,
    MOMENTS,
    PEERS,
    asked,
    decode_array,
    take_statistics,
)
from mutations import mutated, mutated_bytes
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import ThrumError
from thrum.federation.masked import MaskedPart
from thrum.federation.members import Limits, member_of, pieces_of
from thrum.federation.messages import VERSION, Description, Machine, plain
from thrum.federation.protocol import QUESTIONS, answer
from thrum.federation.releasing import Releases
from thrum.federation.roll import Roll
from thrum.federation.secure import summed, values_of
from thrum.federation.site import Site
from thrum.federation.statistics import parse_statistics, pools_message

SLOWEST_SECONDS = 0.05
"""Processor time for any one message of a site of a few clips; measured again where the machine was busy."""
GROWTH_KIB = 64 << 10
SLOW_KINDS = {
    "to a site: accept_classifier": 500,
    "to a site: mask_shares": 20,
    "to a site: mask_values": 20,
}
"""One in so many is of a kind that costs a millisecond where it is sound, so that a million take minutes."""


def damaged_on_the_way(kind: str, chance: random.Random) -> Any:
    """Return a message whose encoding had bytes changed; None where it is no encoding any more."""
    try:
        return decode_array(msgspec.msgpack.decode(mutated_bytes(ENCODED[kind], chance)))
    except Exception:  # noqa: BLE001 - our stand-in for the decoder of the engine, not what is tested
        return None


def refused(taken: Callable[[Any], object], message: Any) -> str:
    """Return how a message is refused, nothing where it is taken; any other error goes on."""
    try:
        taken(message)
    except ThrumError as error:
        return str(error)
    return ""


def drawn(number: int, chance: random.Random) -> tuple[str, Any, Callable[[Any], object]]:
    """Return the next broken message, of every kind in turn, and what takes it."""
    if number % 10 == 9:
        kind = chance.choice(list(BETWEEN_ROUNDS))
        body, taken = BETWEEN_ROUNDS[kind]
        return kind, mutated_bytes(body, chance), taken
    kind = chance.choice(list(KINDS))
    while chance.randrange(SLOW_KINDS.get(kind, 1)):
        kind = chance.choice(list(KINDS))
    message, taken = KINDS[kind]
    if kind in ENCODED and chance.random() < 0.4:
        return kind, damaged_on_the_way(kind, chance), taken
    return kind, mutated(message, chance), taken


def fuzz(count: int, *, seed: int) -> tuple[dict[str, float], dict[str, int], int]:
    """Take so many broken messages; return the slowest and the count of each kind, and the growth in KiB."""
    chance = random.Random(seed)
    slowest: dict[str, float] = {}
    counts: dict[str, int] = {}
    before = 0
    for number in range(count):
        kind, message, taken = drawn(number, chance)
        for _ in range(3):
            started = time.thread_time()
            said = refused(taken, message)
            seconds = time.thread_time() - started
            if seconds < SLOWEST_SECONDS:
                break  # else the machine may have been busy
        assert said.isprintable(), (kind, said)
        slowest[kind] = max(slowest.get(kind, 0.0), seconds)
        counts[kind] = counts.get(kind, 0) + 1
        if number == count // 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return slowest, counts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.parametrize("kind", [*KINDS, *BETWEEN_ROUNDS])
def test_what_is_sound_is_taken(kind: str) -> None:
    message, taken = {**KINDS, **BETWEEN_ROUNDS}[kind]
    taken(message)
    if kind in ENCODED:
        taken(decode_array(msgspec.msgpack.decode(ENCODED[kind])))


def test_every_question_is_among_them() -> None:
    assert QUESTIONS.keys() <= AT_THE_SITE.keys()


def test_a_few_thousand_broken_messages() -> None:
    slowest, counts, growth = fuzz(6000, seed=1)
    assert counts.keys() == KINDS.keys() | BETWEEN_ROUNDS.keys()
    assert max(slowest.values()) < SLOWEST_SECONDS, slowest
    assert growth < GROWTH_KIB


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_million_broken_messages(seed: int) -> None:
    """A tenth of them each time."""
    slowest, _, growth = fuzz(100_000, seed=seed)
    assert max(slowest.values()) < SLOWEST_SECONDS, slowest
    assert growth < GROWTH_KIB


# Whole questions, and a whole sum


@pytest.fixture
def site(tmp_path: Path) -> Site:
    clips = open_dataset(machines.write_arrays(tmp_path / "data", machines=1, clips=8)).clips
    made = Site(
        "north",
        clips,
        create_embedder("precomputed"),
        tmp_path / "site",
        algorithm=2,
        sharing="embeddings",
        releases=Releases(embeddings="frames", statistics="least:5 | secure"),
    )
    made.prepare()
    return made


@pytest.mark.parametrize("seed", range(2))
def test_a_site_answers_or_refuses_whatever_is_asked(site: Site, seed: int) -> None:
    """Questions and their arguments both, in any order, so that each may come at a wrong time."""
    chance = random.Random(seed)
    for _ in range(150):
        name = chance.choice(list(QUESTIONS))
        message = AT_THE_SITE[name][0]
        broken = message if chance.random() < 0.3 else mutated(message, chance)
        said = refused(lambda m, n=name: answer(site, n, m), broken)  # type: ignore[misc]
        assert said.isprintable()
    assert {"local", "local_whitened"} <= site.score()[0].scores.keys()


class Honest:
    """A site of a secret sum, of four dimensions."""

    def __init__(self) -> None:
        self.part = MaskedPart(lambda: values_of(MOMENTS, 4))

    def mask_keys(self) -> Any:
        return plain(self.part.keys())

    def mask_shares(self, peers: Any, place: int, needed: int) -> Any:
        said = asked("mask_shares", {"peers": peers, "place": place, "needed": needed})
        return plain(self.part.shares(said.peers, said.place, said.needed))

    def mask_values(self, boxes: Any) -> Any:
        return plain(self.part.masked(asked("mask_values", {"boxes": boxes}).boxes))

    def unmask(self, present: Any) -> Any:
        return plain(self.part.unmask(asked("unmask", {"present": present}).present))


class Hostile(Honest):
    """One that breaks one of its answers."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        broken = chance.choice(["mask_keys", "mask_shares", "mask_values", "unmask"])
        own = getattr(self, broken)
        setattr(self, broken, lambda *arguments: self._break(own(*arguments)))

    def _break(self, message: Any) -> Any:
        if self.chance.random() < 0.5:
            return mutated(message, self.chance)
        (field, values), *_ = message.items()
        if isinstance(values, list):
            values = [self.chance.choice(["", one, one[:-1], "f" * len(one)]) for one in values]
        return {**message, field: values}


@pytest.mark.parametrize("seed", range(60))
def test_a_secret_sum_ends_well_or_with_an_error_of_ours(seed: int) -> None:
    sites: dict[str, Any] = {name: Honest() for name in "abcd"}
    sites["b"] = Hostile(random.Random(seed))
    roll = Roll(sites, quorum=3, progress=None)
    assert refused(lambda s: summed(roll, s, 4), sites).isprintable()


# Messages as large as their definitions allow


def manifest_of(count: int) -> Any:
    piece = {"key": list(KEY), "places": [1] * 64, "n_bytes": 40}
    return {"pieces": [{**piece, "fingerprint": f"{number:064x}"} for number in range(count)]}


def statistics_of(count: int) -> Any:
    own = pools_message(MOMENTS)["machines"][0]
    return {"machines": [{**own, "key": ["Press", str(number)]} for number in range(count)]}


@pytest.mark.parametrize(
    ("message", "taken", "wanted"),
    [
        (manifest_of(25_000), lambda m: pieces_of(MEMBER, m, "train"), "25,000 pieces"),
        (manifest_of(2), lambda m: pieces_of(MEMBER, m, "train"), "128 clips, 2 were described"),
        (statistics_of(10_000), take_statistics, "10,000 machines came, wanted 1"),
        (
            {"pools": statistics_of(10_000)},
            lambda m: parse_statistics(m["pools"], dimensions=4, most=1, what="pools"),
            "10,000 machines came, wanted 1",
        ),
        (
            {"peers": PEERS * 4000, "place": 0, "needed": 12_000},
            lambda m: asked("mask_shares", m),
            "not understood",
        ),
    ],
)
def test_what_is_more_than_was_agreed_is_refused_before_it_is_read(
    message: Any, taken: Callable[[Any], object], wanted: str
) -> None:
    assert wanted in refused(taken, message)
    seconds = []
    for _ in range(3):
        started = time.thread_time()
        refused(taken, message)
        seconds.append(time.thread_time() - started)
    assert min(seconds) < SLOWEST_SECONDS


def test_a_list_of_pieces_costs_no_more_than_a_microsecond_a_clip() -> None:
    """The largest that a site may send: 200,000 clips, as many as it described."""
    count = 200_000
    member = member_of(
        "north",
        plain(Description(VERSION, [Machine(*KEY, count, 0)], {}, 4, 5, 2, 1)),
        Limits(),
    )
    message = {
        "pieces": [
            {
                "key": list(KEY),
                "places": list(range(first, first + 16)),
                "n_bytes": 64,
                "fingerprint": f"{first:064x}",
            }
            for first in range(0, count, 16)
        ]
    }
    seconds = []
    for _ in range(3):
        started = time.thread_time()
        assert len(pieces_of(member, message, "train")) == count // 16
        seconds.append(time.thread_time() - started)
    assert min(seconds) < count * 1e-6
