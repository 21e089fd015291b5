"""Simulated datasets: decided by a seed, at the stated noise, on disk and in memory alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thrum
from thrum import audio, storage
from thrum.datasets.synthetic import (
    DEMO,
    FAULTS,
    KINDS,
    Condition,
    SyntheticConfig,
    active_power,
    draw_machine,
    plan,
    render,
    simulate,
    simulate_scene,
    write_dataset,
)
from thrum.detectors import create_detector
from thrum.errors import ConfigError
from thrum.evaluation.metrics import auc
from thrum.types import Domain

SMALL = SyntheticConfig(
    kinds=("fan", "valve"),
    individuals=2,
    train_clips=3,
    test_normal_clips=2,
    test_anomaly_clips=4,
    duration_seconds=1.0,
)
DOMAINS = replace(SMALL, domains=True, target_train_clips=1, naming=2022)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 12.0])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_the_signal_to_noise_ratio_is_as_stated(kind: str, snr_db: float, domain: Domain) -> None:
    scene = simulate_scene(
        draw_machine(kind, 0, seed=0),
        Condition(70, 60, domain),
        seed=1,
        duration_seconds=4.0,
        snr_db=snr_db,
    )
    noise = float(np.mean(scene.noise.astype(np.float64) ** 2))
    assert 10 * np.log10(active_power(scene.machine, 16000) / noise) == pytest.approx(
        snr_db, abs=0.5
    )


def test_active_power_leaves_silence_out() -> None:
    sound = np.zeros(16000, dtype=np.float32)
    sound[:1600] = 0.5  # two frames of 50 ms in a second
    assert active_power(sound, 16000) == pytest.approx(0.25)
    assert active_power(np.full(16000, 0.1, dtype=np.float32), 16000) == pytest.approx(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_all(kind: str) -> None:
    machine = draw_machine(kind, 0, seed=0)
    settings: dict[str, Any] = {"fault": "looseness", "severity": 0.7, "duration_seconds": 1.0}
    first = simulate(machine, Condition(80, 60), seed=1, **settings)
    assert first.dtype == np.float32
    assert first.shape == (16000,)
    again = simulate(draw_machine(kind, 0, seed=0), Condition(80, 60), seed=1, **settings)
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(simulate(machine, Condition(80, 60), seed=2, **settings), first)
    assert draw_machine(kind, 1, seed=0) != machine
    assert draw_machine(kind, 0, seed=1) != machine


@pytest.mark.parametrize("kind", ["slider", "valve"])
def test_a_clip_that_only_hears_a_machine_rest_is_sound(kind: str) -> None:
    machine = draw_machine(kind, 0, seed=0)
    for seed in range(10):
        clip = simulate(machine, Condition(30, 60), seed=seed, duration_seconds=0.1)
        assert np.isfinite(clip).all()
        assert np.std(clip) > 0.005


def test_a_fault_changes_the_machine_and_leaves_the_hall_as_it_is() -> None:
    machine = draw_machine("gearbox", 0, seed=0)
    well, mild, ill = (
        simulate_scene(
            machine,
            Condition(80, 60),
            fault="bearing",
            severity=severity,
            seed=1,
            duration_seconds=2.0,
        )
        for severity in (0.0, 0.01, 1.0)
    )
    assert well.sources == ill.sources
    assert np.corrcoef(well.noise, ill.noise)[0, 1] == pytest.approx(1)
    assert np.corrcoef(well.machine, mild.machine)[0, 1] > 0.999
    assert np.corrcoef(well.machine, ill.machine)[0, 1] < 0.98


def test_a_clip_is_the_same_whatever_else_is_generated() -> None:
    small = {clip.path: clip for clip in plan(SMALL)}
    larger = replace(SMALL, kinds=tuple(KINDS), individuals=3, train_clips=7, test_anomaly_clips=9)
    assert small.items() <= {clip.path: clip for clip in plan(larger)}.items()
    clip = small[plan(SMALL)[5].path]
    np.testing.assert_array_equal(render(clip, larger), render(clip, SMALL))
    assert plan(replace(SMALL, seed=1))[5].seed != clip.seed


def test_faults_come_in_turn_and_only_in_anomalies() -> None:
    for clip in plan(DEMO):
        if clip.label == "normal":
            assert (clip.fault, clip.severity) == (None, 0.0)
        else:
            assert clip.fault in FAULTS[clip.kind]
            assert 0.3 <= clip.severity <= 1
    for kind in DEMO.kinds:
        own = [clip.fault for clip in plan(DEMO) if clip.kind == kind and clip.fault]
        assert {own.count(fault) for fault in FAULTS[kind]} == {len(own) // len(FAULTS[kind])}


def test_the_target_domain_has_other_conditions() -> None:
    clips = plan(DOMAINS)
    by_domain = {
        domain: [clip for clip in clips if clip.condition.domain == domain]
        for domain in ("source", "target")
    }
    speeds = {
        domain: {clip.condition.speed_percent for clip in own} for domain, own in by_domain.items()
    }
    assert max(speeds["source"]) < min(speeds["target"])
    of_one = [clip for clip in by_domain["target"] if (clip.kind, clip.index) == ("fan", 0)]
    counts = [
        sum((clip.split, clip.label) == key for clip in of_one)
        for key in (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
    ]
    assert counts == [1, 1, 2]


def test_a_level_threshold_tells_nothing() -> None:
    config = replace(
        SMALL,
        kinds=("pump",),
        individuals=1,
        test_normal_clips=60,
        test_anomaly_clips=60,
        duration_seconds=0.5,
    )
    test = [clip for clip in plan(config) if clip.split == "test"]
    levels = [np.mean(render(clip, config) ** 2) for clip in test]
    assert 0.35 < auc([clip.label == "anomaly" for clip in test], levels) < 0.65
    # The recorder's level is drawn before it is known what it will record.
    machine = draw_machine("pump", 0, seed=0)
    well, ill = (
        simulate(machine, Condition(80, 60), fault="leak", severity=s, seed=3) for s in (0.0, 1.0)
    )
    assert np.mean(ill**2) == pytest.approx(np.mean(well**2), rel=1e-3)


def test_a_nearest_neighbour_finds_some_faults_and_misses_some() -> None:
    import torch

    config = replace(
        SMALL,
        kinds=("valve",),
        individuals=1,
        train_clips=40,
        test_normal_clips=24,
        test_anomaly_clips=40,
        duration_seconds=3.0,
    )
    clips = plan(config)
    embedder = thrum.create_embedder("logmel")
    means = [embedder.scenes(torch.from_numpy(render(clip, config))[None])[0] for clip in clips]
    vectors = torch.stack(means).numpy()
    train = np.array([clip.split == "train" for clip in clips])
    scores = create_detector("knn").fit(vectors[train]).anomaly_score(vectors[~train])
    labels = [clip.label == "anomaly" for clip in clips if clip.split == "test"]
    assert 0.6 < auc(labels, scores) < 0.97


@pytest.mark.parametrize("config", [SMALL, DOMAINS], ids=["2020", "2022"])
def test_what_is_written_is_read_back(config: SyntheticConfig, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    clips = write_dataset(
        config, tmp_path, progress=lambda stage, done, total: told.append((done, total))
    )
    assert told[-1] == (len(clips), len(clips))
    dataset = thrum.open_dataset(tmp_path)
    assert dataset.name == tmp_path.name
    assert len(dataset) == len(clips) == 4 * 9
    planned = {tmp_path / clip.path: clip for clip in clips}
    for clip in dataset:
        expected = planned[clip.path]
        assert clip.machine_key == (expected.kind, expected.machine_id)
        assert (clip.split, clip.label) == (expected.split, expected.label)
        if config.naming == 2022:
            condition = expected.condition
            assert clip.domain == condition.domain
            assert clip.attributes == {
                "speed": str(condition.speed_percent),
                "load": str(condition.load_percent),
            }
    some = clips[-1]
    sound, rate = audio.read(tmp_path / some.path)
    assert rate == config.sample_rate
    np.testing.assert_allclose(sound, render(some, config), atol=2**-15)


def test_the_truth_lies_beside_the_recordings(tmp_path: Path) -> None:
    clips = write_dataset(SMALL, tmp_path)
    rows = storage.read_json(tmp_path / "simulation.json")["clips"]
    assert [row["path"] for row in rows] == [str(clip.path) for clip in clips]
    row, clip = rows[-1], clips[-1]
    again = simulate(
        draw_machine(row["machine"], clip.index, seed=SMALL.seed),
        Condition(row["speed_percent"], row["load_percent"], row["domain"]),
        fault=row["fault"],
        severity=row["severity"],
        seed=row["seed"],
        snr_db=row["snr_db"],
        duration_seconds=1.0,
    )
    np.testing.assert_array_equal(again, render(clip, SMALL))


def test_a_resumed_write_is_equal_and_keeps_what_is_there(tmp_path: Path) -> None:
    clips = write_dataset(SMALL, tmp_path)
    paths = [tmp_path / clip.path for clip in clips]
    before = [path.read_bytes() for path in paths]
    kept = paths[0].stat().st_mtime_ns
    for path in paths[3:20]:
        path.unlink()
    write_dataset(SMALL, tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert paths[0].stat().st_mtime_ns == kept


def test_another_simulation_is_not_written_over(tmp_path: Path) -> None:
    write_dataset(SMALL, tmp_path / "a")
    with pytest.raises(ConfigError, match=r"holds a simulation with snr_db 6\.0, 0\.0 was asked"):
        write_dataset(replace(SMALL, snr_db=0.0), tmp_path / "a")
    description = storage.read_json(tmp_path / "a" / "simulation.json")
    storage.write_json(tmp_path / "a" / "simulation.json", {**description, "simulator": 0})
    with pytest.raises(ConfigError, match="written by simulator 0"):
        write_dataset(SMALL, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        write_dataset(SMALL, tmp_path / "b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ("fan", "pmup")}, "'pmup' is unknown"),
        ({"kinds": ()}, "no kind of machine"),
        ({"kinds": ("fan", "fan")}, "named twice"),
        ({"individuals": 0}, "individuals is 0, wanted 1"),
        ({"train_clips": 0}, "train_clips is 0"),
        ({"duration_seconds": 0.0}, "duration_seconds is 0"),
        ({"sample_rate": 100}, "sample_rate is 100"),
        ({"snr_db": float("nan")}, "snr_db is nan"),
        ({"severity": (0.8, 0.2)}, "severity is"),
        ({"severity": (0.0, 2.0)}, "severity is"),
        ({"domains": True}, "naming 2022"),
        ({"domains": True, "naming": 2022, "target_train_clips": 4}, "target_train_clips is 4"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **settings)


def test_bad_arguments_are_named() -> None:
    fan = draw_machine("fan", 0, seed=0)
    with pytest.raises(ConfigError, match="a fan has no fault 'leak'"):
        simulate(fan, Condition(80, 60), fault="leak", severity=0.5, seed=0)
    with pytest.raises(ConfigError, match="severity is 1.5"):
        simulate(fan, Condition(80, 60), fault="bearing", severity=1.5, seed=0)
    with pytest.raises(ConfigError, match="speed_percent=0"):
        simulate(fan, Condition(0, 60), seed=0)
    with pytest.raises(ConfigError, match="'toaster'"):
        draw_machine("toaster", 0, seed=0)
