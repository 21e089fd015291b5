from __future__ import annotations

import logging
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

import machines
from thrum import audio
from thrum import config as configs
from thrum.bench.tables import load_table
from thrum.datasets import open_dataset
from thrum.errors import ConfigError, DataError, NotFittedError, StorageError, WeightsError
from thrum.evaluation.table import results_of, summary
from thrum.systems.base import create_system, load_system
from thrum.systems.self_supervised import Config, SelfSupervised
from thrum.systems.self_supervised.fitting import UNKNOWN, AttributeValues, Loss, balanced_batches
from thrum.systems.self_supervised.inputs import Inputs, interpolated
from thrum.systems.self_supervised.network import SectionClassifier, Sizes
from thrum.systems.self_supervised.scoring import distance_scores, posterior_scores
from thrum.systems.self_supervised.wav2vec2 import Wav2Vec2Features
from thrum.types import Clip, Dataset, Scores

QUICK = Config(
    width=16,
    pooled_width=24,
    embedding_size=16,
    epochs=6,
    learning_rate=3e-3,
    sections_per_batch=3,
    clips_per_section=4,
    crop_seconds=0.8,
)
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("sound")
    return open_dataset(machines.write_sound(root, machines=3, clips=12, seconds=1.2))


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Development and additional training data of 2022's form, some clips without attributes."""
    root = tmp_path_factory.mktemp("challenge")
    random = np.random.default_rng(0)
    for container, sections in (("dev_data", (0, 1)), ("eval_data", (3,))):
        for section in sections:
            name = f"section_{section:02d}_source"
            for number in range(6):
                told = f"_vel_{number % 2}" if number else "_noAttribute"
                path = (
                    root
                    / container
                    / "fan"
                    / "train"
                    / f"{name}_train_normal_000{number}{told}.wav"
                )
                write(path, random, 110 * (section + 1))
            for label, detune in (("normal", 1.0), ("anomaly", 1.3)):
                if container == "dev_data":
                    path = root / container / "fan" / "test" / f"{name}_test_{label}_0000.wav"
                    write(path, random, 110 * (section + 1) * detune)
    return open_dataset(root)


def write(path: Path, random: np.random.Generator, hz: float) -> None:
    audio.write(path, machines.tone(random, hz, seconds=0.6, rate=16000), 16000)


@pytest.fixture(scope="module")
def fitted(sound: Dataset) -> SelfSupervised:
    return fit(sound)


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a very small wav2vec 2.0 that was never trained."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'ssl'")
    from thrum.systems.self_supervised.wav2vec2 import write_network

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wav2vec2")
    small = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    write_network(transformers.Wav2Vec2Model(small), folder)
    return folder


def fit(dataset: Dataset, config: Config = QUICK, **settings: object) -> SelfSupervised:
    return SelfSupervised(config, device="cpu", **settings).fit(dataset.where(split="train"))


def same(first: Scores, second: Scores) -> bool:
    return all(np.array_equal(first.columns[name], second.columns[name]) for name in first.columns)


def test_the_defaults_are_the_papers() -> None:
    config = Config()
    assert (config.epochs, config.learning_rate) == (100, 2e-4)
    assert (config.width, config.pooled_width, config.embedding_size) == (512, 1500, 512)
    assert (config.auxiliary, config.score, config.neighbours) == (True, "distance", 1)


def test_the_six_experiments_are_those_of_table_one() -> None:
    found = [
        configs.load(Config, CONFIGS / f"self_supervised_experiment{number}.toml")
        for number in range(1, 7)
    ]
    every = ("logmel", "tgram", "wav2vec2")
    assert [(c.features, c.auxiliary, c.score) for c in found] == [
        (("logmel",), False, "posterior"),
        (("logmel", "tgram"), False, "posterior"),
        (("logmel", "wav2vec2"), False, "posterior"),
        (every, False, "posterior"),
        (every, True, "posterior"),
        (every, True, "distance"),
    ]
    assert [c.fine_tuned for c in found] == [False, False, True, True, True, True]


