from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import machines
import thrum.training
from thrum import audio
from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.errors import ConfigError, DataError, StorageError
from thrum.evaluation.metrics import auc
from thrum.evaluation.table import results_of, summary
from thrum.features.augment import KINDS
from thrum.systems import load_system
from thrum.systems.multitask_conformer import Config, MultitaskConformer
from thrum.systems.multitask_conformer.batches import balanced_rows, steps_of_an_epoch
from thrum.systems.multitask_conformer.fitting import Batch, Loss, Target
from thrum.systems.multitask_conformer.model import TypeModel
from thrum.systems.multitask_conformer.network import MultitaskNetwork, Sizes
from thrum.systems.multitask_conformer.scoring import COMBINATIONS, Evaluator, Readings
from thrum.systems.multitask_conformer.selection import selected
from thrum.systems.multitask_conformer.system import _target
from thrum.types import Clip, Dataset, Scores

QUICK = Config(
    size=8,
    blocks=1,
    heads=2,
    feed_forward=16,
    kernel=3,
    embedding_size=6,
    crop_seconds=0.5,
    inlier_epochs=2,
    epochs=2,
    steps_per_epoch=2,
    batch_size=8,
)

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two machine types with two IDs each, in DCASE 2020's layout."""
    root = tmp_path_factory.mktemp("sound")
    random = np.random.default_rng(0)
    for number, (machine, machine_id) in enumerate(
        (machine, machine_id) for machine in ("fan", "pump") for machine_id in (0, 2)
    ):
        for split, label, count, detune in (
            ("train", "normal", 6, 1.0),
            ("test", "normal", 3, 1.0),
            ("test", "anomaly", 3, 1.2),
        ):
            for clip in range(count):
                tone = machines.tone(random, 110 * (number + 1) * detune, seconds=0.8, rate=16000)
                name = f"{label}_id_{machine_id:02d}_{clip:08d}.wav"
                audio.write(root / machine / split / name, tone, 16000)
    return open_dataset(root)


@pytest.fixture(scope="module")
def fitted(sound: Dataset) -> MultitaskConformer:
    return fit(sound)


def fit(dataset: Dataset, config: Config = QUICK, **settings: object) -> MultitaskConformer:
    system = MultitaskConformer(config, device="cpu", **settings)
    return system.fit(dataset.where(split="train"))


def same(first: Scores, second: Scores) -> bool:
    return all(np.array_equal(first.columns[name], second.columns[name]) for name in first.columns)


def test_the_defaults_are_the_papers() -> None:
    config = Config()
    assert (config.size, config.blocks, config.heads, config.feed_forward) == (128, 3, 4, 512)
    assert (config.embedding_size, config.scale, config.margin) == (64, 16.0, 1.28)
    assert (config.id_weight, config.augmentation_weight) == (1.0, 1.0)
    assert (config.inlier_epochs, config.epochs) == (80, 40)
    assert (config.batch_size, config.learning_rate) == (28, 1e-3)
    assert KINDS[0] == "none"
    assert len(KINDS) == 8


def test_the_small_form_differs_in_size_and_length_and_whose_ids_are_told_apart() -> None:
    small = configs.load(Config, CONFIGS / "multitask_conformer_small.toml")
    assert small.id_classes == "all"
    small = replace(small, id_classes="own")
    told = {"size": 128, "blocks": 3, "feed_forward": 512, "inlier_epochs": 80, "epochs": 40}
    assert replace(small, **told) == Config()


def test_the_papers_optimiser_anew_in_each_stage(
    sound: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, object]] = []

    def watched(network: torch.nn.Module, **settings: object) -> list[float]:
        given.append(settings)
        network.eval()
        return []

    monkeypatch.setattr("thrum.systems.multitask_conformer.fitting.train", watched)
    defaults = Config()
    fit(sound, replace(QUICK, inlier_epochs=defaults.inlier_epochs, epochs=defaults.epochs))
    for settings, epochs in zip(given, (80, 40) * 2, strict=True):
        assert settings["epochs"] == epochs
        optimizer = settings["optimizer"]
        assert type(optimizer).__base__ is torch.optim.Adam
        assert optimizer.param_groups[0]["lr"] == 1e-3
        assert "scheduler" not in settings


