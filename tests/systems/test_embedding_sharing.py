from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import machines
from thrum import config as configs
from thrum.errors import ConfigError, DataError, ProtocolError, StorageError, UsageError
from thrum.evaluation.metrics import auc
from thrum.systems.embedding_sharing import (
    PER_MACHINE_TYPE,
    PRESETS,
    Config,
    FramePool,
    IDClassifier,
    NetworkScores,
    ScorePair,
    groups_of,
    local_scores,
    local_whitened_scores,
    network_scores,
    preset_config,
    train_classifier,
)
from thrum.systems.embedding_sharing.classifier import Shape, share_of
from thrum.systems.embedding_sharing.network_scores import like_a_mean
from thrum.systems.embedding_sharing.scoring import joined

QUICK = preset_config("compact", assignments=["epochs=4", "members=2", "batch_size=32"])
KEYS = [("Press", f"id_{number:02d}") for number in range(3)]


def pool(*, clips: int = 10) -> FramePool:
    random = np.random.default_rng(0)
    return FramePool({key: machines.frames(random, n, clips=clips) for n, key in enumerate(KEYS)})


def trained(config: Config = QUICK, **settings: object) -> IDClassifier:
    return train_classifier(pool(), config, stack_frames=8, stack_hop=4, device="cpu", **settings)


@pytest.fixture(scope="module")
def classifier() -> IDClassifier:
    return trained()


def same(a: IDClassifier, b: IDClassifier) -> bool:
    first, second = a.message()[0], b.message()[0]
    return all(np.array_equal(first[key], second[key]) for key in first)


def test_the_defaults_are_the_papers() -> None:
    config = Config()
    assert (config.form, config.members, config.mixup) == ("image", 1, False)
    assert (config.epochs, config.learning_rate, config.batch_size) == (20, 1e-4, 32)
    assert (config.detector, config.neighbours) == ("knn", 2)
    assert PRESETS["paper"] == replace(config, embedder="openl3_6144")  # its best
    assert PER_MACHINE_TYPE == {"paper": True, "compact": False}


def test_presets_take_a_file_and_assignments(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("epochs = 5\n")
    config = preset_config("compact", file=tmp_path / "c.toml", assignments=["members=3"])
    assert (config.epochs, config.members, config.form) == (5, 3, "sequence")
    with pytest.raises(ConfigError, match="there are: paper, compact"):
        preset_config("best")
    (tmp_path / "c.toml").write_text("epoch = 5\n")
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        preset_config("compact", file=tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("members=0", "members is 0, wanted at least 1"),
        ("batch_size=1", "batch_size is 1, wanted at least 2"),
        ("epochs=0", "epochs is 0, wanted at least 1"),
        ("neighbours=0", "neighbours is 0, wanted at least 1"),
        ("stack_hop=0", "stack_hop is 0, wanted at least 1"),
        ("learning_rate=nan", "learning_rate is nan, wanted more than 0"),
        ("learning_rate=-1", "learning_rate is -1.0, wanted more than 0"),
        ("weight_decay=-1", "weight_decay is -1.0, wanted 0 or more"),
        ("margin=nan", "margin is nan, wanted 0 or more"),
        ("proximal=0.1", "proximal is 0.1, but the training is 'pooled'"),
        ("local_steps=0", "local_steps is 0, wanted at least 1"),
        ("local_learning_rate=0", "local_learning_rate is 0.0, wanted more than 0"),
        ("crop=1.5", "crop is 1.5, wanted more than 0, at most 1"),
        ("detector=kn", "no detector is called 'kn'. Did you mean 'knn'?"),
    ],
)
def test_settings_out_of_range_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        preset_config("compact", assignments=[assignment])


def test_groups() -> None:
    keys = [("fan", "id_00"), ("pump", "id_00"), ("fan", "id_02")]
    assert groups_of(keys, per_machine_type=False) == ({"all": sorted(keys)}, [])
    assert groups_of(keys, per_machine_type=True) == ({"fan": [keys[0], keys[2]]}, [keys[1]])
    assert groups_of(keys[:1], per_machine_type=False) == ({}, keys[:1])