def test_the_papers_tables_run_its_experiments() -> None:
    """Of every table, the features, the loss, the fine-tuning and the score of each row."""
    every = ("logmel", "tgram", "wav2vec2")
    experiments = {
        "experiment-1": (("logmel",), False, False),
        "experiment-2": (("logmel", "tgram"), False, False),
        "experiment-3": (("logmel", "wav2vec2"), False, True),
        "experiment-4": (every, False, True),
        "experiment-5": (every, True, True),
    }
    held = {3: "1234", 4: "45", 5: "5", 6: "5"}
    for number, names in held.items():
        runs = load_table(f"self-supervised/table{number}").runs
        own = {name: run for name, run in runs.items() if name.startswith("experiment")}
        assert list(own) == [f"experiment-{name}" for name in names]
        for name, run in own.items():
            assert run.system == "self-supervised"
            config = configs.from_mapping(Config, dict(run.settings), where=name)
            wanted = experiments[name]
            assert (config.features, config.auxiliary, config.fine_tuned) == wanted
            told = {"features": wanted[0], "auxiliary": wanted[1], "fine_tuned": wanted[2]}
            assert config == Config(**told)


def test_equation_6_is_the_log_odds_of_the_own_section() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])) + 7.0  # a shift says nothing
    assert posterior_scores(logits, 0) == pytest.approx([np.log(0.5 / 0.5), np.log(0.9 / 0.1)])
    assert posterior_scores(logits, 2) == pytest.approx([np.log(0.8 / 0.2), np.log(0.2 / 0.8)])


def test_equation_6_tells_clips_apart_where_the_posterior_is_one() -> None:
    scores = posterior_scores(np.array([[60.0, 0.0], [90.0, 0.0]], np.float32), 0)
    assert scores.tolist() == [-60.0, -90.0]


def test_equation_7_by_hand_and_with_more_neighbours() -> None:
    train = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    test = np.array([[5.0, 0.0], [1.0, 1.0], [3.0, 4.0]])
    nearest = [0.0, 1 - np.sqrt(0.5), 1 - 0.8]
    assert distance_scores(train, test, neighbours=1) == pytest.approx(nearest, abs=1e-12)
    second = [1.0, 1 - np.sqrt(0.5), 1 - 0.6]
    both = [(a + b) / 2 for a, b in zip(nearest, second, strict=True)]
    assert distance_scores(train, test, neighbours=2) == pytest.approx(both, abs=1e-12)


def test_batches_are_of_p_sections_with_k_clips_and_miss_no_clip() -> None:
    labels = np.repeat([0, 1, 2, 3], [9, 4, 5, 1])
    drawn = list(
        balanced_batches(
            labels, classes_per_batch=3, clips_per_class=4, random=np.random.default_rng(0)
        )
    )
    assert set(np.concatenate(drawn).tolist()) == set(range(19))
    for rows in drawn:
        assert sorted(np.unique(labels[rows], return_counts=True)[1]) == [4, 4, 4]


def test_a_batch_holds_all_sections_where_there_are_fewer_than_p() -> None:
    labels = np.repeat([0, 1], 8)
    random = np.random.default_rng(0)
    drawn = list(balanced_batches(labels, classes_per_batch=16, clips_per_class=4, random=random))
    assert [np.bincount(labels[rows]).tolist() for rows in drawn] == [[4, 4], [4, 4]]


def clip(machine: str, **attributes: str) -> Clip:
    return Clip(Path("a.wav"), machine, "section_00", "train", attributes=attributes)


def test_attributes_are_values_within_a_machine_type() -> None:
    """Not combinations: of ToyTrain's the paper counts 23, which are values, of 44 combinations."""
    clips = [
        clip("fan", speed="1", load="2"),
        clip("fan", load="2", speed="1"),
        clip("fan", speed="1", load="3"),
        clip("valve", speed="1", load="2"),
        clip("valve"),
    ]
    found = AttributeValues.of(clips)
    assert found.sizes == (2, 1, 1, 1)  # the fan's load and speed, the valve's
    missing = UNKNOWN
    assert found.values.tolist() == [
        [0, 0, missing, missing],
        [0, 0, missing, missing],
        [1, 0, missing, missing],
        [missing, missing, 0, 0],
        [missing] * 4,
    ]


