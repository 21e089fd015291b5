"""What comes down is taken where it makes a site's normal clips no stranger than what is in force does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import machines
from thrum import storage
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.federation.acceptance import accepted
from thrum.federation.site import Site
from thrum.federation.statistics import pools_message
from thrum.systems.embedding_sharing.moments import Moments, moments_of

KEY, OTHER = ("fan", "id_00"), ("fan", "id_01")
DIMENSIONS = 12
DEVIATIONS = np.geomspace(10, 0.1, DIMENSIONS)


def clips(
    count: int, *, seed: int, deviations: NDArray[np.float64] = DEVIATIONS
) -> NDArray[np.float64]:
    vectors: NDArray[np.float64] = (
        np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) * deviations
    )
    return vectors


GOOD, LIKE_IT = (moments_of(clips(200, seed=seed)) for seed in (1, 2))
NOISE = moments_of(clips(200, seed=3, deviations=np.ones(DIMENSIONS)))
UPSIDE_DOWN = moments_of(clips(200, seed=4, deviations=DEVIATIONS[::-1].copy()))


def of_own(_: tuple[str, str]) -> NDArray[np.float64]:
    return clips(12, seed=5)


@pytest.mark.parametrize("worse", [NOISE, UPSIDE_DOWN], ids=["noise", "upside down"])
def test_what_explains_normal_clips_worse_does_not_come_into_force(worse: Moments) -> None:
    kept, refused = accepted(of_own, {KEY: GOOD}, {KEY: worse, OTHER: LIKE_IT})
    assert kept == {KEY: GOOD, OTHER: LIKE_IT}
    (why,) = refused
    assert why.startswith("what came for fan/id_00 explains its normal clips worse")


def test_what_explains_them_as_well_does_and_so_does_what_is_better() -> None:
    assert accepted(of_own, {KEY: GOOD}, {KEY: LIKE_IT}) == ({KEY: LIKE_IT}, [])
    assert accepted(of_own, {KEY: NOISE}, {KEY: GOOD}) == ({KEY: GOOD}, [])
    assert accepted(of_own, {KEY: NOISE}, {KEY: UPSIDE_DOWN}) == ({KEY: UPSIDE_DOWN}, [])


def test_where_there_is_nothing_to_compare_the_new_one_counts() -> None:
    assert accepted(of_own, {}, {KEY: NOISE}) == ({KEY: NOISE}, [])
    one_clip = accepted(lambda _: clips(1, seed=5), {KEY: GOOD}, {KEY: NOISE})
    assert one_clip == ({KEY: NOISE}, [])
    of_another_embedder = moments_of(np.random.default_rng(6).normal(size=(9, 5)))
    assert accepted(of_own, {KEY: of_another_embedder}, {KEY: NOISE}) == ({KEY: NOISE}, [])


def test_a_site_keeps_its_pool_and_says_so(tmp_path: Path) -> None:
    data = open_dataset(machines.write_arrays(tmp_path / "data", machines=1, clips=12))
    site = Site("north", data.clips, create_embedder("precomputed"), tmp_path / "north")
    site.prepare()
    (key,) = site.machines
    frames = site.frames(site.training_clips(key))
    own = np.stack([one.mean(axis=0, dtype=np.float64) for one in frames])
    random = np.random.default_rng(0)
    good = moments_of(np.concatenate([own, own + 0.01 * own.std() * random.normal(size=own.shape)]))
    spread = np.linalg.eigh(np.cov(own.T))[1].T  # its strongest direction is the weakest here
    bad = moments_of(
        random.normal(size=(99, own.shape[1])) * np.geomspace(1, 30, own.shape[1])[::-1] @ spread
    )

    assert site.accept_pools(pools_message({key: good}))["accepted"]
    assert site.refused == []
    site.brought.begin()
    site.accept_pools(pools_message({key: bad}))
    assert len(site.refused) == 1
    np.testing.assert_allclose(site.system().pools_[key].axes, good.axes, atol=1e-6)

    storage.write_text(next((tmp_path / "north" / "pools").rglob("statistics.json")), "{")
    site.brought.begin()
    site.accept_pools(pools_message({key: bad}))
    assert site.refused == []  # what is damaged is not in force
    np.testing.assert_allclose(site.system().pools_[key].axes, bad.axes, atol=1e-6)