def test_batches_hold_equally_many_of_every_machine_id() -> None:
    labels = np.repeat([0, 1, 2, 3, 4, 5, 6], [9, 4, 5, 1, 2, 8, 9])
    random = np.random.default_rng(0)
    drawn = balanced_rows(labels, 28, random)
    for _ in range(5):
        assert np.bincount(labels[next(drawn)]).tolist() == [4] * 7


def test_batches_take_turns_where_ids_do_not_divide_them_and_miss_no_clip() -> None:
    labels = np.repeat([0, 1, 2], [7, 4, 5])
    assert steps_of_an_epoch(labels, 8) == 3
    drawn = balanced_rows(labels, 8, np.random.default_rng(0))
    rows = [next(drawn) for _ in range(3)]
    assert all(set(np.bincount(labels[own]).tolist()) == {2, 3} for own in rows)
    assert np.bincount(labels[np.concatenate(rows)]).tolist() == [8, 8, 8]
    assert set(np.concatenate(rows).tolist()) == set(range(16))


def batch_of(ids: int, others: int) -> tuple[MultitaskNetwork, Batch]:
    torch.manual_seed(0)
    network = MultitaskNetwork(Sizes(bands=5, ids=ids, targets=1 if others else ids), QUICK).eval()
    levels = torch.randn(4 + others, 12, 5)
    kinds = torch.arange(4 + others) % len(KINDS)
    return network, Batch(levels, kinds, torch.tensor([0, 1, 1, 0]), 4)


def test_equation_3_is_the_weighted_sum_of_three_losses() -> None:
    network, batch = batch_of(2, others=4)
    config = replace(QUICK, id_weight=2.0, augmentation_weight=0.5)
    features = network(batch.levels)
    of_id = network.ids(features[:4], batch.ids)
    of_augmentation = functional.cross_entropy(network.augmentations(features), batch.kinds)
    odds = network.targets.logits(features)[:, 0]
    probability = odds.sigmoid()
    of_type = -torch.cat([probability[:4].log(), (1 - probability[4:]).log()]).mean()
    stage_one = 2.0 * of_id + 0.5 * of_augmentation
    torch.testing.assert_close(Loss(network, config, with_type=False)(batch), stage_one)
    torch.testing.assert_close(Loss(network, config, with_type=True)(batch), stage_one + of_type)
    without = replace(config, augmentation_task=False)
    torch.testing.assert_close(Loss(network, without, with_type=False)(batch), 2.0 * of_id)


def test_equation_1_by_hand() -> None:
    network, batch = batch_of(2, others=0)
    features = network(batch.levels)
    angles = network.ids.cosines(features).acos()
    batch = batch._replace(ids=angles.argmin(dim=1))
    own = angles.gather(1, batch.ids[:, None])[:, 0]
    other = angles.gather(1, 1 - batch.ids[:, None])[:, 0]
    assert bool((own + 1.28 < torch.pi).all())
    top = (16 * torch.cos(own + 1.28)).exp()
    wanted = -(top / (top + (16 * torch.cos(other)).exp())).log().mean()
    torch.testing.assert_close(network.ids(features, batch.ids), wanted)


def test_of_one_type_each_machine_id_is_told_from_the_others() -> None:
    network, batch = batch_of(2, others=0)
    config = replace(QUICK, id_weight=0.0, augmentation_task=False)
    odds = network.targets.logits(network(batch.levels))
    wanted = functional.binary_cross_entropy_with_logits(odds, torch.eye(2)[batch.ids])
    torch.testing.assert_close(Loss(network, config, with_type=True)(batch), wanted)


@pytest.mark.parametrize("others", [0, 2])
def test_without_another_type_the_type_head_trains_alone(others: int) -> None:
    network, batch = batch_of(2, others=others)
    config = replace(QUICK, id_weight=0.0, augmentation_task=False)
    Loss(network, config, with_type=True)(batch).backward()
    assert network.targets.classifier.weight.grad.any()
    learnt = [p.grad is not None and bool(p.grad.any()) for p in network.encoder.parameters()]
    assert any(learnt) == (others > 0)