def test_clips_without_attributes_take_no_part_in_the_auxiliary_loss() -> None:
    torch.manual_seed(0)
    sizes = Sizes(("logmel",), bands=4, wav2vec2=0, sections=2, attributes=3)
    network = SectionClassifier(sizes, replace(QUICK, features=("logmel",))).eval()
    inputs = {"logmel": torch.randn(4, 4, 20)}
    sections = torch.tensor([0, 0, 1, 1])
    # Of two attributes, of two values and of one: the second tells nothing.
    known = torch.tensor([[0, 0], [UNKNOWN, 0], [1, UNKNOWN], [UNKNOWN, UNKNOWN]])
    loss = Loss(network, QUICK, (2, 1))
    embeddings = network(inputs)
    section_logits, attribute_logits = network.logits(embeddings)
    assert attribute_logits is not None
    wanted = (
        torch.nn.functional.cross_entropy(section_logits, sections)
        + loss.triplet(embeddings, sections)
        + torch.nn.functional.cross_entropy(attribute_logits[[0, 2], :2], known[[0, 2], 0])
    )
    torch.testing.assert_close(loss((inputs, sections, known)), wanted)
    nothing_known = loss((inputs, sections, torch.full((4, 2), UNKNOWN)))
    assert torch.isfinite(nothing_known)
    nothing_known.backward()
    assert network.attribute_head is not None
    assert network.attribute_head.weight.grad is None


def test_each_attribute_has_a_softmax_of_its_own() -> None:
    """Two attributes at once: the loss is the mean over both, each over its own values alone."""
    torch.manual_seed(0)
    sizes = Sizes(("logmel",), bands=4, wav2vec2=0, sections=2, attributes=5)
    network = SectionClassifier(sizes, replace(QUICK, features=("logmel",))).eval()
    inputs = {"logmel": torch.randn(4, 4, 20)}
    sections = torch.tensor([0, 0, 1, 1])
    first, second = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 1, UNKNOWN])
    found = Loss(network, QUICK, (2, 3))((inputs, sections, torch.stack([first, second], dim=1)))
    without = Loss(network, QUICK, (2, 3))((inputs, sections, torch.full((4, 2), UNKNOWN)))
    logits = network.logits(network(inputs))[1].log_softmax(dim=1)
    shares = [
        torch.nn.functional.log_softmax(part, dim=1) for part in (logits[:, :2], logits[:, 2:])
    ]
    own = [shares[0][row, first[row]] for row in range(4)]
    own += [shares[1][row, second[row]] for row in range(3)]
    torch.testing.assert_close(found - without, -torch.stack(own).mean())


def test_a_value_that_training_lacks_is_scored_all_the_same(
    fitted: SelfSupervised, sound: Dataset
) -> None:
    """Heads classify in training alone; the published 2022 test lists hold values that training lacks."""
    test = list(sound.where(split="test"))
    foreign = [replace(clip, attributes={"speed": "never heard"}) for clip in test]
    assert same(fitted.score(foreign), fitted.score(test))


def test_the_papers_optimiser_without_a_schedule(
    sound: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):  # noqa: N818
        pass

    given: dict[str, object] = {}

    def watched(*_: object, **settings: object) -> None:
        given.update(settings)
        raise Seen

    monkeypatch.setattr("thrum.systems.self_supervised.fitting.train", watched)
    with pytest.raises(Seen):
        fit(sound, replace(QUICK, epochs=Config().epochs, learning_rate=Config().learning_rate))
    optimizer = given["optimizer"]
    assert type(optimizer).__base__ is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 2e-4
    assert "scheduler" not in given
    assert given["epochs"] == 100


def test_it_hears_what_is_wrong(fitted: SelfSupervised, sound: Dataset) -> None:
    scores = fitted.score(sound.where(split="test"))
    means = {row.method: row.auc for row in summary(results_of(scores, seed=0)) if not row.machine}
    assert scores.selected == "distance"
    assert means["distance"] is not None
    assert means["distance"] > 0.9


def test_saved_and_loaded_it_scores_to_the_bit(
    fitted: SelfSupervised, sound: Dataset, tmp_path: Path
) -> None:
    test = sound.where(split="test")
    fitted.save(tmp_path)
    loaded = load_system(tmp_path, device="cpu")
    assert loaded.machine_keys == fitted.machine_keys
    assert same(loaded.score(test), fitted.score(test))


