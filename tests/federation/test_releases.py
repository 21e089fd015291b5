"""Chains of mechanisms in a round: what leaves is what is scored and what the audit attacks, to the bit."""

from pathlib import Path

import numpy as np
import pytest

import thrum
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import ConfigError, DamagedError, FederationError
from thrum.federation.inprocess import simulate
from thrum.federation.members import Member, check_releases
from thrum.federation.messages import VERSION, parse
from thrum.federation.messages import Description as Told
from thrum.federation.releasing import Releases
from thrum.federation.site import Site
from thrum.federation.statistics import parse_statistics
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.recorded import recorded
from thrum.privacy.mechanisms import parse_chain
from thrum.privacy.mechanisms.budget import Budget, BudgetSpentError, Limit, parse_limit
from thrum.privacy.mechanisms.noise import epsilon_of, mu_of
from thrum.privacy.mechanisms.statistics import noisy_second_moment, parse_statistics_chain
from thrum.privacy.mechanisms.steps import Gaussian
from thrum.systems.embedding_sharing import mean_frames, preset_config
from thrum.types import Dataset

CHAINS = (
    "frames",
    "clip_mean",
    "every:3",
    "rotate:SECRET",
    "quantise:3",
    "gaussian:100,1e-5,clip",
    "clip_mean | gaussian:100,1e-5,clip",
)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    (tmp_path / "SECRET").write_text("a secret of the sites, shared by all of them")
    for number in range(3):
        own = random.normal(size=6)
        arrays = {
            name: (own + shift + random.normal(size=(8, 7, 6))).astype(np.float16)
            for name, shift in {"train_normal": 0, "test_normal": 0, "test_anomaly": 3}.items()
        }
        np.savez(tmp_path / "data" / f"fan_id_{number:02d}.npz", **arrays)
    return open_dataset(tmp_path / "data")


def site_of(
    data: Dataset, folder: Path, releases: Releases, *, sharing: str = "embeddings"
) -> Site:
    site = Site(
        "north",
        data.where(machine_id="id_00").clips,
        create_embedder("precomputed"),
        folder / "north",
        sharing=sharing,  # type: ignore[arg-type]
        releases=releases,
    )
    site.prepare()
    return site


def attacked(data: Dataset, chain: str, key: bytes) -> Material:
    material = recorded(
        data.where(machine_id="id_00", split="train"), create_embedder("precomputed")
    )
    return material.released(parse_chain(chain), key=key)


@pytest.mark.parametrize("chain", CHAINS)
def test_what_leaves_is_what_the_audit_attacks_and_what_is_scored(
    data: Dataset, tmp_path: Path, chain: str
) -> None:
    chain = chain.replace("SECRET", str(tmp_path / "SECRET"))
    site = site_of(data, tmp_path, Releases(embeddings=chain))
    site.describe(VERSION, 1, "embeddings")

    left: dict[int, np.ndarray] = {}
    for piece in site.manifest("train")["pieces"]:
        chunk = site.chunk("train", piece["fingerprint"])
        clips = np.split(chunk["embeddings"], np.cumsum(chunk["lengths"])[:-1])
        assert chunk["embeddings"].nbytes == piece["n_bytes"]
        left |= dict(zip(piece["places"], clips, strict=True))

    vectors = attacked(data, chain, site.releasing.key).vectors
    for place, own in enumerate(vectors):
        np.testing.assert_array_equal(left[place], own)
    (key,) = site.machines
    for place, own in enumerate(site.own.released(site.training_clips(key))):
        np.testing.assert_array_equal(own, vectors[place])
    entries = [entry for entry in site.ledger.entries() if entry.what == "embeddings"]
    assert {entry.chain for entry in entries} == {parse_chain(chain).told}
    assert all(("epsilon 100" in entry.budget) is ("gaussian" in chain) for entry in entries)
    assert str(tmp_path) not in entries[0].chain


