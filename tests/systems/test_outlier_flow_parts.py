from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from thrum.errors import ConfigError, DataError
from thrum.losses.flow_nll import FlowNLL, latent_surprise
from thrum.systems.outlier_flow import Config
from thrum.systems.outlier_flow.batches import (
    Batch,
    balanced_rows,
    chosen_for_mixup,
    mixed,
    steps_of,
)
from thrum.systems.outlier_flow.combining import Pair, best_by_test_labels, columns_of, fused
from thrum.systems.outlier_flow.fitting import conditions_for, labelled
from thrum.systems.outlier_flow.frontend import MelAndPower, segment_starts
from thrum.systems.outlier_flow.inlier import Choice, InlierModels, possible_data
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape
from thrum.systems.outlier_flow.roles import latent_means, parameters_of, targets_of
from thrum.systems.outlier_flow.scoring import Measured, weighted_means
from thrum.systems.outlier_flow.variants import ENSEMBLES, VARIANTS
from thrum.types import Clip, Domain, Label

RATE = 16000


def clip(
    machine: str = "fan",
    machine_id: str = "section_00",
    *,
    domain: Domain | None = "source",
    label: Label = "normal",
    **attributes: str,
) -> Clip:
    return Clip(Path("x.wav"), machine, machine_id, "train", domain, label, attributes)


# Front end


def tone(hz: float, seconds: float = 2.0, amplitude: float = 0.1) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return amplitude * np.sin(2 * np.pi * hz * time)


def heard(samples: np.ndarray, config: Config | None = None) -> torch.Tensor:
    embedder = MelAndPower(config or Config())
    return embedder.frames(torch.from_numpy(samples.astype(np.float32))[None])[0][0]