def test_a_classifier_a_machine_type_is_that_of_the_type_alone(
    sound: Dataset, tmp_path: Path
) -> None:
    """Twice three machines as two types: each is told from its sisters, whatever the other type is."""
    types = [
        replace(clip, machine=machine, machine_id=clip.machine)
        for machine in ("fan", "pump")
        for clip in sound
    ]
    both = replace(sound, clips=tuple(types))
    system = fit(both, replace(QUICK, per_machine_type=True))
    names = tuple(sorted({clip.machine for clip in sound}))
    keys = [own.keys for own in system.classifiers_]
    assert keys == [tuple((machine, name) for name in names) for machine in ("fan", "pump")]
    test = both.where(split="test")
    scores = system.score(test)
    fans = [clip for clip in test if clip.machine == "fan"]
    alone = fit(replace(both, clips=tuple(clip for clip in types if clip.machine == "fan")))
    for method, column in alone.score(fans).columns.items():
        np.testing.assert_array_equal(scores.columns[method][: len(fans)], column)
    assert not same(fit(both).score(test), scores)
    system.save(tmp_path)
    assert same(load_system(tmp_path, device="cpu").score(test), scores)
    single = [clip for clip in types if (clip.machine, clip.machine_id) != ("pump", names[0])]
    single = [clip for clip in single if (clip.machine, clip.machine_id) != ("pump", names[1])]
    with pytest.raises(DataError, match=f"got pump/{names[2]}: .* or set per_machine_type=false"):
        fit(replace(both, clips=tuple(single)), replace(QUICK, per_machine_type=True))


def test_the_seed_decides_everything(fitted: SelfSupervised, sound: Dataset) -> None:
    test = sound.where(split="test")
    assert same(fit(sound).score(test), fitted.score(test))
    assert not same(fit(sound, seed=1).score(test), fitted.score(test))


