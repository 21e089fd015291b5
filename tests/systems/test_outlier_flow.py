from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import machines
from thrum import audio, storage
from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import DataError, StorageError, WeightsError
from thrum.evaluation.metrics import auc
from thrum.systems import load_system
from thrum.systems.outlier_flow import Config, OutlierFlow
from thrum.systems.outlier_flow.frontend import Spectrograms
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape, begin_with
from thrum.systems.outlier_flow.scoring import measured, pseudo_target
from thrum.systems.outlier_flow.variants import VARIANTS
from thrum.types import Clip, Dataset

QUICK = [
    "width=4",
    "mel_bands=64",
    "hop_seconds=0.064",
    "oe_epochs=2",
    "epochs=2",
    "learning_rate=1e-3",
    "flow_steps=2",
    "inlier_sizes=[1, 2]",
    "least_steps=1",
]


def system(*settings: str, **given: Any) -> OutlierFlow:
    config = configs.with_overrides(Config(), [*QUICK, *settings])
    return OutlierFlow(config, device="cpu", **given)


def write_domains(root: Path, *, kinds: tuple[str, ...] = ("fan", "valve")) -> Dataset:
    """Challenge-like sound with speeds and voltages in the names, and two clips of the target domain."""
    random = np.random.default_rng(0)
    for number, kind in enumerate(kinds):
        for split, label, domain, count in (
            ("train", "normal", "source", 6),
            ("train", "normal", "target", 2),
            ("test", "normal", "source", 3),
            ("test", "normal", "target", 3),
            ("test", "anomaly", "source", 3),
            ("test", "anomaly", "target", 3),
        ):
            for index in range(count):
                hz = 150 * (number + 1) * (1.2 if domain == "target" else 1.0)
                if label == "anomaly":
                    hz *= 1.5
                sound = machines.tone(random, hz, seconds=1.0, rate=16000)
                speed, volt = 60 + 10 * (index % 2) + (20 if domain == "target" else 0), index % 3
                name = f"section_00_{domain}_{split}_{label}_{index:04d}_speed_{speed}_volt_{volt}V"
                audio.write(root / kind / split / f"{name}.wav", sound, 16000)
    return open_dataset(root)


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_domains(tmp_path_factory.mktemp("challenge"))


@pytest.fixture(scope="module")
def everything(challenge: Dataset) -> OutlierFlow:
    return system("variant=submission-1", "oe_epochs=1", "epochs=1").fit(
        challenge.where(split="train")
    )


def test_all_variants_and_ensembles_score_a_challenges_layout(
    everything: OutlierFlow, challenge: Dataset, tmp_path: Path
) -> None:
    test = challenge.where(split="test")
    scores = everything.score(test)
    assert scores.selected == "submission-1"
    wanted = {*VARIANTS, "submission-1", "submission-2", "submission-3", "submission-4"}
    assert wanted <= scores.columns.keys()
    assert {
        "OE/gmm",
        "OE/knn",
        "OE/machine",
        "OE-Flow/flow",
        "OE-DFlow/flow",
    } <= scores.columns.keys()
    assert all(np.isfinite(column).all() for column in scores.columns.values())
    everything.save(tmp_path)
    loaded = load_system(tmp_path, device="cpu")
    for method, column in loaded.score(test).columns.items():
        np.testing.assert_array_equal(column, scores.columns[method])
    assert loaded.thresholds == everything.thresholds
    assert set(everything.thresholds) == set(everything.machine_keys)


def test_domain_invariant_variants_train_a_network_for_each_attribute(
    everything: OutlierFlow,
) -> None:
    trained = [(learnt.variant, learnt.parameter) for learnt in everything.learnt_]
    for variant, wanted in VARIANTS.items():
        parameters = [parameter for name, parameter in trained if name == variant]
        assert parameters == (["speed", "volt"] * 2 if wanted.invariant else [""] * 2)
    tied = {learnt.network.tied for learnt in everything.learnt_ if "DFlow" in learnt.variant}
    assert tied == {1}  # 8 of 512, at width 4


def test_without_attributes_the_latents_are_tied_to_the_domain(challenge: Dataset) -> None:
    bare = [replace(clip, attributes={}) for clip in challenge.where(split="train")]
    found = system("variant=SerialOE-DFlow").fit(bare)
    assert [learnt.parameter for learnt in found.learnt_] == ["domain", "domain"]
    assert all(learnt.shape == Shape(2, False, True) for learnt in found.learnt_)