def hand_made() -> Readings:
    features = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]], np.float32)
    ids = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]))
    targets = np.array([[1.0], [2.0], [3.0], [4.0]])
    return Readings(features, ids.astype(np.float32), targets.astype(np.float32))


def test_three_scores_their_scale_and_their_sums_by_hand() -> None:
    readings = hand_made()
    evaluator = Evaluator(0, shrinkage=0.0).fit(readings)
    out = np.array([-1.0, -2.0, -3.0, -4.0])
    arc = -readings.ids[:, 0].astype(float)
    maha = np.full(4, np.sqrt(2.0))  # variances 2 and 1/2
    test = Readings(np.array([[4.0, 0.0]], np.float32), readings.ids[:1], readings.targets[:1])
    scores = evaluator.score(test)
    z_out = (out[0] - out.mean()) / out.std()
    z_arc = (arc[0] - arc.mean()) / arc.std()
    assert scores["out"] == pytest.approx([z_out])
    assert scores["arc"] == pytest.approx([z_arc], rel=1e-5)
    assert evaluator.scales_[:, 2] == pytest.approx([maha.mean(), 1.0])  # no deviation counts as 1
    z_maha = np.sqrt(16 / 2) - np.sqrt(2)
    assert scores["maha"] == pytest.approx([z_maha])
    assert scores["out+maha"] == pytest.approx([(z_out + z_maha) / 2])
    assert scores["out+arc+maha"] == pytest.approx([(z_out + z_arc + z_maha) / 3], rel=1e-5)
    odds = np.log(0.5 / 0.5)  # of the other machine IDs together against its own
    assert scores["odds"] == pytest.approx([odds], abs=1e-6)
    assert list(scores) == [*COMBINATIONS, "odds"]
    assert len(COMBINATIONS) == 7


def test_scales_with_each_clip_left_out_are_those_of_new_clips() -> None:
    random = np.random.default_rng(0)

    def readings(count: int) -> Readings:
        empty = np.zeros((count, 0), np.float32)
        return Readings(random.normal(size=(count, 20)).astype(np.float32), empty[:, :1], empty)

    train, new = readings(100), readings(2000)
    deceived = Evaluator(0, shrinkage=0.0).fit(train).score(new)["maha"]
    honest = Evaluator(0, shrinkage=0.0).fit(train, left_out=True).score(new)["maha"]
    assert deceived.mean() > 1
    assert abs(honest.mean()) < 0.3


@pytest.mark.parametrize(("clips", "deviations"), [(20, 8.0), (150, 1.5), (1000, 0.3)])
def test_new_clips_lie_as_many_deviations_above_few_training_clips_as_the_docs_say(
    clips: int, deviations: float
) -> None:
    """The mean over ten drawings of 64 correlated Gaussian dimensions, Ledoit and Wolf's shrinkage."""
    found = np.zeros((10, 2))
    for seed, means in enumerate(found):
        random = np.random.default_rng(seed)
        mixing = random.normal(size=(64, 64))
        train, new = (
            Readings(features.astype(np.float32), empty, empty)
            for features in (random.normal(size=(count, 64)) @ mixing for count in (clips, 500))
            for empty in [np.zeros((len(features), 0), np.float32)]
        )
        for column, left_out in enumerate((False, True)):
            evaluator = Evaluator(0, shrinkage=None).fit(train, left_out=left_out)
            means[column] = evaluator.score(new)["maha"].mean()
    in_sample, honest = found.mean(axis=0)
    assert in_sample == pytest.approx(deviations, rel=0.15)
    assert abs(honest) < 0.2


def test_heads_that_had_nothing_to_tell_apart_say_nothing() -> None:
    readings = hand_made()
    alone = Readings(readings.features, readings.ids[:, :1], readings.targets[:, :0])
    scores = Evaluator(0, shrinkage=0.0).fit(alone).score(alone)
    assert not scores["out"].any()
    assert not scores["arc"].any()
    np.testing.assert_allclose(scores["out+maha"], scores["maha"] / 2)