def test_a_pool_wants_two_machine_ids_of_one_size() -> None:
    with pytest.raises(DataError, match="at least two of them, got 1"):
        FramePool({KEYS[0]: [np.zeros((3, 4))]})
    with pytest.raises(DataError, match=r"cannot be pooled: \[4, 5\]"):
        FramePool({KEYS[0]: [np.zeros((3, 4))], KEYS[1]: [np.zeros((3, 5))]})


def test_the_papers_stacking() -> None:
    # section V-B: YAMNet's 20 frames give 13 inputs of 8, OpenL3's 96 give 17 of 32 with an overlap of 28
    assert len(Shape(1024, 8, 1).starts(20)) == 13
    assert len(Shape(512, 32, 4).starts(96)) == 17
    assert Shape(4, 8, None).starts(24).tolist() == [0, 8, 16]
    short = Shape(2, 8, 1).filled(np.arange(6.0).reshape(3, 2))
    assert short.shape == (9, 2)
    assert short[3].tolist() == short[0].tolist()


def test_every_clip_is_unseen_by_one_member() -> None:
    share = share_of(KEYS, KEYS[1], clips=10, members=4)
    assert np.bincount(share).tolist() == [2, 3, 3, 2]
    assert (share_of(KEYS, KEYS[0], clips=5, members=1) == -1).all()
    assert (share_of(KEYS, KEYS[0], clips=1, members=4) == -1).all()


def test_the_seed_decides_all(classifier: IDClassifier) -> None:
    assert same(trained(), classifier)


def test_a_checkpoint_of_another_seed_is_not_used(tmp_path: Path) -> None:
    config = preset_config("compact", assignments=["epochs=1", "members=2"])
    first = trained(config, checkpoint=tmp_path / "c.safetensors")
    assert same(trained(config, checkpoint=tmp_path / "c.safetensors"), first)
    other = trained(config, seed=1, checkpoint=tmp_path / "c.safetensors")
    assert same(other, trained(config, seed=1))
    assert not same(other, first)


@pytest.mark.parametrize("form", ["image", "sequence"])
def test_both_forms_learn_to_name_machines(form: str) -> None:
    config = preset_config(
        "compact" if form == "sequence" else "paper",
        assignments=["epochs=6", "learning_rate=0.002", "batch_size=32", "members=1"],
    )
    random = np.random.default_rng(5)
    new = machines.frames(random, 1, clips=6)
    scores = network_scores(trained(config), KEYS[1], pool().frames[10:20], new)
    accuracy = scores.accuracy([True] * 6)
    assert accuracy is not None
    assert accuracy >= 5 / 6
    assert not scores.held_out


def test_faults_score_higher_than_new_normal_clips(classifier: IDClassifier) -> None:
    random = np.random.default_rng(6)
    test = machines.frames(random, 0, clips=8) + machines.frames(random, 0, clips=8, fault=0.8)
    scores = network_scores(classifier, KEYS[0], pool().frames[:10], test).scores.test
    assert auc([0] * 8 + [1] * 8, scores) > 0.8


