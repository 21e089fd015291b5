"""Judgements: equal to the run's own scores, in the right words, and what is no clip of the machine said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import machines
import thrum
from monitoring_sound import faulty, well, written
from thrum.datasets import open_dataset
from thrum.errors import DataError, StorageError, UsageError
from thrum.monitoring import AlarmSettings, Monitor
from thrum.monitoring.conformal import p_values
from thrum.systems import load_system

NAME = "machine0/id_00"


@pytest.fixture
def monitor(run: Path) -> Monitor:
    return thrum.open_monitor(run, NAME, device="cpu")


def test_scores_are_the_runs_and_p_values_their_ranks(
    monitor: Monitor, run: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    paths = [written(tmp_path, f"{n}.wav", well(random)) for n in range(20)]
    judged = monitor.judge(paths)
    system = load_system(run, device="cpu")
    scores = system.score([judgement.clip for judgement in judged])
    wanted = scores.columns[scores.selected]
    assert [judgement.score for judgement in judged] == wanted.tolist()
    left_out = system.left_out_scores()[("machine0", "id_00")]
    assert [judgement.p for judgement in judged] == p_values(left_out, wanted).tolist()
    assert [judgement.file for judgement in judged] == list(map(str, paths))
    assert not judged.alarm


def test_a_new_process_judges_the_same(monitor: Monitor, run: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "new.wav", faulty(np.random.default_rng(4)))
    code = (
        "import sys, json, thrum\n"
        "judged = thrum.open_monitor(sys.argv[1], sys.argv[2], device='cpu').judge(sys.argv[3])\n"
        "print(json.dumps([judged[0].score, judged[0].p, judged[0].state]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, run, NAME, path], capture_output=True, text=True, check=True
    )
    judgement = monitor.judge(path)[0]
    assert json.loads(done.stdout) == [judgement.score, judgement.p, judgement.state]


def test_a_fault_is_suspicious_at_once_and_an_alarm_soon(monitor: Monitor, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    sounds = [well(random) for _ in range(10)] + [faulty(random) for _ in range(6)]
    judged = monitor.judge([written(tmp_path, f"{n:02d}.wav", s) for n, s in enumerate(sounds)])
    states = [judgement.state for judgement in judged]
    assert states[10] == "suspicious"
    assert states[-1] == "alarm"
    assert judged.alarm
    assert judged[-1].since in (5, 6)
    assert states[:10].count("alarm") == 0


def test_a_stream_goes_on_from_call_to_call(monitor: Monitor, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    paths = [written(tmp_path, f"{n}.wav", faulty(random)) for n in range(6)]
    stream = monitor.stream()
    one_by_one = [monitor.judge(path, stream=stream)[0].state for path in paths]
    assert one_by_one == [judgement.state for judgement in monitor.judge(paths)]
    assert one_by_one[-1] == "alarm"
    assert monitor.judge(paths[0])[0].state == "suspicious"  # a new stream has no memory


def test_samples_are_judged_as_the_file_they_come_from(monitor: Monitor, tmp_path: Path) -> None:
    path = written(tmp_path, "a.wav", faulty(np.random.default_rng(7)))
    samples, rate = thrum.audio.read(path)
    judgement = monitor.judge(samples, sample_rate=rate)[0]
    assert judgement.score == monitor.judge(path)[0].score
    with pytest.raises(UsageError, match="give sample_rate"):
        monitor.judge(samples)
    with pytest.raises(DataError, match=r"wanted \(S,\) floats"):
        monitor.judge(np.zeros((2, 5)), sample_rate=rate)


def test_clips_that_it_knows_are_scored_as_if_it_did_not(monitor: Monitor, data: Path) -> None:
    judged = monitor.judge(data / "machine0")
    left_out = monitor.baseline.left_out
    np.testing.assert_array_equal([judgement.score for judgement in judged], left_out)
    ranks = (left_out[None] >= left_out[:, None]).sum(axis=1) / len(left_out)
    np.testing.assert_array_equal([judgement.p for judgement in judged], ranks)
    assert all("one of the normal clips" in judgement.notes[-1] for judgement in judged)
    plain = monitor.scores([judgement.clip for judgement in judged])
    assert plain.mean() < 0.8 * left_out.mean()  # what each would have as its own neighbour


def test_silence_off_and_what_it_never_heard_are_no_alarm(monitor: Monitor, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    noise = random.normal(size=24000)
    sounds = {
        "silence.wav": np.zeros(24000, np.float32),
        "offset.wav": np.full(24000, 0.3, np.float32),
        "unplugged.wav": (1e-5 * noise).astype(np.float32),
        "off.wav": (2e-4 * noise).astype(np.float32),
        "working.wav": (0.2 * noise).astype(np.float32),
    }
    paths = [written(tmp_path, name, sound) for name, sound in sounds.items() for _ in range(1)]
    judged = monitor.judge(paths * 1)
    states = [judgement.state for judgement in judged]
    assert states == ["no sound", "no sound", "no sound", "off", "unknown state"]
    assert judged[0].score is None
    assert "is it connected?" in judged[0].notes[-1]
    assert "listen to it" in judged[4].notes[-1]
    assert not judged.alarm


def test_what_is_said_of_clips_that_are_not_as_those_learnt(
    monitor: Monitor, tmp_path: Path
) -> None:
    random = np.random.default_rng(9)
    other = written(tmp_path, "normal_id_02_00000000.wav", well(random))
    half = written(tmp_path, "half.wav", well(random)[:8000])
    blip = written(tmp_path, "blip.wav", well(random)[:500])
    elsewhere = written(tmp_path / "fan" / "id_04" / "normal", "0.wav", well(random))
    own = written(tmp_path / "id_04" / "id_00" / "normal", "0.wav", well(random))
    judged = monitor.judge([other, half, elsewhere, own, blip])
    assert judged[2].notes == ("its name says id_04, this monitor is of machine0/id_00",)
    assert judged[3].notes == ()  # the nearest name counts
    assert judged[0].notes == ("its name says id_02, this monitor is of machine0/id_00",)
    assert "0.5 s long, those learnt have 1.5 s" in judged[1].notes[0]
    assert len(judged) == 4
    assert "blip.wav is 0.031 s long, less than 0.064 s" in judged.refused[0][1]


def test_the_tail_model_goes_beyond_what_the_clips_can_tell(run: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "a.wav", faulty(np.random.default_rng(10)))
    plain = AlarmSettings("clip", 1000)
    judged = thrum.open_monitor(run, NAME, alarms=plain, device="cpu").judge(path)
    assert judged[0].state == "suspicious"
    assert judged[0].p == 1 / 41
    with pytest.raises(DataError, match="wants 50 normal clips at least, got 40"):
        thrum.open_monitor(run, NAME, alarms=AlarmSettings("clip", 1000, tail=True)).judge(path)


def test_operating_states_are_found_and_judged_apart(tmp_path: Path) -> None:
    """Idle hum and loud work: a hum as loud as work is in neither, and each is ranked among its own."""
    random = np.random.default_rng(11)
    folder = tmp_path / "data" / "press" / "normal"
    for number in range(40):
        loud = number % 2
        sound = well(random) if not loud else (0.3 * random.normal(size=24000)).astype(np.float32)
        written(folder, f"{number:02d}.wav", sound)
    clips = list(open_dataset(tmp_path / "data").where(split="train"))
    from thrum.monitoring.opening import prepare_monitors

    system = thrum.create_system("knn", device="cpu").fit(clips)
    system.save(tmp_path / "run")
    prepare_monitors(tmp_path / "run", system, clips, when="then", who="tests")
    monitor = thrum.open_monitor(tmp_path / "run", device="cpu")
    assert {name: len(own) for name, own in monitor.baseline.calibration().items()} == {
        "state 1": 20,
        "state 2": 20,
    }
    idle = written(tmp_path, "idle.wav", well(random))
    work = written(tmp_path, "work.wav", (0.3 * random.normal(size=24000)).astype(np.float32))
    judged = monitor.judge([idle, work])
    assert judged[0].operating != judged[1].operating
    assert [judgement.state for judgement in judged] == ["well", "well"]
    assert set(monitor.promises) == {"state 1", "state 2"}


def test_states_may_be_told_by_an_attribute(data: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from thrum.monitoring.opening import prepare_monitors

    clips = [
        replace(clip, attributes={"load": "high" if number % 2 else "low"})
        for number, clip in enumerate(open_dataset(data).where(machine="machine0"))
    ]
    system = thrum.create_system("knn", device="cpu").fit(clips)
    system.save(tmp_path)
    prepare_monitors(tmp_path, system, clips, when="then", who="tests", states_by="load")
    assert set(thrum.open_monitor(tmp_path, device="cpu").promises) == {"high", "low"}


def test_a_run_without_baseline_judges_by_its_left_out_scores(run: Path, tmp_path: Path) -> None:
    import shutil

    path = written(tmp_path, "a.wav", faulty(np.random.default_rng(12)))
    wanted = thrum.open_monitor(run, NAME, device="cpu").judge(path)[0]
    shutil.rmtree(run / "monitors")
    bare = thrum.open_monitor(run, NAME, device="cpu")
    assert (bare.judge(path)[0].score, bare.judge(path)[0].p) == (wanted.score, wanted.p)
    with pytest.raises(DataError, match="kept no normal sound to compare with"):
        bare.explain(path)


def test_machines_that_it_does_not_know_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="knows machine0/id_00, machine1/id_00"):
        thrum.open_monitor(run)
    with pytest.raises(UsageError, match="knows machine0/id_00, machine1/id_00"):
        thrum.open_monitor(run, "pump/id_00")
    with pytest.raises(StorageError, match="model.json is missing"):
        thrum.open_monitor(tmp_path / "nothing")


def test_a_networks_own_training_clips_are_not_what_it_is_calibrated_on(tmp_path: Path) -> None:
    from thrum.monitoring.holding import held_out

    data = machines.write_sound(tmp_path, machines=2, clips=10, anomalies=0, seconds=0.2)
    clips = list(open_dataset(data))
    learnt, back = held_out(clips, 0.2)
    assert sorted(clip.name for clip in learnt + back) == sorted(clip.name for clip in clips)
    assert [clip.name for clip in back] == ["normal/002.wav", "normal/007.wav"] * 2
    assert held_out(clips[:2], 0.5)[1] == []
    assert held_out(clips, 0)[1] == []