def test_without_target_clips_every_variant_still_scores(
    challenge: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    source = [
        replace(clip, attributes={}) for clip in challenge.where(split="train", domain="source")
    ]
    with caplog.at_level("INFO"):
        found = system("variant=OE-DFlow").fit(source)
    assert "fan has no attribute of two values, and no two domains" in caplog.text
    assert "fan/section_00 has clips of one domain only" in caplog.text
    kinds = set(found.learnt_[0].training["fan", "section_00"])
    assert kinds == {"machine", "flow", "gmm-1-both", "gmm-2-both", "knn-1-both", "knn-2-both"}
    scores = found.score(challenge.where(split="test"))
    assert np.isfinite(scores.columns["OE-DFlow"]).all()


def test_inlier_models_are_fitted_to_source_pseudo_target_and_both(
    everything: OutlierFlow,
) -> None:
    vectors = everything.learnt_[0].models["fan", "section_00"].vectors_
    counts = {kind: len(own) for kind, own in vectors.items()}  # one segment a clip
    assert counts == {"source": 6, "pseudo-target": 6, "both": 8}


def test_one_target_clip_is_enough(challenge: Dataset) -> None:
    train = list(challenge.where(split="train"))
    few = [clip for clip in train if clip.domain == "source" or "0000_" in clip.name]
    scores = system("variant=OE").fit(few).score(challenge.where(split="test"))
    assert np.isfinite(scores.columns["OE"]).all()


def test_one_source_clip_is_enough(challenge: Dataset) -> None:
    train = list(challenge.where(split="train"))
    few = [clip for clip in train if clip.domain == "target" or "0000_" in clip.name]
    found = system("variant=OE").fit(few)
    assert "knn-1-source" not in found.learnt_[0].training["fan", "section_00"]
    scores = found.score(challenge.where(split="test"))
    assert np.isfinite(scores.columns["OE"]).all()


def test_one_clip_is_said_before_training(challenge: Dataset) -> None:
    train = challenge.where(split="train")
    stages: list[str] = []
    few = [*train.where(machine="fan"), *train.where(machine="valve").clips[:1]]
    with pytest.raises(DataError, match="valve/section_00 has one training clip: wanted two"):
        system(progress=lambda stage, *_: stages.append(stage)).fit(few)
    assert not stages
    assert system("variant=OE", "targets=['fan']").fit(few).machine_keys == [("fan", "section_00")]


def test_only_targets_are_learnt_and_scored(challenge: Dataset, tmp_path: Path) -> None:
    train, test = challenge.where(split="train"), challenge.where(split="test")
    chosen = system("variant=OE", "targets=['fan']", folder=tmp_path).fit(train)
    assert chosen.machine_keys == [("fan", "section_00")]
    fans = test.where(machine="fan")
    stages: list[str] = []
    everything = system(
        "variant=OE", folder=tmp_path, progress=lambda stage, *_: stages.append(stage)
    ).fit(train)
    assert not [stage for stage in stages if "of fan" in stage]  # it is trained already
    np.testing.assert_array_equal(
        chosen.score(fans).columns["OE"], everything.score(fans).columns["OE"]
    )
    with pytest.raises(DataError, match="valve/section_00 was not learnt"):
        chosen.score(test)


def test_one_machine_alone_is_said(challenge: Dataset) -> None:
    with pytest.raises(DataError, match="wants two machine IDs at least, got fan/section_00"):
        system().fit(challenge.where(split="train", machine="fan"))


def test_the_machines_odds_alone_where_asked(challenge: Dataset) -> None:
    found = system("choice=machine", "variant=OE").fit(challenge.where(split="train"))
    scores = found.score(challenge.where(split="test"))
    assert scores.columns.keys() == {"OE", "OE/gmm", "OE/knn"}
    odds = {
        key: learnt.training[key]["machine"] for learnt in found.learnt_ for key in learnt.models
    }
    for key, threshold in found.thresholds.items():  # of standardised scores
        standardised = (odds[key] - odds[key].mean()) / odds[key].std()
        assert threshold == pytest.approx(gamma_threshold(standardised))


def test_test_labels_choose_only_where_asked(challenge: Dataset) -> None:
    train, test = challenge.where(split="train"), challenge.where(split="test")
    found = system("variant=OE", "choice=best_by_test_labels", "chosen_members=1").fit(train)
    best = found.score(test).columns["OE"]
    assert found.thresholds == {}
    labels = [clip.label == "anomaly" for clip in test]
    everything = system("variant=OE").fit(train).score(test).columns["OE"]
    rows = [row for row, clip in enumerate(test) if clip.machine == "fan"]
    both = [auc([labels[row] for row in rows], scores[rows]) for scores in (best, everything)]
    assert both[0] >= both[1]
    with pytest.raises(DataError, match="choose 'all', which looks at no label"):
        found.score([replace(clip, label=None) for clip in test])


def test_the_papers_choice_stands_beside_ours_of_the_same_networks(challenge: Dataset) -> None:
    train, test = challenge.where(split="train"), challenge.where(split="test")
    settings = ("variant=OE", "chosen_members=1")
    found = system(*settings, "also_by_test_labels=true").fit(train)
    columns = found.score(test).columns
    chosen = system(*settings, "choice=best_by_test_labels").fit(train).score(test).columns["OE"]
    np.testing.assert_array_equal(columns["OE/by test labels"], chosen)
    assert not np.array_equal(columns["OE"], chosen)
    unlabelled = found.score([replace(clip, label=None) for clip in test]).columns
    assert "OE/by test labels" not in unlabelled
    np.testing.assert_array_equal(unlabelled["OE"], columns["OE"])


@pytest.mark.parametrize("variant", ["OE", "OE-Flow"])
def test_the_papers_optimiser_and_schedule(
    variant: str, challenge: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):  # noqa: N818
        pass

    given: dict[str, Any] = {}

    def watched(*_: Any, **settings: Any) -> None:
        given.update(settings)
        raise Seen

    monkeypatch.setattr("thrum.systems.outlier_flow.fitting.train", watched)
    settings = ("oe_epochs=150", "epochs=250", "learning_rate=1e-4", "least_steps=16")
    with pytest.raises(Seen):
        system(f"variant={variant}", *settings).fit(challenge.where(split="train"))
    assert type(given["optimizer"]).__base__ is torch.optim.AdamW
    (group,) = given["optimizer"].param_groups
    assert group["weight_decay"] == 0.01
    scheduler = given["scheduler"]
    if variant == "OE":
        assert given["epochs"] == 150
        assert type(scheduler) is torch.optim.lr_scheduler.OneCycleLR
        assert scheduler.total_steps == 150 * 16
        assert group["max_lr"] == 1e-3
    else:
        assert given["epochs"] == 250
        assert scheduler is None
        assert group["lr"] == 1e-4


def test_running_means_are_those_of_clips_as_they_are_scored(challenge: Dataset) -> None:
    """After one step the running means would be a tenth of the way; here they are those of the batch."""
    train = challenge.where(split="train")
    found = system("variant=OE", "oe_epochs=1", "segment_seconds=1.0").fit(train)
    network = found.learnt_[0].network
    config = found.config
    clips = sorted(train, key=lambda clip: clip.machine_key)
    with found._spectrograms(clips) as spectrograms:
        rows = np.arange(len(clips))
        levels, _ = spectrograms.segments(rows, 0 * rows, spectrograms.segment_frames)
        mean, variance = spectrograms.usual
    assert config.batch_size >= len(clips)  # so that one batch has all clips, each whole
    assert mean == pytest.approx(float(levels.mean()), rel=1e-3)
    assert float(network.standardise.running_mean) == pytest.approx(mean)
    assert float(network.standardise.running_var) == pytest.approx(variance)
    normed = next(m for m in network.extractor.modules() if isinstance(m, torch.nn.BatchNorm2d))
    convolved: list[torch.Tensor] = []
    normed.register_forward_pre_hook(lambda _, inputs: convolved.append(inputs[0]))
    with torch.no_grad():
        network.maps(levels)
    means = convolved[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(normed.running_mean, means, rtol=1e-3, atol=1e-4)
    as_trained = system(
        "variant=OE", "oe_epochs=1", "segment_seconds=1.0", "renewed_means=false"
    ).fit(train)
    lagging = as_trained.learnt_[0].network.extractor
    (first, *_) = (m for m in lagging.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert (first.running_mean - means).abs().max() > 0.3 * means.abs().max()


def test_a_part_of_each_machines_clips_is_held_out(
    challenge: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = challenge.where(split="train")
    drawn: list[int] = []
    validated: list[float] = []

    def watched(model: torch.nn.Module, **settings: Any) -> list[float]:
        batches = settings["batches"](0, np.random.default_rng(0))
        drawn.append(sum(len(batch.levels) for batch in batches))
        model.eval()
        validated.extend(settings["validate"]() for _ in range(2))
        return []

    monkeypatch.setattr("thrum.systems.outlier_flow.fitting.train", watched)
    system("variant=OE", "hold_out=0.25").fit(train)
    assert drawn == [12, 12]  # six of a machine's eight clips, and six of the other's
    assert validated[0] == validated[1]
    assert np.isfinite(validated).all()


def test_a_backbone_is_begun_with(challenge: Dataset, tmp_path: Path) -> None:
    from thrum.networks.resnet import ResNet18, _image_name

    torch.manual_seed(0)
    theirs = {_image_name(name): value for name, value in ResNet18().state_dict().items()}
    colours = torch.randn(64, 3, 7, 7)
    theirs["conv1.weight"] = colours
    torch.save({**theirs, "fc.weight": torch.zeros(1000, 512)}, tmp_path / "resnet18.pth")
    settings = QUICK[1:]  # at the paper's width
    config = configs.with_overrides(
        Config(backbone=str(tmp_path / "resnet18.pth"), variant="OE"), settings
    )
    network = OutlierFlowNetwork(config, VARIANTS["OE"], Shape(0, False, False))
    begin_with(network, tmp_path / "resnet18.pth")
    torch.testing.assert_close(network.extractor.stem[0].weight[:, 0], colours.sum(dim=1))
    torch.save({"conv1.weight": colours}, tmp_path / "part.pth")
    for name, reason in (("part.pth", "bn1.weight"), ("none.pth", "No such file")):
        with pytest.raises(WeightsError, match=reason):
            begin_with(network, tmp_path / name)


@pytest.mark.parametrize(("variant", "hold_out"), [("OE", 0.25), ("OE-DFlow", 0.0)])
def test_a_run_goes_on_where_it_was(
    variant: str, hold_out: float, challenge: Dataset, tmp_path: Path
) -> None:
    """One with a schedule and one without; killed within the training of the second machine."""
    train, test = challenge.where(split="train"), challenge.where(split="test")
    settings = (f"variant={variant}", "oe_epochs=4", "epochs=4", f"hold_out={hold_out}")
    wanted = system(*settings).fit(train).score(test).columns[variant]

    def stop(stage: str, done: int, total: int) -> None:
        if "of valve" in stage and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        system(*settings, folder=tmp_path, progress=stop).fit(train)
    stages: list[str] = []
    resumed = system(*settings, folder=tmp_path, progress=lambda stage, *_: stages.append(stage))
    np.testing.assert_array_equal(resumed.fit(train).score(test).columns[variant], wanted)
    assert not any("of fan" in stage for stage in stages)  # nothing was trained twice


def test_the_seed_decides_the_scores(challenge: Dataset) -> None:
    train, test = challenge.where(split="train"), challenge.where(split="test")
    scores = [system(seed=seed).fit(train).score(test).columns["OE-DFlow"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


def test_features_are_taken_as_spectrograms_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(machines.write_arrays(tmp_path / "data", kind="ToyCar"))
    found = system("variant=OE-Flow").fit(dataset.where(split="train"))
    assert "taken as spectrograms as they are" in caplog.text
    assert [learnt.training.keys() for learnt in found.learnt_] == [  # each ID against the others
        {("ToyCar", f"id_{number:02d}")} for number in range(3)
    ]
    scores = found.score(dataset.where(split="test"))
    assert np.isfinite(scores.columns["OE-Flow"]).all()
    sound = open_dataset(machines.write_sound(tmp_path / "sound"))
    known = [replace(c, machine="ToyCar", machine_id="id_00") for c in sound]
    with pytest.raises(
        DataError, match="got recordings of 64 bands, trained was with features of 12"
    ):
        found.score(known)


def test_a_foreign_model_is_said(everything: OutlierFlow, tmp_path: Path) -> None:
    everything.save(tmp_path)
    tensors, description = storage.load_state(tmp_path)
    description["networks"][0]["variant"] = "OE-DFlow"
    storage.save_state(tmp_path, tensors, {k: description[k] for k in description if k != "sha256"})
    with pytest.raises(StorageError, match="does not hold the system outlier-flow"):
        load_system(tmp_path, device="cpu")


# Segments of clips, weighted by their power


@pytest.fixture
def half_silent(tmp_path: Path) -> Spectrograms:
    """A clip of 2 s whose second half hisses, and one that hisses all the time."""
    random = np.random.default_rng(0)
    clips = []
    for name, start in (("half", 16000), ("whole", 0)):
        sound = 1e-4 * random.normal(size=32000)
        sound[start:] += 0.1 * random.normal(size=32000 - start)
        audio.write(tmp_path / f"{name}.wav", sound.astype(np.float32), 16000)
        clips.append(Clip(tmp_path / f"{name}.wav", "ToyCar", "id_00", "test"))
    config = configs.with_overrides(Config(), [*QUICK, "segment_seconds=1.0"])
    return Spectrograms(clips, config, folder=tmp_path / "work", device=torch.device("cpu"))


def network() -> OutlierFlowNetwork:
    torch.manual_seed(0)
    config = configs.with_overrides(Config(), QUICK)
    return OutlierFlowNetwork(config, VARIANTS["OE-Flow"], Shape(0, False, False)).eval()


def test_segments_count_by_their_power_where_clips_have_silence(half_silent: Spectrograms) -> None:
    rows, frames = np.array([0, 1]), half_silent.segment_frames
    plain = measured(network(), half_silent, rows, segment_frames=frames, weighted=())
    by_power = measured(network(), half_silent, rows, segment_frames=frames, weighted=["ToyCar"])
    np.testing.assert_array_equal(plain.weights, 1)
    weights = by_power.weights[by_power.clips == 0]
    assert weights[0] < 1e-3 * weights[-1]  # silence
    assert (np.diff(weights) > 0).all()
    steady = by_power.weights[by_power.clips == 1]
    assert steady.max() < 1.3 * steady.min()
    scores = np.arange(len(plain.clips), dtype=np.float64)
    np.testing.assert_allclose(
        by_power.clip_means(scores)[0], (weights * scores[: len(weights)]).sum() / weights.sum()
    )


def test_the_score_map_is_weighted_place_by_place(half_silent: Spectrograms) -> None:
    net, frames = network(), half_silent.segment_frames
    found = measured(net, half_silent, np.array([0]), segment_frames=frames, weighted=["ToyCar"])
    starts = np.round(np.linspace(0, 32 - frames, len(found.clips))).astype(int)
    levels, power = half_silent.segments(np.zeros(len(starts), int), starts, frames)
    with torch.inference_mode():
        surprise = net.surprise(net.maps(levels))
    assert surprise is not None
    weights = functional.adaptive_avg_pool1d(power, surprise.shape[2])
    wanted = (surprise.mean(dim=1) * weights).sum() / weights.sum()
    np.testing.assert_allclose(found.scores["flow"], [wanted.item()], rtol=1e-5)
    odds = -net.machine_loss.logits(torch.from_numpy(found.embeddings))[:, 0].detach().numpy()
    np.testing.assert_allclose(
        found.scores["machine"], found.clip_means(odds.astype(float)), rtol=1e-5
    )


def test_pseudo_target_clips_lie_between_and_nearer_to_the_target(
    half_silent: Spectrograms,
) -> None:
    """With an extractor that only tells the mean level, mixed levels can be read off."""

    class MeanLevel(OutlierFlowNetwork):
        def maps(self, levels: torch.Tensor) -> torch.Tensor:
            return levels.mean(dim=(1, 2))[:, None, None, None].expand(-1, 32, 1, 1)

    torch.manual_seed(0)
    config = configs.with_overrides(Config(), QUICK)
    net = MeanLevel(config, VARIANTS["OE"], Shape(0, False, False))
    mixed = pseudo_target(
        net,
        half_silent,
        np.array([0]),
        np.array([1]),
        alpha=0.2,
        random=np.random.default_rng(0),
    )
    both = measured(
        net,
        half_silent,
        np.array([0, 1]),
        segment_frames=half_silent.segment_frames,
        weighted=(),
    )
    own = both.embeddings[both.clips == 0, 0]
    target = both.embeddings[both.clips == 1, 0].mean()
    shares = ((mixed[:, 0] - own) / (target - own))[:3]  # the silent segments
    assert shares.min() > 0.45
    assert shares.max() < 1.05
