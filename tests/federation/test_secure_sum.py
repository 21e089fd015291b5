"""Secure aggregation: the sum is the plain one, also when a site is lost; garbage is noticed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import FederationError, ProtocolError
from thrum.federation.masked import MaskedPart
from thrum.federation.messages import Message
from thrum.federation.outcome import Outcome
from thrum.federation.releasing import Releases
from thrum.federation.secure import covariance
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.privacy.mechanisms.masking import KeyPair, decoded, encoded, mask, opened, sealed
from thrum.privacy.mechanisms.shares import joined, split
from thrum.systems.embedding_sharing import preset_config
from thrum.types import group_by_machine

SITES, DIMENSIONS = 5, 6


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    """Five sites of stored features that share statistics in secret."""
    random = np.random.default_rng(0)
    shape = random.normal(size=(DIMENSIONS, DIMENSIONS))
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(SITES):
        arrays = {
            name: (random.normal(size=(12, 3, DIMENSIONS)) @ shape).astype(np.float16)
            for name in ("train_normal", "test_normal", "test_anomaly")
        }
        np.savez(folder / f"fan_id_{number:02d}.npz", **arrays)
    found = {}
    for number, clips in enumerate(group_by_machine(open_dataset(folder)).values()):
        name = f"site{number}"
        found[name] = Site(
            name,
            clips,
            create_embedder("precomputed"),
            tmp_path / name,
            releases=Releases(statistics="least:5 | secure"),
        )
        found[name].prepare()
    return found


def collaborate(sites: dict[str, Any], folder: Path, quorum: int | None = None) -> Outcome:
    return Server(folder, config=preset_config("compact"), quorum=quorum).collaborate(sites)


def plain_sum(sites: Sequence[Site]) -> np.ndarray[Any, Any]:
    return sum(covariance(own) for site in sites for own in site.own.moments().values())  # type: ignore[return-value]


class Lost(Site):
    """A site that gives its shares and is lost before it sends anything."""

    def mask_values(self, boxes: Sequence[str]) -> Message:
        raise FederationError("the line is dead")


class Late(Site):
    """A site that is lost after it has sent."""

    def unmask(self, present: Sequence[int]) -> Message:
        raise FederationError("the line is dead")


class Garbage(Site):
    """A site that sends numbers of its own instead of statistics."""

    def mask_values(self, boxes: Sequence[str]) -> Message:
        message = super().mask_values(boxes)
        wrong = np.zeros(len(message["values"]), np.uint64)
        wrong[0] = 1 << 60
        return {"values": message["values"] + wrong}


@pytest.mark.parametrize("fate", [Site, Lost, Late])
def test_the_sum_is_the_plain_one_with_one_site_lost(
    sites: dict[str, Site], tmp_path: Path, fate: type[Site]
) -> None:
    sites["site3"].__class__ = fate
    left = [site for name, site in sites.items() if name != "site3" or fate is not Lost]

    outcome = collaborate(sites, tmp_path / "server", quorum=4)

    assert list(outcome.lost) == ([] if fate is Site else ["site3"])
    for site in left:
        if fate is Late and site is sites["site3"]:
            continue  # it is not told, but its part is in the sum
        (key,) = site.machines
        pool = site._arriving.pools.read("all")[key]
        wanted = (plain_sum(left) - covariance(site.own.moments()[key])) / (len(left) - 1)
        np.testing.assert_allclose(covariance(pool), wanted, atol=1e-6)
        assert "statistics" in site.score()[0].scores
        told = {entry.what for entry in site.ledger.entries()}
        assert "masked statistics" in told
        assert "statistics" not in told
    assert not (tmp_path / "server" / "statistics").exists()


def test_one_masked_part_looks_like_chance(sites: dict[str, Site], tmp_path: Path) -> None:
    seen: list[np.ndarray[Any, Any]] = []

    class Watched(Site):
        def mask_values(self, boxes: Sequence[str]) -> Message:
            seen.append(super().mask_values(boxes)["values"])
            return {"values": seen[-1]}

    sites["site0"].__class__ = Watched
    collaborate(sites, tmp_path / "server")

    bits = np.unpackbits(seen[0].view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(bits))
    clear = encoded(np.zeros(1))
    assert seen[0][0] != clear[0]


def test_masked_garbage_is_noticed_though_nobody_knows_whose(
    sites: dict[str, Site], tmp_path: Path
) -> None:
    sites["site2"].__class__ = Garbage

    with pytest.raises(FederationError, match="none that covariances can have"):
        collaborate(sites, tmp_path / "server")


def test_two_sites_and_a_site_of_another_chain_are_refused(
    sites: dict[str, Site], tmp_path: Path
) -> None:
    two = {name: sites[name] for name in ("site0", "site1")}
    with pytest.raises(FederationError, match="of two, each knows"):
        collaborate(two, tmp_path / "two")
    other = sites["site4"]
    other.releasing.__init__(Releases(), other.folder, other._secret)  # type: ignore[misc]
    with pytest.raises(FederationError, match="release in different forms"):
        collaborate(sites, tmp_path / "server")


def test_no_site_gives_both_parts_of_anybody_away() -> None:
    """With a site's own mask and its key, what it sent could be read."""
    parts = [MaskedPart(lambda: encoded(np.ones(4))) for _ in range(4)]
    keys = [part.keys() for part in parts]
    boxes = [part.shares(keys, place, 3).boxes for place, part in enumerate(parts)]
    masked = [part.masked([own[place] for own in boxes]).values for place, part in enumerate(parts)]

    first = parts[0].unmask([0, 1, 2])
    assert parts[0].unmask([2, 1, 0]) == first
    with pytest.raises(ProtocolError, match="other sites than before"):
        parts[0].unmask([0, 1, 2, 3])
    with pytest.raises(ProtocolError, match="wanted 3 of the sum's"):
        parts[1].unmask([0, 1])
    with pytest.raises(ProtocolError, match="other keys"):
        parts[0].shares(keys[:3], 0, 2)
    total = np.sum(masked, axis=0, dtype=np.uint64)
    for place in range(4):
        own = joined(
            {n + 1: int(parts[n].unmask([0, 1, 2, 3]).parts[place], 16) for n in (1, 2, 3)}
        )
        total = total - mask(own, 4)
    np.testing.assert_allclose(decoded(total), 4 * np.ones(4))


