"""What Algorithm 1 sends back: no order of names, no mean of few sites; and a word where one site changes."""

import re
from pathlib import Path

import numpy as np
import pytest

from thrum.cli.options import checked_releases
from thrum.datasets import open_dataset
from thrum.embedders import create_embedder
from thrum.errors import FederationError
from thrum.federation.changes import changed_by_one
from thrum.federation.inprocess import simulate
from thrum.federation.releasing import Releases
from thrum.systems.embedding_sharing import IDClassifier, Network, preset_config
from thrum.types import Dataset

SHORT = preset_config("compact", assignments=("epochs=1", "members=2"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for number in range(5):
        own = 5 + random.normal(size=6)
        arrays = {
            name: (own + random.normal(size=(8, 4, 6)) * [4, 2, 1, 0.5, 0.2, 0.1]).astype(
                np.float16
            )
            for name in ("train_normal", "test_normal", "test_anomaly")
        }
        np.savez(folder / f"fan_id_{number:02d}.npz", **arrays)
    return open_dataset(folder)


def sent(folder: Path, site: str) -> IDClassifier:
    return IDClassifier.load(folder / "sites" / site / "classifiers" / "all")


@pytest.mark.parametrize(("fewest", "carried"), [(6, False), (5, True)])
def test_fewer_sites_than_the_policy_wants_are_sent_nobodys_mean(
    data: Dataset, tmp_path: Path, fewest: int, carried: bool
) -> None:
    done = simulate(
        data, embedder=create_embedder("precomputed"), config=SHORT, folder=tmp_path,
        sharing="embeddings", whitening_from=fewest,
    )  # fmt: skip

    whitening = sent(tmp_path, "fan_id_00").members[0].frame_whitening
    assert bool(whitening.mean.abs().max() > 1) is carried
    assert any("--whitening-from" in note for note in done.notes) is not carried
    assert all("network" in own.scores for own in done.scores)


def test_each_site_is_sent_the_classes_in_an_order_of_its_own(
    data: Dataset, tmp_path: Path
) -> None:
    done = simulate(
        data, embedder=create_embedder("precomputed"), config=SHORT, folder=tmp_path,
        sharing="embeddings",
    )  # fmt: skip
    whole = done.classifiers["all"]

    places = []
    for site in done.sites:
        (key,) = site.machines
        own = sent(tmp_path, site.name)
        places.append(own.keys.index(key))
        assert sum(machine != "" for machine, _ in own.keys) == 1
        np.testing.assert_array_equal(own.share_of(key, clips=8), whole.share_of(key, clips=8))
        frames = [site.own.released([clip])[0] for clip in site.training_clips(key)]
        mine, theirs = Network(own, key).fit(frames), Network(whole, key).fit(frames)
        np.testing.assert_array_equal(mine.left_out_, theirs.left_out_)
        np.testing.assert_array_equal(mine.identified_, theirs.identified_)
        assert sorted(own.members[0].loss.anchors.norm(dim=1).tolist()) == pytest.approx(
            sorted(whole.members[0].loss.anchors.norm(dim=1).tolist())
        )
    assert places != list(range(5))  # one in 3125 that chance draws it so


def test_a_round_that_differs_by_one_site_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "last.json"

    assert changed_by_one(path, ["a", "b", "c"], 1, "embeddings") == []
    (note,) = changed_by_one(path, ["a", "b", "c", "d"], 1, "embeddings")
    assert "site 'd' joined" in note
    assert "the classifiers of both" in note
    (note,) = changed_by_one(path, ["b", "c", "d"], 1, "statistics")
    assert "site 'a' left" in note
    assert "the pools of both" in note
    assert changed_by_one(path, ["b", "c", "e"], 1, "embeddings") == []  # two differ
    assert changed_by_one(path, ["e", "c", "b"], 1, "embeddings") == []


def test_frames_are_wanted_where_frames_are_stacked(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="say --release frames at all sites"):
        simulate(
            data, embedder=create_embedder("precomputed"), config=preset_config("paper"),
            folder=tmp_path, sharing="embeddings", releases=Releases(embeddings="clip_mean"),
        )  # fmt: skip
    assert checked_releases(None, "", sharing="embeddings").embeddings == "clip_mean"
    assert checked_releases(None, "", sharing="embeddings", form="image").embeddings == "frames"
    assert checked_releases(None, "", sharing="statistics") == Releases()
    assert checked_releases("least:9", "3,1e-5", sharing="statistics").budget == "3,1e-5"


def test_a_private_round_says_its_epsilon_and_sends_nothing_that_has_no_noise(
    data: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("opacus")
    config = preset_config("compact", assignments=("epochs=1", "members=2", "dp_epsilon=5"))

    done = simulate(
        data, embedder=create_embedder("precomputed"), config=config, folder=tmp_path,
        sharing="embeddings",
    )  # fmt: skip

    site = tmp_path / "sites" / "fan_id_00"
    assert not (site / "pools").exists()  # how the others' clips vary
    assert sent(tmp_path, "fan_id_00").config == config
    assert not sent(tmp_path, "fan_id_00").members[0].frame_whitening.mean.any()
    (told,) = [note for note in done.notes if "DP-SGD" in note]
    assert re.search(r"epsilon (4\.9|5 )", told)
    assert (
        "trained by DP-SGD with epsilon 5 at delta 1e-05 a clip"
        in (site / "ledger.jsonl").read_text()
    )
    assert '"fan/id_00"' in (tmp_path / "server" / "budget.json").read_text()