@pytest.mark.parametrize(
    "chain", ["clip_mean", "rotate:SECRET", "every:2 | gaussian:100,1e-5,clip"]
)
def test_a_site_that_is_opened_again_scores_as_the_round_did(
    data: Dataset, tmp_path: Path, chain: str
) -> None:
    done = simulate(
        data,
        embedder=create_embedder("precomputed"),
        config=preset_config("compact", assignments=("members=2", "epochs=1")),
        folder=tmp_path / "run",
        sharing="embeddings",
        releases=Releases(embeddings=chain.replace("SECRET", str(tmp_path / "SECRET"))),
    )

    assert (
        parse_chain(chain.replace("SECRET", str(tmp_path / "SECRET"))).told
        == done.settings["release"]
    )
    for site, own in zip(done.sites, done.scores, strict=True):
        again = thrum.load_system(site.folder).score(own.clips)
        for method, pair in own.scores.items():
            np.testing.assert_array_equal(again.columns[method], pair.test)


@pytest.mark.parametrize("noise", ["", " | gaussian:50,1e-5,clip"])
def test_statistics_leave_as_the_mechanism_makes_them(
    data: Dataset, tmp_path: Path, noise: str
) -> None:
    site = site_of(data, tmp_path, Releases(statistics=f"least:8{noise}"), sharing="statistics")
    site.describe(VERSION, 1, "statistics")
    (key,) = site.machines

    message = site.statistics()

    (own,) = parse_statistics(message, dimensions=6, most=1, what="them").values()
    vectors = mean_frames([site.own.released([clip])[0] for clip in site.training_clips(key)])
    if noise:
        wanted = noisy_second_moment(vectors, Gaussian(50, 1e-5, "clip"), key=site.releasing.key)
    else:
        wanted = np.cov(vectors.T) / np.trace(np.cov(vectors.T))
    np.testing.assert_allclose(own.axes.T @ own.axes, wanted, atol=1e-6)
    np.testing.assert_array_equal(
        site.statistics()["machines"][0]["axes"], message["machines"][0]["axes"]
    )
    material = recorded(data.where(machine_id="id_00"), create_embedder("precomputed"))
    chain = parse_statistics_chain(f"least:8{noise}")
    attacked = material.with_statistics(chain, key=site.releasing.key).moments[key]
    np.testing.assert_array_equal(attacked.axes.astype(np.float32), message["machines"][0]["axes"])
    (entry, _) = [one for one in site.ledger.entries() if one.what == "statistics"]
    assert entry.chain == f"least:8{noise.replace('1e-5', '1e-05')}"
    assert ("epsilon 50" in entry.budget) is bool(noise)


def test_too_few_clips_stay_where_they_are(data: Dataset, tmp_path: Path) -> None:
    site = site_of(data, tmp_path, Releases(statistics="least:9"), sharing="statistics")

    assert site.statistics() == {"machines": []}


