"""Sites that fail are left out while enough others are left; the round is that of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import machines
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import ConfigError, FederationError, StorageError
from thrum.federation.flare.settings import ServerSettings
from thrum.federation.outcome import Outcome
from thrum.federation.roll import Roll
from thrum.federation.server import Server
from thrum.federation.site import Site
from thrum.systems.embedding_sharing import preset_config

QUICK = preset_config("compact", assignments=["epochs=1", "members=1", "batch_size=32"])
NAMES = ("id_00", "id_01", "id_02")


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    data = open_dataset(machines.write_arrays(tmp_path / "data", machines=3, clips=8))
    made = {}
    for name in NAMES:
        clips = data.where(machine_id=name).clips
        made[name] = Site(
            name,
            clips,
            create_embedder("precomputed"),
            tmp_path / name,
            algorithm=2,
            sharing="embeddings",
        )
        made[name].prepare()
    return made


def collaborate(tmp_path: Path, sites: dict[str, Site], **settings: Any) -> Outcome:
    algorithm = settings.pop("algorithm", 1)
    made = Server(tmp_path / "server", config=QUICK, device="cpu", whitening_from=1, **settings)
    return made.collaborate(sites, algorithm=algorithm, sharing="embeddings")


def lost(*_: object) -> Any:
    raise FederationError("site 'id_01' was lost: 'chunk' failed 3 times")


def hostile(*_: object) -> Any:
    return {"pieces": 1}


@pytest.mark.parametrize(
    ("question", "failing", "algorithm"),
    [
        ("describe", lost, 1),
        ("manifest", lost, 1),
        ("manifest", hostile, 2),
        ("chunk", lost, 1),
        ("chunk", hostile, 2),
    ],
)
def test_the_round_of_the_others_is_the_one_without_it(
    tmp_path: Path,
    sites: dict[str, Site],
    question: str,
    failing: Callable[..., Any],
    algorithm: int,
) -> None:
    whole = getattr(sites["id_01"], question)
    setattr(sites["id_01"], question, failing)
    with pytest.raises(FederationError):
        collaborate(tmp_path, sites, algorithm=algorithm)
    outcome = collaborate(tmp_path, sites, quorum=2, algorithm=algorithm)
    assert [member.name for member in outcome.members] == ["id_00", "id_02"]
    assert list(outcome.lost) == ["id_01"]
    assert outcome.notes[0].startswith("site 'id_01' was left out: ")
    setattr(sites["id_01"], question, whole)
    alone = collaborate(
        tmp_path / "alone", {n: sites[n] for n in NAMES if n != "id_01"}, algorithm=algorithm
    )
    (one, _), (two, _) = (o.classifiers["all"].message() for o in (outcome, alone))
    assert all(np.array_equal(one[name], two[name]) for name in two)


def test_a_site_that_is_lost_after_it_has_sent_costs_the_others_nothing(
    tmp_path: Path, sites: dict[str, Site]
) -> None:
    sites["id_01"].accept_classifier = lost  # type: ignore[method-assign]
    outcome = collaborate(tmp_path, sites, quorum=2)
    assert [member.name for member in outcome.members] == list(NAMES)
    assert list(outcome.lost) == ["id_01"]
    assert "network" in sites["id_02"].score()[0].scores


def test_too_few_are_no_round_and_the_server_s_own_errors_are_no_site_s(
    tmp_path: Path, sites: dict[str, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES[:2]:
        monkeypatch.setattr(sites[name], "chunk", lost)
    with pytest.raises(FederationError, match="was lost"):
        collaborate(tmp_path, sites, quorum=2)

    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    monkeypatch.undo()
    monkeypatch.setattr("thrum.federation.pieces.PieceStore.keep", full)
    with pytest.raises(StorageError, match="no space left"):
        collaborate(tmp_path, sites, quorum=1)


def test_a_site_that_is_away_finds_its_pieces_again(tmp_path: Path, sites: dict[str, Site]) -> None:
    registry = {name: list(site.machines) for name, site in sites.items()}
    collaborate(tmp_path, sites, registry=registry)
    here = {name: sites[name] for name in NAMES[:2]}
    collaborate(tmp_path, here, registry=registry)
    collaborate(tmp_path, sites, registry=registry)
    for site in sites.values():
        sent = [entry.detail for entry in site.ledger.entries() if entry.what == "embeddings"]
        assert len(sent) == 1
    del registry["id_02"]  # it has left
    collaborate(tmp_path, here, registry=registry)
    kept = {path.name for path in (tmp_path / "server" / "pieces").iterdir()}
    assert kept == set(NAMES[:2])


def test_who_claims_what_is_not_registered_is_left_out_too(
    tmp_path: Path, sites: dict[str, Site]
) -> None:
    registry = {name: list(site.machines) for name, site in sites.items()}
    registry["id_02"] = [("Press", "id_09")]
    outcome = collaborate(tmp_path, sites, registry=registry, quorum=2)
    assert "not registered" in outcome.lost["id_02"]


def test_answers_come_in_the_order_of_the_names_and_progress_with_them() -> None:
    seen: list[tuple[str, int, int]] = []
    roll = Roll(
        "cab", quorum=1, progress=lambda stage, done, total: seen.append((stage, done, total))
    )

    def call(name: str) -> str:
        if name == "b":
            raise FederationError("a\x1bb")
        return name.upper()

    assert list(roll.ask(call, "asking").items()) == [("a", "A"), ("c", "C")]
    assert roll.lost == {"b": "a\N{REPLACEMENT CHARACTER}b"}
    assert roll.ask(str.upper, "again") == {"a": "A", "c": "C"}
    assert seen == [("asking", n, 3) for n in (1, 2, 3)] + [("again", n, 2) for n in (1, 2)]


@pytest.mark.parametrize("quorum", [0, 3])
def test_a_quorum_that_cannot_be_is_said(tmp_path: Path, quorum: int) -> None:
    with pytest.raises(ConfigError, match=f"a quorum of {quorum} was asked for, wanted 1 to 2"):
        ServerSettings(tmp_path, {"a": ("x/1",), "b": ("x/2",)}, quorum=quorum)