def test_the_papers_spectrogram() -> None:
    found = heard(tone(1000, seconds=5.0))
    assert found.shape == (1 + 5 * RATE // 256, 224 + 1)  # 16 ms hop
    # 1 kHz lies at (15 - 0.75) / (44.9 - 0.75) of the Slaney mels from 50 to 7800 Hz
    assert found[50, :224].argmax() == pytest.approx(224 * 0.3228, abs=2)


def test_gain_and_offset_of_the_recording_do_not_matter() -> None:
    noise = np.random.default_rng(0).normal(size=RATE)
    torch.testing.assert_close(heard(noise), heard(0.05 * noise + 0.3), atol=0.01, rtol=0)


def test_magnitudes_are_the_roots_of_power_before_bands_are_summed() -> None:
    """Twice the sound's second partial moves a magnitude by its share, and no decibel enters."""
    config = Config(spectrum="magnitude")
    found, levels = heard(tone(1000), config), heard(tone(1000))
    assert found[50, :224].min() >= 0
    assert found[50, :224].argmax() == levels[50, :224].argmax()
    torch.testing.assert_close(found[:, 224], levels[:, 224])  # the power above 4 kHz stays in dB
    assert MelAndPower(config).settings != MelAndPower(Config()).settings


def test_power_is_that_above_four_kilohertz() -> None:
    low, middle, high = (heard(tone(hz))[30:90, -1].mean() for hz in (3300, 3750, 4500))
    assert high - middle == pytest.approx(6.0, abs=0.3)  # half the gain
    assert high - low > 60
    torch.testing.assert_close(heard(tone(7000))[30:90, -1].mean(), high, atol=0.2, rtol=0)


def test_silence_is_finite() -> None:
    assert torch.isfinite(heard(np.zeros(100))).all()


@pytest.mark.parametrize(("length", "count"), [(626, 5), (400, 3), (313, 1), (10, 1)])
def test_segments_cover_the_clip_and_overlap_by_three_quarters(length: int, count: int) -> None:
    starts = segment_starts(length, 313)
    assert len(starts) == count
    assert starts[0] == 0
    assert starts[-1] == max(0, length - 313)
    assert (np.diff(starts) <= 313 / 4 + 1).all()


# Roles


def test_machine_types_are_the_targets() -> None:
    clips = [clip("fan"), clip("fan", "section_01"), clip("valve")]
    found = {target.name: target.keys for target in targets_of(clips)}
    fans = (("fan", "section_00"), ("fan", "section_01"))
    assert found == {"fan": fans, "valve": (("valve", "section_00"),)}


def test_with_one_machine_type_its_ids_stand_against_each_other() -> None:
    clips = [clip("ToyCar", "id_01"), clip("ToyCar", "id_02")]
    assert [target.name for target in targets_of(clips)] == ["ToyCar/id_01", "ToyCar/id_02"]


def test_one_machine_alone_is_said() -> None:
    with pytest.raises(DataError, match=r"got fan/section_00: train with the clips of another"):
        targets_of([clip(), clip()])


def test_the_same_machines_under_another_noise_are_not_pseudo_anomalous() -> None:
    clips = [
        clip(f"{machine}_{snr}", snr=snr)
        for machine in ("fan", "pump")
        for snr in ("-6_dB", "6_dB")
        for _ in range(2)
    ]
    targets = {target.name: target for target in targets_of(clips)}
    assert list(targets) == ["fan_-6_dB", "fan_6_dB", "pump_-6_dB", "pump_6_dB"]
    _, labels = labelled(clips, targets["fan_6_dB"], "OE", "", Config())
    nan = np.nan
    np.testing.assert_array_equal(labels.target, [nan, nan, 1, 1, nan, nan, 0, 0])
    assert steps_of(labels.target, 2) == 2
    drawn = np.concatenate(list(balanced_rows(labels.target, 2, np.random.default_rng(0))))
    assert set(drawn.tolist()) == {2, 3, 6, 7}


def test_one_machine_type_under_several_noises_stands_against_its_sisters() -> None:
    clips = [
        clip(f"fan_{snr}", machine_id, snr=snr)
        for snr in ("0_dB", "6_dB")
        for machine_id in ("id_00", "id_02")
    ]
    names = [target.name for target in targets_of(clips)]
    assert names == ["fan_0_dB/id_00", "fan_0_dB/id_02", "fan_6_dB/id_00", "fan_6_dB/id_02"]
    with pytest.raises(DataError, match="got fan_6_dB/id_00: .* of the same signal-to-noise ratio"):
        targets_of(clips[:3])


def test_machine_types_that_are_no_targets_are_pseudo_anomalous() -> None:
    clips = [clip("fan"), clip("pump"), clip("valve")]
    (valve,) = targets_of(clips, ["valve"])
    assert valve.keys == (("valve", "section_00"),)
    _, labels = labelled(clips, valve, "OE", "", Config())
    np.testing.assert_array_equal(labels.target, [0, 0, 1])
    with pytest.raises(
        DataError, match="names slider, but the machine types are: fan, pump, valve"
    ):
        targets_of(clips, ["valve", "slider"])


def test_parameters_are_the_attributes_that_vary() -> None:
    clips = [clip(speed="60", load="3"), clip(speed="70", load="3")]
    assert parameters_of(clips) == ["speed"]


def test_without_attributes_the_domain_is_the_parameter() -> None:
    assert parameters_of([clip(), clip(domain="target")]) == ["domain"]
    assert parameters_of([clip(speed="60"), clip(speed="60", domain="target")]) == ["domain"]
    assert parameters_of([clip(), clip()]) == []


def test_means_are_five_deviations_apart() -> None:
    """k = 5 / 10: speeds 60, 70 and 90 about their mean."""
    found = latent_means(["60", "70", "90", "60"], separation=5.0)
    np.testing.assert_allclose(found, (np.array([60, 70, 90, 60]) - 220 / 3) / 2)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["28V", "31V", "28V"], [-2.5, 2.5, -2.5]),
        (["B", "A", "C"], [0.0, -5.0, 5.0]),
        (["1m", "2V"], [-2.5, 2.5]),  # of two units: categories
        (["-0.5", "1.5"], [-2.5, 2.5]),
        (["7", "7"], [0.0, 0.0]),
    ],
)
def test_quantities_are_numbers_and_the_rest_integers(
    values: list[str], wanted: list[float]
) -> None:
    np.testing.assert_allclose(latent_means(values, separation=5.0), wanted)


# What is told of each clip