def test_noise_on_a_second_moment_is_as_large_as_one_clip_can_change_it() -> None:
    """Against the definition: the largest change by one clip, over many draws, and the noise's deviation."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 5))
    silent, noise = Gaussian(1e6, 0.5, "clip"), Gaussian(5, 1e-5, "clip")
    before = noisy_second_moment(vectors, silent, key=b"k")
    changes = []
    for _ in range(200):
        other = vectors.copy()
        other[random.integers(40)] = 100 * random.normal(size=5)
        changes.append(np.linalg.norm(noisy_second_moment(other, silent, key=b"k") - before))
    assert max(changes) <= np.sqrt(2) / 20 + 2e-3
    assert max(changes) > 0.8 * np.sqrt(2) / 20
    assert np.trace(before) == pytest.approx(1)
    many = random.normal(size=(4000, 5))  # so many clips that nothing is cut off
    added = [
        noisy_second_moment(many, noise, key=bytes([n]))[0, 1]
        - noisy_second_moment(many, silent, key=bytes([n]))[0, 1]
        for n in range(80)
    ]
    deviation = np.sqrt(2) / 2000 / mu_of(5, 1e-5) / np.sqrt(2)
    assert np.sqrt(np.mean(np.square(added))) == pytest.approx(deviation, rel=0.3)


def test_equal_chains_are_wanted_and_the_rounds_own() -> None:
    def member(name: str, chain: str) -> Member:
        told = {
            "protocol": VERSION, "machines": [["fan", name, 1, 1]], "embedder": {}, "dimensions": 4,
            "stack_frames": 1, "stack_hop": 1, "algorithm": 1, "release": chain,
        }  # fmt: skip
        return Member(name, parse(Told, told, what="it"), {})

    both = [member("north", "clip_mean"), member("south", "clip_mean")]
    assert check_releases(both, "embeddings", None) == "clip_mean"
    assert check_releases(both, "statistics", "least:5") == "least:5"
    with pytest.raises(FederationError, match=r"'north' and 'south' release in different forms"):
        check_releases([both[0], member("south", "frames")], "embeddings", None)
    with pytest.raises(FederationError, match="this round is of 'frames'"):
        check_releases(both, "embeddings", "frames")


def test_a_budget_that_is_spent_lets_nothing_new_leave(data: Dataset, tmp_path: Path) -> None:
    chain = "clip_mean | gaussian:6,1e-5,clip"
    site = site_of(data, tmp_path, Releases(embeddings=chain, budget="8,1e-5"))
    site.describe(VERSION, 1, "embeddings")
    piece = site.manifest("train")["pieces"][0]["fingerprint"]
    first = site.chunk("train", piece)
    np.testing.assert_array_equal(site.chunk("train", piece)["embeddings"], first["embeddings"])
    sent = len(site.ledger.entries())

    again = site_of(data, tmp_path, Releases(embeddings="gaussian:6,1e-5,clip", budget="8,1e-5"))
    again.describe(VERSION, 1, "embeddings")
    with pytest.raises(BudgetSpentError, match="allowed is epsilon 8 at delta 1e-05"):
        again.chunk("train", again.manifest("train")["pieces"][0]["fingerprint"])

    assert not [one for one in again.ledger.entries()[sent:] if one.what == "embeddings"]
    silent = site_of(data, tmp_path, Releases(budget="8,1e-5"))
    silent.describe(VERSION, 1, "embeddings")
    with pytest.raises(BudgetSpentError, match="has no noise"):
        silent.chunk("train", silent.manifest("train")["pieces"][0]["fingerprint"])


def test_costs_add_up_as_squares_and_are_kept(tmp_path: Path) -> None:
    one = mu_of(2, 1e-5)
    path = tmp_path / "budget.json"
    Budget(path).spend("fan", "first", one)
    Budget(path).spend("fan", "first", one)
    damaged = path.read_text().replace("first", "forst")
    (tmp_path / "damaged.json").write_text(damaged)
    with pytest.raises(DamagedError):  # nothing leaves by it
        Budget(tmp_path / "damaged.json").spend("fan", "second", one)
    kept = Budget(tmp_path / "budget.json", Limit(4, 1e-5))
    assert kept.epsilon("fan") == pytest.approx(2, rel=1e-6)
    kept.spend("fan", "second", one)
    assert kept.epsilon("fan") == pytest.approx(epsilon_of(np.sqrt(2) * one, 1e-5), rel=1e-6)
    assert "of 4 at delta 1e-05" in kept.told("fan")
    assert kept.told("pump") == ""
    with pytest.raises(BudgetSpentError, match="the budget of fan is spent"):
        for number in range(10):
            kept.spend("fan", f"more {number}", one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("least:4", "whole number from 5"),
        ("least:5 | least:6", "twice"),
        ("gaussian:0,1e-5,clip", "epsilon is 0"),
        ("gaussian:1,1e-5,frame", "wanted clip"),
        ("clip_mean", "no mechanism for statistics is called 'clip_mean'"),
    ],
)
def test_wrong_chains_of_statistics_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_statistics_chain(text)


def test_wrong_budgets_and_missing_secrets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="epsilon is 0"):
        Releases(budget="0,1e-5")
    with pytest.raises(ConfigError, match="wanted EPSILON,DELTA"):
        parse_limit("ten")
    with pytest.raises(ConfigError, match="cannot be read"):
        Releases(embeddings=f"rotate:{tmp_path / 'none'}")
    known = parse_chain("rotate:0123456789abcdef")
    assert known.told == "rotate:0123456789abcdef"
    with pytest.raises(ConfigError, match="the secret is missing"):
        known.release(np.ones((2, 3)))