def test_saving_and_loading_is_bit_equal(classifier: IDClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    loaded = IDClassifier.load(tmp_path)
    assert same(loaded, classifier)
    test = machines.frames(np.random.default_rng(1), 2, clips=3)
    train = pool().frames[20:]
    before = network_scores(classifier, KEYS[2], train, test).scores.test
    assert np.array_equal(network_scores(loaded, KEYS[2], train, test).scores.test, before)


def test_a_foreign_classifier_is_refused(classifier: IDClassifier, tmp_path: Path) -> None:
    state, description = classifier.message()
    with pytest.raises(ProtocolError, match="is not understood"):
        IDClassifier.from_message({}, description)
    with pytest.raises(ProtocolError, match="is not understood"):
        IDClassifier.from_message(state, {**description, "dimensions": 7})
    from thrum import storage

    storage.save_state(tmp_path, {"x": torch.zeros(1)}, {})
    with pytest.raises(StorageError, match="does not hold an ID classifier"):
        IDClassifier.load(tmp_path)


def test_clips_shorter_than_an_input_and_of_unequal_length(classifier: IDClassifier) -> None:
    train = pool().frames[:10]
    test = [train[0][:1], train[1][:5], np.concatenate([train[2]] * 9)]
    scores = network_scores(classifier, KEYS[0], train, test).scores.test
    assert np.isfinite(scores).all()


def test_a_machine_with_a_single_training_clip() -> None:
    random = np.random.default_rng(0)
    clips = {key: machines.frames(random, n, clips=6) for n, key in enumerate(KEYS)}
    clips[KEYS[1]] = clips[KEYS[1]][:1]
    lonely = train_classifier(FramePool(clips), QUICK, stack_frames=8, stack_hop=4, device="cpu")
    scores = network_scores(lonely, KEYS[1], clips[KEYS[1]], machines.frames(random, 1, clips=2))
    assert np.isfinite(scores.scores.test).all()
    local = local_whitened_scores(clips[KEYS[1]], machines.frames(random, 1, clips=2))
    assert np.isfinite(local.test).all()


def test_scores_travel_as_plain_lists(classifier: IDClassifier) -> None:
    scores = network_scores(classifier, KEYS[0], pool().frames[:10], pool().frames[10:12])
    parsed = NetworkScores.parse(scores.message())
    assert np.array_equal(parsed.scores.test, scores.scores.test)
    assert np.array_equal(parsed.train_identified, scores.train_identified)
    message = scores.message()
    message["test"][0] = float("nan")
    with pytest.raises(ProtocolError, match="NaN"):
        NetworkScores.parse(message)
    message["test"] = [1.0]
    with pytest.raises(ProtocolError, match="different lengths"):
        NetworkScores.parse(message)
    with pytest.raises(ProtocolError, match="not understood"):
        NetworkScores.parse({"test": 3})


def test_local_scores_are_knn_on_mean_frames() -> None:
    train = [np.full((4, 2), value) for value in (0.0, 1.0, 5.0)]
    scores = local_scores(train, [np.full((9, 2), 2.0)])
    np.testing.assert_allclose(scores.test, [1.5 * np.sqrt(2)])
    np.testing.assert_allclose(scores.left_out, np.sqrt(2) * np.array([3.0, 2.5, 4.5]))


def test_joining_is_the_mean_in_units_of_the_usual() -> None:
    one = ScorePair(np.array([0.0, 2.0]), np.array([3.0]))  # 2 deviations above
    other = ScorePair(np.array([0.0, 200.0]), np.array([150.0]))  # half a deviation above
    network = NetworkScores(other, True, np.ones(2, bool), np.ones(1, bool))
    np.testing.assert_allclose(joined({"statistics": one}, network)["fused"].test, [1.25])


def test_a_network_that_has_seen_the_clips_does_not_enter() -> None:
    """Its left-out scores are too low: every new clip would seem strange in their units."""
    own = ScorePair(np.array([0.0, 2.0]), np.array([3.0]))
    network = NetworkScores(own, False, np.ones(2, bool), np.ones(1, bool))
    statistics = ScorePair(np.array([1.0, 2.0]), np.array([7.0]))
    assert joined({"statistics": statistics}, network)["fused"] is statistics


def test_accuracy_is_of_normal_test_clips_or_not_known(classifier: IDClassifier) -> None:
    scores = network_scores(classifier, KEYS[0], pool().frames[:10], pool().frames[:2])
    assert scores.accuracy([False, False]) is None
    assert network_scores(classifier, KEYS[0], pool().frames[:10], []).accuracy([]) is None


def test_left_out_scores_scatter_as_test_scores_do() -> None:
    """A test clip's score is the mean of four members', a left-out one is of one: brought to one footing."""
    random = np.random.default_rng(0)
    share = np.arange(4000) % 4
    clip, noise = random.normal(size=4000), random.normal(size=(4, 4000))
    scores = 5 + clip + noise  # the correlation of two members is one half
    left_out = like_a_mean(scores[share, np.arange(4000)], scores, share)
    mean_of_four = 5 + random.normal(size=4000) + random.normal(size=(4, 4000)).mean(axis=0)
    assert left_out.std() == pytest.approx(mean_of_four.std(), rel=0.05)
    assert left_out.mean() == pytest.approx(5, abs=0.1)


def test_the_configuration_file_is_the_preset() -> None:
    file = Path(__file__).parents[2] / "configs" / "embedding_sharing_compact.toml"
    assert configs.load(Config, file) == PRESETS["compact"]