def test_attributes_of_pseudo_anomalous_clips_are_zero() -> None:
    clips = [clip(speed="60"), clip(speed="70"), clip("valve", speed="60")]
    fan = targets_of(clips)[0]
    shape, labels = labelled(clips, fan, "SerialOE-DFlow", "speed", Config())
    assert (shape.classes, shape.sections, shape.invariant) == (2, False, True)
    np.testing.assert_array_equal(labels.target, [1, 1, 0])
    np.testing.assert_array_equal(labels.classes, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(labels.means, [-2.5, 2.5, 0])


def test_sections_are_learnt_where_there_are_several() -> None:
    clips = [clip(speed="60"), clip("fan", "section_01", speed="70"), clip("valve")]
    shape, labels = labelled(clips, targets_of(clips)[0], "SerialOE-Flow", "", Config())
    assert (shape.classes, shape.sections, shape.invariant) == (2, True, False)
    np.testing.assert_array_equal(labels.classes, [[1, 0], [0, 1], [0, 0]])
    assert labels.means is None


def test_without_domain_invariance_every_combination_of_attributes_is_a_class() -> None:
    clips = [clip(a="1", b="1"), clip(a="1", b="2"), clip(a="2", b="1"), clip("valve")]
    shape, _ = labelled(clips, targets_of(clips)[0], "SerialOE-Flow", "", Config())
    assert shape.classes == 3


def test_a_variant_without_serial_has_no_classes() -> None:
    clips = [clip(speed="60"), clip(speed="70"), clip("valve")]
    shape, labels = labelled(clips, targets_of(clips)[0], "OE-DFlow", "speed", Config())
    assert (shape.classes, labels.classes.shape) == (0, (3, 0))


def test_one_attribute_value_is_said(caplog: pytest.LogCaptureFixture) -> None:
    clips = [clip(speed="60"), clip(speed="60"), clip("valve")]
    assert conditions_for("SerialOE-DFlow", clips[:2], name="fan") == [""]
    shape, labels = labelled(clips, targets_of(clips)[0], "SerialOE-DFlow", "", Config())
    assert shape == Shape(0, False, False)
    assert labels.means is None
    assert "fan has no attribute of two values" in caplog.text
    assert "fan has one section and one attribute value" in caplog.text


# Batches


def test_batches_are_half_target_and_go_over_it_once() -> None:
    target = np.repeat([1.0, 0.0], [25, 70]).astype(np.float32)
    batches = list(balanced_rows(target, 16, np.random.default_rng(0)))
    assert len(batches) == steps_of(target, 16) == 4
    for rows in batches:
        assert target[rows].mean() == 0.5
    rows = np.concatenate(batches)
    assert sorted(rows[rows < 25]) == list(range(25))
    assert len(set(rows[rows >= 25])) == 25  # none twice


@pytest.mark.parametrize(("own", "others"), [(1, 1), (3, 1), (2, 50)])
def test_few_clips_make_a_batch_too(own: int, others: int) -> None:
    target = np.repeat([1.0, 0.0], [own, others]).astype(np.float32)
    (rows,) = balanced_rows(target, 128, np.random.default_rng(0))
    assert len(rows) == 2 * own


def test_an_epoch_goes_on_until_it_has_the_least_number_of_batches() -> None:
    """On eleven clips of one machine an epoch was one step: twelve epochs taught a network nothing."""
    target = np.repeat([1.0, 0.0], [5, 40]).astype(np.float32)
    batches = list(balanced_rows(target, 4, np.random.default_rng(0), least=8))
    assert len(batches) == steps_of(target, 4, 8) == 9  # whole rounds of three
    rows = np.concatenate(batches)
    assert np.bincount(rows[rows < 5]).tolist() == [3] * 5
    assert len(set(rows[rows >= 5].tolist())) == 15  # others are drawn in turn
    assert Config().least_steps == 1024 // 64


def batch() -> Batch:
    """Two target clips of two classes and conditions, one pseudo-anomalous clip."""
    return Batch(
        levels=torch.tensor([1.0, 2.0, 10.0])[:, None, None].expand(3, 2, 4),
        target=torch.tensor([1.0, 1.0, 0.0]),
        classes=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
        pure=torch.tensor([True, True, False]),
        means=torch.tensor([-2.5, 2.5, 0.0]),
    )


def test_mixup_by_hand() -> None:
    weights, partners = torch.tensor([0.25, 0.75, 1.0]), torch.tensor([1, 2, 0])
    found = mixed(batch(), weights, partners)
    torch.testing.assert_close(found.levels[:, 0, 0], torch.tensor([1.75, 4.0, 10.0]))
    torch.testing.assert_close(found.target, torch.tensor([1.0, 0.75, 0.0]))
    torch.testing.assert_close(found.classes, torch.tensor([[0.25, 0.75], [0.0, 0.75], [0.0, 0.0]]))
    assert found.pure.tolist() == [True, False, False]  # normal in both | half strange | strange
    torch.testing.assert_close(found.means, torch.tensor([2.5, 2.5, 0.0]))  # the dominant one's


def test_a_clip_left_unmixed_is_pure_whatever_its_partner() -> None:
    found = mixed(batch(), torch.ones(3), torch.tensor([2, 2, 0]))
    assert found.pure.tolist() == [True, True, False]
    torch.testing.assert_close(found.levels, batch().levels)


def test_power_is_mixed_as_that_of_mixed_waveforms() -> None:
    """Of two noises, whose phases have nothing to do with each other."""
    random = np.random.default_rng(0)
    own, other = (random.normal(size=4 * RATE) * scale for scale in (1.0, 3.0))
    for spectrum, of in (("log", "decibels"), ("magnitude", "amplitudes")):
        power = [heard_power(wave, spectrum) for wave in (own, other, 0.3 * own + 0.7 * other)]
        values = torch.stack(power[:2])[..., None]  # (2, F, 1)
        given = replace(batch(), levels=values, target=torch.ones(2), classes=torch.ones(2, 1))
        given = replace(given, pure=torch.ones(2, dtype=torch.bool), means=None)
        found = mixed(given, torch.tensor([0.3, 1.0]), torch.tensor([1, 0]), of=of)
        torch.testing.assert_close(found.levels[0, :, 0], power[2], rtol=0.05, atol=0.3)
        torch.testing.assert_close(found.levels[1], values[1])


def heard_power(wave: np.ndarray, spectrum: str) -> torch.Tensor:
    """Return the mean power of bands, in decibels or as amplitudes."""
    bands = np.abs(np.fft.rfft(wave.reshape(-1, 400)))[:, 1:161].reshape(-1, 8, 20)
    power = torch.from_numpy(np.square(bands).mean(axis=(0, 2)))
    return 10 * torch.log10(power) if spectrum == "log" else power.sqrt()


def test_serial_oe_mixes_all_of_a_batch_or_none_and_ever_more_often() -> None:
    config, random = Config(mixup="batches", mixup_share=1.0), np.random.default_rng(0)
    shares = []
    for done in (0.0, 0.25, 0.5, 0.9):
        chosen = np.array([chosen_for_mixup(8, config, random, done=done) for _ in range(1000)])
        assert set(chosen.sum(axis=1)) <= {0, 8}
        shares.append(chosen.mean())
    assert shares[0] == 0
    assert shares[2:] == [1, 1]
    assert shares[1] == pytest.approx(0.5, abs=0.06)


# The loss


def network(variant: str, shape: Shape, **settings: object) -> OutlierFlowNetwork:
    torch.manual_seed(0)
    config = Config(width=4, flow_steps=2, **settings)  # type: ignore[arg-type]
    return OutlierFlowNetwork(config, VARIANTS[variant], shape)


def noise_batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(3, 40, 33), batch().target, batch().classes, *_rest())