def test_of_equally_good_combinations_that_of_most_scores_is_selected() -> None:
    areas = dict.fromkeys(COMBINATIONS, np.full(4, 0.7))
    better = np.full(4, 0.8)
    assert selected(areas) == "out+arc+maha"
    assert selected({**areas, "arc": better}) == "arc"
    assert selected({**areas, "arc": better, "out+arc": better}) == "out+arc"


def test_a_lead_that_chance_may_have_made_leaves_no_score_out() -> None:
    areas = dict.fromkeys(COMBINATIONS, np.full(4, 0.7))
    # Ahead by 0.05; Student's t of three degrees of freedom has its 95 % at 2.353 (tables).
    error = np.sqrt(4 / 3) / 2  # of four that deviate by one, up and down
    for share, wanted in ((1.02, "out+arc+maha"), (0.96, "maha")):
        deviation = share * 0.05 / 2.353 / error
        own = 0.75 + deviation * np.array([1, -1, 1, -1])
        assert selected({**areas, "maha": own}) == wanted


def test_the_selected_combination_is_the_combined_score(
    fitted: MultitaskConformer, sound: Dataset
) -> None:
    test = list(sound.where(split="test"))
    scores = fitted.score(test)
    assert scores.selected == "combined"
    assert list(scores.columns) == [*COMBINATIONS, "odds", "combined"]
    for row, clip in enumerate(test):
        acted_on = fitted.models_[clip.machine].combination
        assert scores.columns["combined"][row] == scores.columns[acted_on][row]


def test_the_type_head_is_frozen_in_stage_one_alone(sound: Dataset) -> None:
    def head(config: Config) -> torch.Tensor:
        network = fit(sound, config).models_["fan"].network.each[0]
        return network.targets.classifier.weight.detach()

    torch.manual_seed(0)
    before = MultitaskNetwork(Sizes(128, 2, 1), QUICK).targets.classifier.weight.detach()
    assert torch.equal(head(replace(QUICK, epochs=0)), before)
    assert not torch.equal(head(QUICK), before)