def test_a_killed_fit_goes_on_where_it_was(
    fitted: SelfSupervised, sound: Dataset, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    trained = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage.startswith("training"):
            trained.append(done)
            if done == 4 and len(trained) == 4:
                raise KilledError

    import thrum.training

    with pytest.MonkeyPatch.context() as patch:
        original = thrum.training.train
        patch.setattr(
            "thrum.systems.self_supervised.fitting.train",
            lambda *arguments, **settings: original(
                *arguments, **{**settings, "checkpoint_seconds": -1.0}
            ),
        )
        with pytest.raises(KilledError):
            fit(sound, folder=tmp_path, progress=kill)
        resumed = fit(sound, folder=tmp_path, progress=kill)
    assert trained == [1, 2, 3, 4, 4, 5, 6]  # the fourth epoch was not yet saved
    test = sound.where(split="test")
    assert same(resumed.score(test), fitted.score(test))


def test_settings_of_the_scores_keep_the_training(sound: Dataset, tmp_path: Path) -> None:
    fit(sound, folder=tmp_path)
    stages: list[str] = []
    fit(
        sound,
        replace(QUICK, score="posterior", neighbours=3),
        folder=tmp_path,
        progress=lambda stage, *_: stages.append(stage),
    )
    assert not [stage for stage in stages if stage.startswith("training")]


def test_signal_to_noise_ratios_side_by_side_are_warned_of(
    sound: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    def under(*noises: str) -> Dataset:
        clips = [
            replace(
                clip, machine=f"fan_{noise}", machine_id=clip.machine, attributes={"snr": noise}
            )
            for clip, noise in zip(sound, cycle(noises), strict=False)
        ]
        return replace(sound, clips=tuple(clips))

    quick = replace(QUICK, epochs=1)
    fit(under("0_dB"), quick)
    assert "signal-to-noise" not in caplog.text
    fit(under("0_dB", "6_dB"), quick)
    assert "of several signal-to-noise ratios, 0_dB, 6_dB: give one folder" in caplog.text


def test_each_clip_is_scored_by_itself(fitted: SelfSupervised, sound: Dataset) -> None:
    test = list(sound.where(split="test"))
    together = fitted.score(test).columns
    for method, column in fitted.score(test[::-1][:3]).columns.items():
        assert column == pytest.approx(together[method][::-1][:3], abs=1e-5)
    assert len(fitted.score([]).columns["distance"]) == 0


def test_development_and_additional_training_data_are_learnt_together(challenge: Dataset) -> None:
    system = fit(challenge, replace(QUICK, epochs=1, crop_seconds=None))
    assert [machine_id for _, machine_id in system.machine_keys] == [
        "section_00",
        "section_01",
        "section_03",
    ]
    assert system.classifiers_[0].sizes.attributes == 2
    without = fit(challenge, replace(QUICK, epochs=1, auxiliary=False))
    assert without.classifiers_[0].sizes.attributes == 0


def test_the_maps_show_every_clip_before_and_after(fitted: SelfSupervised, sound: Dataset) -> None:
    test = sound.where(split="test")
    maps = fitted.embedding_maps(test)
    assert [stage.shape for stage in maps.stages.values()] == [(len(test), 128), (len(test), 16)]


def test_rows_of_features_are_log_mel_alone_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = open_dataset(machines.write_arrays(tmp_path))
    with caplog.at_level(logging.WARNING):
        system = fit(arrays)
    assert "tgram left out" in caplog.text
    assert system.classifiers_[0].sizes.features == ("logmel",)
    assert system.classifiers_[0].sizes.bands == machines.DIMENSIONS
    assert np.isfinite(system.score(arrays.where(split="test")).columns["distance"]).all()
    with pytest.raises(DataError, match="wants recordings"):
        fit(arrays, replace(QUICK, features=("tgram",)))


def test_fine_tuning_is_a_step_of_the_run(sound: Dataset, wav2vec2: Path, tmp_path: Path) -> None:
    from thrum.systems.self_supervised.config import FineTuning

    config = replace(
        QUICK,
        features=("wav2vec2",),
        wav2vec2=wav2vec2,
        fine_tuned=True,
        fine_tuning=FineTuning(epochs=1, learning_rate=3e-3, crop_seconds=0.5),
        epochs=1,
    )
    stages: list[str] = []
    system = fit(
        sound, config, folder=tmp_path / "work", progress=lambda stage, *_: stages.append(stage)
    )
    assert "fine-tuning wav2vec 2.0" in stages
    assert system.wav2vec2_ is not None
    before = Wav2Vec2Features.load(wav2vec2)
    assert system.wav2vec2_.settings != before.settings
    system.save(tmp_path)
    test = sound.where(split="test")
    assert same(load_system(tmp_path, device="cpu").score(test), system.score(test))
    with pytest.raises(ConfigError, match="fine_tuned wants wav2vec 2.0"):
        Config(fine_tuned=True)


@pytest.mark.parametrize(
    "features", [("tgram",), ("wav2vec2",), ("logmel", "wav2vec2"), ("logmel", "tgram", "wav2vec2")]
)
def test_any_features_side_by_side(
    features: tuple[str, ...], sound: Dataset, wav2vec2: Path, tmp_path: Path
) -> None:
    weights = wav2vec2 if "wav2vec2" in features else None
    config = Config(**{**vars(QUICK), "features": features, "wav2vec2": weights, "epochs": 1})
    system = fit(sound, config, folder=tmp_path / "work")
    test = sound.where(split="test")
    scores = system.score(test)
    assert system.classifiers_[0].network.standardise.num_features == 128 * len(features)
    system.save(tmp_path)
    assert same(load_system(tmp_path, device="cpu").score(test), scores)


def test_wav2vec2_lies_on_the_frames_of_log_mel(
    sound: Dataset, wav2vec2: Path, tmp_path: Path
) -> None:
    from thrum.systems.self_supervised.wav2vec2 import Wav2Vec2Features

    inputs = Inputs(
        list(sound)[:2],
        features=["logmel", "wav2vec2"],
        folder=tmp_path,
        wav2vec2=Wav2Vec2Features.load(wav2vec2),
    )
    for length in (100, 1024, 8000, 19200):
        batch = inputs.batch([0, 1], [0, 200], length)
        assert batch["logmel"].shape[2] == batch["wav2vec2"].shape[2]


def test_frames_are_read_off_straight_lines_between_them() -> None:
    frames = np.arange(10, dtype=np.float16)[:, None] * np.array([1.0, -2.0], np.float16)
    centres = 0.0125 + 0.02 * np.arange(10)
    values = interpolated(frames, centres + 0.005)
    assert values[:-1, 0] == pytest.approx(np.arange(9) + 0.25, abs=1e-6)
    assert values[:, 1] == pytest.approx(-2 * values[:, 0], abs=1e-6)
    assert interpolated(frames, np.array([0.0, 9.0]))[:, 0].tolist() == [0.0, 9.0]


def test_a_stretch_goes_on_at_the_beginning_of_a_short_clip(sound: Dataset, tmp_path: Path) -> None:
    inputs = Inputs(list(sound)[:1], features=["tgram"], folder=tmp_path)
    whole = inputs.batch([0], [0], int(inputs.lengths[0]))["tgram"]
    longer = inputs.batch([0], [100], 2 * int(inputs.lengths[0]))["tgram"]
    torch.testing.assert_close(longer, torch.roll(whole, -100, dims=1).repeat(1, 2))


def test_fine_tuning_learns_and_is_what_the_system_then_uses(
    sound: Dataset, wav2vec2: Path, tmp_path: Path
) -> None:
    from thrum.systems.self_supervised.config import FineTuning
    from thrum.systems.self_supervised.fine_tuning import fine_tune
    from thrum.systems.self_supervised.wav2vec2 import read_network

    settings = FineTuning(epochs=4, learning_rate=3e-3, batch_size=8, crop_seconds=0.5)
    train = sound.where(split="train")
    losses = fine_tune(train, tmp_path / "a", weights=wav2vec2, config=settings, device="cpu")
    again = fine_tune(train, tmp_path / "b", weights=wav2vec2, config=settings, device="cpu")
    assert losses == again
    assert losses[-1] < losses[0]
    before, after = (read_network(folder).state_dict() for folder in (wav2vec2, tmp_path / "a"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any(name.startswith("feature_extractor") for name in moved)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"epochs": 0}, "epochs is 0, wanted at least 1"),
        ({"batch_size": 0}, "batch_size is 0, wanted at least 1"),
        ({"crop_seconds": -1.0}, "crop_seconds is -1.0, wanted more than 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, wanted more than 0"),
    ],
)
def test_fine_tuning_refuses_what_cannot_be(setting: dict[str, float], said: str) -> None:
    from thrum.systems.self_supervised.config import FineTuning

    with pytest.raises(ConfigError, match=said):
        FineTuning(**setting)