def _rest() -> tuple[torch.Tensor, torch.Tensor | None]:
    return batch().pure, batch().means


def parts(net: OutlierFlowNetwork, given: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps and embeddings, without a step of the running statistics."""
    maps = net.maps(given.levels)
    return maps, maps.mean(dim=(2, 3))


def test_eq_2_and_5_and_8_with_their_weights() -> None:
    net = network("SerialOE-DFlow", Shape(2, False, True), section_weight=5.0, flow_weight=1e-3)
    given = noise_batch()
    assert net.tied == 1  # 8 of 512 at width 4, at the least one
    maps, embeddings = parts(net, given)
    machine = functional.binary_cross_entropy_with_logits(
        net.machine_loss.logits(embeddings)[:, 0], given.target
    )
    assert net.attribute_loss is not None
    attributes = functional.binary_cross_entropy_with_logits(
        net.attribute_loss.logits(embeddings), given.classes
    )
    latents, log_determinants = net.flow(maps[:2])  # type: ignore[misc]
    flow = FlowNLL()(latents, log_determinants, torch.tensor([[-2.5], [2.5]]))
    torch.testing.assert_close(net.loss(given), machine + 5 * attributes + 1e-3 * flow)


def test_eq_1_with_sections() -> None:
    net = network("SerialOE-Flow", Shape(2, True, False), flow_weight=0.0)
    given = noise_batch()
    _, embeddings = parts(net, given)
    assert net.section_loss is not None
    sections = net.section_loss(embeddings, given.classes, given.target)
    machine = net.machine_loss(embeddings, given.target[:, None])
    torch.testing.assert_close(net.loss(given), machine + 5 * sections)


def test_oe_is_the_machines_loss_alone() -> None:
    net = network("OE", Shape(0, False, False))
    given = noise_batch()
    _, embeddings = parts(net, given)
    torch.testing.assert_close(net.loss(given), net.machine_loss(embeddings, given.target[:, None]))
    assert net.flow is None


def test_the_machine_by_the_embeddings_norm_alone() -> None:
    net = network("OE", Shape(0, False, False), machine_head="norm")
    given = noise_batch()
    _, embeddings = parts(net, given)
    layer = net.machine_loss.classifier
    logits = layer.weight[0, 0] * embeddings.norm(dim=1) + layer.bias[0]
    wanted = functional.binary_cross_entropy_with_logits(logits, given.target)
    torch.testing.assert_close(net.loss(given), wanted)


def test_the_flows_loss_reaches_the_feature_extractor_from_pure_clips_only() -> None:
    net = network("OE-Flow", Shape(0, False, False), flow_weight=1.0).eval()
    # A flow that only normalises and permutes gives all maps the same likelihood.
    for parameter in net.flow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    given = noise_batch()
    levels = given.levels.clone().requires_grad_()
    mixed_batch = Batch(levels, given.target, given.classes, given.pure, None)
    with_flow = torch.autograd.grad(net.loss(mixed_batch), levels)[0]
    net.flow_weight = 0.0
    without = torch.autograd.grad(net.loss(mixed_batch), levels)[0]
    moved = (with_flow - without).abs().amax(dim=(1, 2))
    assert moved[:2].min() > 1e-4
    assert moved[2] < 1e-7


def test_without_a_pure_clip_there_is_no_flow_loss() -> None:
    net = network("OE-Flow", Shape(0, False, False), flow_weight=1e6)
    given = noise_batch()
    none = Batch(given.levels, given.target, given.classes, torch.zeros(3, dtype=torch.bool), None)
    assert net.loss(none) < 10


def test_the_score_map_leaves_tied_latents_and_the_determinant_out() -> None:
    net = network("OE-DFlow", Shape(0, False, True)).eval()
    maps = net.maps(noise_batch().levels)
    found = net.surprise(maps)
    latents, _ = net.flow(maps)  # type: ignore[misc]
    assert found is not None
    torch.testing.assert_close(found, latent_surprise(latents[:, 1:]).mean(dim=1))
    assert found.shape == (3, 2, 2)


@pytest.mark.parametrize(("width", "tied"), [(64, 8), (16, 2), (8, 1), (2, 1)])
def test_the_same_part_of_the_channels_is_tied_at_every_width(width: int, tied: int) -> None:
    config = Config(width=width, flow_steps=1)
    assert OutlierFlowNetwork(config, VARIANTS["OE-DFlow"], Shape(0, False, True)).tied == tied


# From segments to clips


def test_weighted_means_by_hand() -> None:
    values, groups = np.array([1.0, 3.0, 10.0, 20.0]), np.array([0, 0, 1, 1])
    found = weighted_means(values, np.array([3.0, 1.0, 0.0, 0.0]), groups)
    np.testing.assert_allclose(found, [1.5, 15.0])  # silence: all alike


def measured(random: np.random.Generator, clips: int, centre: float = 0.0) -> Measured:
    embeddings = random.normal(centre, 1, size=(3 * clips, 4)).astype(np.float32)
    return Measured(embeddings, np.ones(3 * clips), np.repeat(np.arange(clips), 3), {})


def test_inlier_models_of_every_size_on_every_choice_of_data() -> None:
    normal = measured(np.random.default_rng(0), 20)
    everything = np.ones(60, bool)
    choices = {
        "both": Choice(normal.embeddings, everything),
        "pseudo-target": Choice(normal.embeddings[:30] + 1, ~everything),
    }
    models = InlierModels((1, 4)).fit(normal, choices)
    wanted = {f"{f}-{size}-{kind}" for f in ("gmm", "knn") for size in (1, 4) for kind in choices}
    assert models.training_.keys() == wanted
    strange = models.scores(measured(np.random.default_rng(1), 5, centre=6.0))
    for name, scores in strange.items():
        assert scores.min() > models.training_[name].max()
    restored = InlierModels.from_tensors((1, 4), "diagonal", models.tensors())
    for name, scores in restored.scores(measured(np.random.default_rng(1), 5)).items():
        own = models.scores(measured(np.random.default_rng(1), 5))[name]
        np.testing.assert_array_equal(scores, own)


def test_training_clips_are_not_their_own_neighbours() -> None:
    normal = measured(np.random.default_rng(0), 20)
    everything = {"both": Choice(normal.embeddings, np.ones(60, bool))}
    models = InlierModels((1,)).fit(normal, everything)
    assert models.training_["knn-1-both"].min() > 0.1
    assert models.scores(normal)["knn-1-both"].max() < 1e-5


@pytest.mark.parametrize("share", [0, 20])
def test_with_one_domain_all_clips_are_the_data(share: int) -> None:
    target = np.arange(20) < share
    assert possible_data(("source", "pseudo-target"), target, name="fan") == ("both",)


def test_with_two_domains_what_is_wanted_is_possible() -> None:
    data = Config().inlier_data
    assert possible_data(data, np.arange(20) < 3, name="fan") == data


def test_one_source_segment_alone_is_no_data_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        found = possible_data(("source", "pseudo-target"), np.arange(5) > 0, name="fan/id_00")
    assert found == ("both",)
    assert "fan/id_00 has one source segment only" in caplog.text


# Several scores to one


def test_scores_are_standardised_by_the_training_clips() -> None:
    big = Pair(np.array([0.0, 200.0]), np.array([300.0]))  # mean 100, deviation 100
    small = Pair(np.array([1.0, 3.0]), np.array([2.0]))  # mean 2, deviation 1
    found = fused({"big": big, "small": small})
    np.testing.assert_allclose(found.new, [1.0])  # (2 + 0) / 2
    np.testing.assert_allclose(found.training, [-1.0, 1.0])


def test_an_ensemble_appears_when_all_its_variants_are_there() -> None:
    pair = Pair(np.array([0.0, 1.0]), np.array([1.0]))
    members = {"gmm-1-both": pair, "knn-1-both": pair, "flow": pair}
    some = dict.fromkeys(ENSEMBLES["submission-3"], members)
    found = columns_of(some, lambda variant, member: True)
    assert "submission-3" in found
    assert not {"submission-1", "submission-2", "submission-4"} & found.keys()
    assert {"OE", "OE/gmm", "OE/knn", "OE/flow"} <= found.keys()


def test_test_labels_choose_the_members_that_rank_highest() -> None:
    labels = ["normal", "normal", "anomaly", "anomaly"]
    clips = [
        clip(domain=domain, label=label) for domain in ("source", "target") for label in labels
    ]  # type: ignore[arg-type]
    good, bad = np.array([0.0, 1, 2, 3] * 2), np.array([3.0, 2, 1, 0] * 2)
    none = np.zeros(0)
    members = {"knn-1-both": Pair(none, bad), "gmm-1-both": Pair(none, good)}
    key = ("fan", "section_00")
    found = best_by_test_labels({key: {"OE": members}}, {key: clips}, count=1)
    assert found == {"OE": {"gmm-1-both"}}
    unlabelled = [clip(label="normal")] * 8
    with pytest.raises(DataError, match="choose 'all', which looks at no label"):
        best_by_test_labels({key: {"OE": members}}, {key: unlabelled}, count=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "OE-flow"}, "variant is 'OE-flow', wanted one of OE, OE-Flow"),
        ({"width": 0}, "width is 0, wanted at least 1"),
        ({"hop_seconds": 0.0}, "hop_seconds is 0.0, wanted more than 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"mixup_share": 1.5}, "mixup_share is 1.5, wanted 0 to 1"),
        ({"inlier_sizes": ()}, "inlier_sizes is"),
        ({"inlier_data": ()}, "inlier_data is empty"),
        ({"flow_kernels": (3, 2)}, "flow_kernels is"),
        ({"least_steps": 0}, "least_steps is 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"hold_out": 1.0}, "hold_out is 1.0, wanted 0 to below 1"),
        ({"backbone": "resnet18.pth", "width": 16}, "weights are of width 64, got 16"),
        ({"high_hz": 9000.0}, "low_hz and high_hz are 50.0 and 9000.0"),
    ],
)
def test_impossible_settings_are_said(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)  # type: ignore[arg-type]