def test_wrong_questions_are_refused() -> None:
    part = MaskedPart(lambda: encoded(np.ones(4)))
    others = [MaskedPart(lambda: encoded(np.ones(4))) for _ in range(2)]
    keys = [part.keys(), *(one.keys() for one in others)]

    with pytest.raises(ProtocolError, match="wrong order"):
        part.masked(["", "", ""])
    with pytest.raises(ProtocolError, match="that are not"):
        part.shares(keys, 1, 2)
    with pytest.raises(ProtocolError, match="more than half"):
        part.shares(keys, 0, 1)
    with pytest.raises(ProtocolError, match="twice"):
        part.shares([*keys, keys[1]], 0, 3)
    part.shares(keys, 0, 2)
    box = others[0].shares(keys, 1, 2).boxes[0]
    changed = box[:-1] + ("0" if box[-1] != "0" else "1")
    with pytest.raises(ProtocolError, match="cannot be opened"):
        part.masked(["", changed, others[1].shares(keys, 2, 2).boxes[0]])


def test_a_secret_comes_back_from_enough_parts_and_from_no_fewer() -> None:
    secret = bytes(range(32))
    parts = split(secret, parts=5, needed=3)

    assert joined({x: parts[x] for x in (1, 3, 5)}) == secret
    assert joined({x: parts[x] for x in (5, 2, 4)}) == secret
    with pytest.raises(ProtocolError, match="do not fit together"):
        joined({x: parts[x] for x in (1, 2)})
    with pytest.raises(ValueError, match="cannot split"):
        split(secret, parts=2, needed=3)


def test_two_keys_agree_and_what_is_sealed_is_for_one() -> None:
    north, south = KeyPair(), KeyPair()
    key = north.agreed(south.public, b"sealing")

    assert key == south.agreed(north.public, b"sealing")
    assert key != north.agreed(south.public, b"masks")
    assert opened(key, sealed(key, b"words", about=b"0 1"), about=b"0 1") == b"words"
    with pytest.raises(ProtocolError, match="cannot be opened"):
        opened(key, sealed(key, b"words", about=b"0 1"), about=b"1 0")
    with pytest.raises(ProtocolError, match="key is none"):
        north.agreed(bytes(32), b"sealing")
    with pytest.raises(ProtocolError, match="only finite numbers"):
        encoded(np.array([np.nan]))