def test_stage_one_sees_the_target_type_alone_stage_two_half_of_others(
    sound: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thrum.systems.multitask_conformer.inputs import Spectrograms

    seen = []
    original = Spectrograms.changed

    def watched(self, rows, *arguments, **settings):  # type: ignore[no-untyped-def]
        seen.append([self.inputs.clips[row].machine_key for row in rows])
        return original(self, rows, *arguments, **settings)

    monkeypatch.setattr(Spectrograms, "changed", watched)
    fit(sound, replace(QUICK, inlier_epochs=1, epochs=1, steps_per_epoch=1))
    ids = [(machine, f"id_{number:02d}") for machine in ("fan", "pump") for number in (0, 2)]
    assert [seen[0].count(key) for key in ids] == [4, 4, 0, 0]
    assert [seen[1].count(key) for key in ids] == [2, 2, 2, 2]


def test_the_same_machines_under_another_noise_are_no_pseudo_anomalies() -> None:
    clips = [
        Clip(Path("a.wav"), f"{machine}_{snr}", "id_00", "train", attributes={"snr": snr})
        for machine in ("fan", "pump")
        for snr in ("-6_dB", "6_dB")
    ]
    target = _target("fan_6_dB", ["id_00"], clips, np.arange(4), [1])
    assert target.rows.tolist() == [1]
    assert target.outliers.tolist() == [3]


def test_it_hears_what_is_wrong(sound: Dataset) -> None:
    config = replace(QUICK, size=16, inlier_epochs=4, epochs=4, steps_per_epoch=8)
    scores = fit(sound, config).score(sound.where(split="test"))
    means = {row.method: row.auc for row in summary(results_of(scores, seed=0)) if not row.machine}
    assert means["maha"] is not None
    assert means["maha"] > 0.85


def test_saved_and_loaded_it_scores_to_the_bit(
    fitted: MultitaskConformer, sound: Dataset, tmp_path: Path
) -> None:
    test = sound.where(split="test")
    fitted.save(tmp_path)
    loaded = load_system(tmp_path, device="cpu")
    assert loaded.machine_keys == fitted.machine_keys
    assert same(loaded.score(test), fitted.score(test))
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"acts_on"', '"acts"'))
    with pytest.raises(StorageError, match="is damaged|does not hold the system"):
        load_system(tmp_path)


def test_a_killed_fit_goes_on_where_it_was_in_either_stage(
    fitted: MultitaskConformer, sound: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    original = thrum.training.train
    monkeypatch.setattr(
        "thrum.systems.multitask_conformer.fitting.train",
        lambda *arguments, **settings: original(
            *arguments, **{**settings, "checkpoint_seconds": -1.0}
        ),
    )
    trained: list[tuple[str, int]] = []
    kills = {("fan (inliers)", 2), ("pump (outliers)", 2)}

    def kill(stage: str, done: int, total: int) -> None:
        if stage.startswith("training"):
            trained.append((stage.removeprefix("training on "), done))
            if trained[-1] in kills:
                kills.remove(trained[-1])
                raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            fit(sound, folder=tmp_path, progress=kill)
    resumed = fit(sound, folder=tmp_path, progress=kill)
    stages = [
        f"{machine} ({stage})" for machine in ("fan", "pump") for stage in ("inliers", "outliers")
    ]
    once = [(stage, epoch) for stage in stages for epoch in (1, 2)]
    # What was under way when it was killed was not yet saved, and comes twice.
    assert sorted(trained) == sorted([*once, ("fan (inliers)", 2), ("pump (outliers)", 2)])
    test = sound.where(split="test")
    assert same(resumed.score(test), fitted.score(test))


def test_the_seed_decides_everything(fitted: MultitaskConformer, sound: Dataset) -> None:
    test = sound.where(split="test")
    assert same(fit(sound).score(test), fitted.score(test))
    assert not same(fit(sound, seed=1).score(test), fitted.score(test))


def test_members_differ_by_their_seed_alone_and_are_read_as_one(
    fitted: MultitaskConformer, sound: Dataset, tmp_path: Path
) -> None:
    """The first is the one that a single network is, and its training need not be done again."""
    test = sound.where(split="test")
    fit(sound, folder=tmp_path / "work")
    stages: list[str] = []
    config = replace(QUICK, members=3)
    three = fit(
        sound, config, folder=tmp_path / "work", progress=lambda stage, *_: stages.append(stage)
    )
    trained = {stage for stage in stages if stage.startswith("training on fan")}
    others = {
        f"training on fan, {n} of 3 ({stage})" for n in (2, 3) for stage in ("inliers", "outliers")
    }
    assert trained == others
    network, own = three.models_["fan"].network, fitted.models_["fan"].network
    levels = torch.randn(2, 40, 128)
    read, parts = network.read(levels), [member.read(levels) for member in network.each]
    np.testing.assert_array_equal(parts[0].features, own.read(levels).features)
    assert len({part.features.tobytes() for part in parts}) == 3
    np.testing.assert_array_equal(
        read.features, np.concatenate([part.features for part in parts], axis=1)
    )
    np.testing.assert_allclose(read.ids, sum(part.ids for part in parts) / 3, rtol=1e-5)
    np.testing.assert_allclose(read.targets, sum(part.targets for part in parts) / 3, rtol=1e-5)
    three.save(tmp_path / "run")
    scores = three.score(test)
    assert same(load_system(tmp_path / "run", device="cpu").score(test), scores)
    assert same(fit(sound, config).score(test), scores)
    assert (
        three.embedding_maps(test).stages["feature of the machine type's conformer"].shape[1] == 18
    )


def test_clips_of_different_length_come_in_their_own_order(
    fitted: MultitaskConformer, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    for number, seconds in enumerate((0.9, 0.5, 0.9, 0.02)):
        tone = machines.tone(random, 110, seconds=seconds, rate=16000)
        audio.write(tmp_path / "fan" / "test" / f"normal_id_00_{number:08d}.wav", tone, 16000)
    clips = list(open_dataset(tmp_path))
    together = fitted.score(clips).columns["out+arc+maha"]
    alone = [fitted.score([clip]).columns["out+arc+maha"][0] for clip in clips]
    assert together == pytest.approx(alone, rel=1e-3, abs=1e-3)
    assert len(fitted.score([]).columns["maha"]) == 0


def test_the_maps_show_every_clip_before_and_after(
    fitted: MultitaskConformer, sound: Dataset
) -> None:
    test = sound.where(split="test")
    maps = fitted.embedding_maps(test)
    assert [stage.shape for stage in maps.stages.values()] == [(len(test), 128), (len(test), 6)]
    own = test.where(machine="pump", machine_id="id_02")
    rows = [row for row, clip in enumerate(test) if clip.machine_key == ("pump", "id_02")]
    for caption, stage in fitted.embedding_maps(own).stages.items():
        np.testing.assert_allclose(maps.stages[caption][rows], stage, rtol=1e-3, atol=1e-3)


def test_rows_of_features_have_one_type_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = open_dataset(machines.write_arrays(tmp_path))
    with caplog.at_level(logging.WARNING):
        system = fit(arrays)
    assert "made on the spectrogram" in caplog.text
    assert "the only machine type: the type head learns to tell each machine ID" in caplog.text
    sizes = system.models_["Press"].network.sizes
    assert (sizes.bands, sizes.ids, sizes.targets) == (machines.DIMENSIONS, 3, 3)
    test = arrays.where(split="test")
    for column in system.score(test).columns.values():
        assert np.isfinite(column).all()
        assert column.any()


def test_one_machine_alone_is_measured_by_distance_and_it_is_said(
    sound: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    one = sound.where(machine="fan", machine_id="id_00")
    with caplog.at_level(logging.WARNING):
        system = fit(one)
    assert "the score arc says nothing" in caplog.text
    assert "the score out says nothing" in caplog.text
    scores = system.score(one.where(split="test"))
    assert not scores.columns["out"].any()
    labels = [clip.label == "anomaly" for clip in scores.clips]
    assert auc(labels, scores.columns["combined"]) == auc(labels, scores.columns["maha"])


def test_the_only_machine_of_a_type_is_told_from_those_of_other_types(
    sound: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """ArcFace over one class has no gradient: stage one would train nothing but the augmentation task."""
    fans = sound.where(machine="fan", machine_id="id_00")
    pumps = sound.where(machine="pump")
    both = replace(sound, clips=(*fans, *pumps))
    config = replace(QUICK, augmentation_task=False)  # all that stage one learns is from L_id
    stage_one = replace(config, epochs=0)
    with caplog.at_level(logging.WARNING):
        system = fit(both, stage_one)
    assert "tells it from the machine IDs of other types" in caplog.text
    network = system.models_["fan"].network.each[0]
    assert network.sizes.ids == 3
    torch.manual_seed(0)
    untouched = MultitaskNetwork(network.sizes, stage_one)
    assert not torch.equal(network.ids.anchors, untouched.ids.anchors)
    for column in ("arc", "odds"):
        own = fit(both, config).score(fans.where(split="test")).columns[column]
        assert np.ptp(own) > 0


def test_the_id_head_tells_all_machine_ids_apart_where_it_is_asked_to(
    fitted: MultitaskConformer, sound: Dataset, tmp_path: Path
) -> None:
    ids = {machine: model.network.sizes.ids for machine, model in fitted.models_.items()}
    system = fit(sound, replace(QUICK, id_classes="all"))
    total = sum(ids.values())
    assert total > max(ids.values()) > 1
    assert {model.network.sizes.ids for model in system.models_.values()} == {total}
    test = sound.where(split="test")
    scores = system.score(test)
    for column in ("arc", "maha", "odds"):
        assert not np.allclose(scores.columns[column], fitted.score(test).columns[column])
    system.save(tmp_path / "run")
    assert same(load_system(tmp_path / "run", device="cpu").score(test), scores)


def test_a_clip_of_another_type_has_the_class_after_the_own() -> None:
    ids, others = np.array([0, 1, 1]), np.array([7, 5, 7])
    target = Target("fan", np.arange(3), ids, np.arange(3, 6), others, ("id_00", "id_01"), True)
    assert target.foreign is not None
    assert target.foreign.tolist() == [3, 2, 3]
    assert target.classes == 4
    assert replace(target, among_all=False).foreign is None
    assert replace(target, among_all=False).classes == 2


def test_of_a_run_saved_when_arc_was_the_odds_the_scale_is_made_anew(
    fitted: MultitaskConformer,
) -> None:
    model = fitted.models_["fan"]
    tensors, told = model.state()
    assert told.pop("arc") == "cosine"
    tensors["1.scales"] = tensors["1.scales"] + 1
    old = TypeModel.restored(tensors, told, QUICK, device=torch.device("cpu"))
    for name, evaluator in model.evaluators.items():
        found = old.evaluators[name].scales_
        np.testing.assert_allclose(found, evaluator.scales_, rtol=1e-3, atol=1e-3)


def test_ablations_leave_their_head_out(sound: Dataset) -> None:
    test = sound.where(split="test")
    without_type = fit(sound, replace(QUICK, type_task=False))
    assert not without_type.score(test).columns["out"].any()
    network = fit(sound, replace(QUICK, augmentation_task=False)).models_["fan"].network.each[0]
    torch.manual_seed(0)
    untouched = MultitaskNetwork(Sizes(128, 2, 1), QUICK).augmentations.weight
    assert torch.equal(network.augmentations.weight, untouched)


def test_bf16_trains_alike(fitted: MultitaskConformer, sound: Dataset) -> None:
    system = fit(sound, replace(QUICK, bf16=True))
    for machine, losses in system.losses_.items():
        assert losses != fitted.losses_[machine]
        assert losses == pytest.approx(fitted.losses_[machine], rel=0.3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 10, "heads": 4}, "not a multiple of heads"),
        ({"kernel": 4}, "wanted an odd number"),
        ({"augmented": 1.5}, "augmented is 1.5, wanted between 0 and 1"),
        ({"epochs": -1}, "epochs is -1, wanted at least 0"),
        ({"crop_seconds": 0.0}, "crop_seconds is 0.0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0, wanted more than 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0"),
        ({"members": 0}, "members is 0, wanted at least 1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config(**settings)


def test_no_clips_are_no_training_set(sound: Dataset) -> None:
    with pytest.raises(DataError, match="wants normal training clips, got none"):
        MultitaskConformer(QUICK).fit([])
    with pytest.raises(DataError, match="fan/id_00 has one training clip: wanted two"):
        MultitaskConformer(QUICK).fit(sound.clips[:1])


def test_without_shrinkage_too_few_clips_are_said_before_training(sound: Dataset) -> None:
    stages: list[str] = []
    with pytest.raises(DataError, match="fan/id_00 has 6 training clips: shrinkage=0 wants more"):
        fit(sound, replace(QUICK, shrinkage=0.0), progress=lambda stage, *_: stages.append(stage))
    assert not stages


def test_settings_of_the_scores_keep_the_training(sound: Dataset, tmp_path: Path) -> None:
    fit(sound, folder=tmp_path)
    for other in (
        replace(QUICK, score="maha"),
        replace(QUICK, shrinkage=0.5),
        replace(QUICK, standardise_by="left_out"),
    ):
        stages: list[str] = []
        fit(sound, other, folder=tmp_path, progress=lambda stage, *_: stages.append(stage))  # noqa: B023
        assert not [stage for stage in stages if stage.startswith("training")]


def test_for_a_checkpoint_alone_every_clip_is_read_once_more(
    sound: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Clip] = []
    original = audio.read_clip

    def watched(clip: Clip, **settings: int):  # type: ignore[no-untyped-def]
        read.append(clip)
        return original(clip, **settings)

    monkeypatch.setattr("thrum.systems.self_supervised.inputs.CACHED_BYTES", 0)
    monkeypatch.setattr(audio, "read_clip", watched)
    fit(sound)
    without = len(read)
    fit(sound, folder=tmp_path)
    assert len(read) == 2 * without + len(sound.where(split="train"))