def test_weights_that_are_not_there_or_of_another_model(wav2vec2: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from thrum.systems.self_supervised.wav2vec2 import read_network

    with pytest.raises(WeightsError, match=r"no config\.json"):
        read_network(tmp_path)
    (tmp_path / "config.json").write_bytes((wav2vec2 / "config.json").read_bytes())
    tensors = load_file(wav2vec2 / "model.safetensors")
    name = next(name for name in tensors if "feed_forward" in name)
    save_file(
        {key: value for key, value in tensors.items() if key != name},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(WeightsError, match="lacks 1 tensors"):
        read_network(tmp_path)


def test_words_that_are_wrong(sound: Dataset, fitted: SelfSupervised, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        create_system("self-supervised").score(sound)
    with pytest.raises(ConfigError, match="one, two or three different"):
        Config(features=("logmel", "logmel"))
    with pytest.raises(ConfigError, match="features do not hold"):
        Config(wav2vec2=tmp_path)
    with pytest.raises(ConfigError, match="learning_rate is -1, wanted more than 0"):
        Config(learning_rate=-1)
    with pytest.raises(DataError, match="wants two of them"):
        fit(sound.where(machine="machine0"))
    with pytest.raises(DataError, match="was not learnt"):
        fitted.score([replace(sound.clips[0], machine="other")])
    fitted.save(tmp_path)
    description = (tmp_path / "model.json").read_text().replace('"bands": 128', '"bands": 64')
    (tmp_path / "model.json").write_text(description)
    with pytest.raises(StorageError, match="is damaged|does not hold the system"):
        load_system(tmp_path)
