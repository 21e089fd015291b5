"""``thrum score`` reads as ``thrum train`` read."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

import machines
from thrum.cli.main import app

RATE = 16000
HEADER = ["file", "start_seconds", "end_seconds", "anomaly_score", "p_value", "state"]


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def trained(data: Path, run: Path, *words: str) -> Result:
    done = call("train", "--system", "knn", "--data", data, "--out", run, "--no-report", *words)
    assert done.exit_code == 0, done.output
    return done


def scores(*words: object, code: int = 0) -> dict[str, float]:
    done = CliRunner().invoke(app, ["score", *map(str, words), "--json"])
    assert done.exit_code == code, done.output
    return {Path(row["file"]).name: row["anomaly_score"] for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A set of DCASE 2026: the machine left, loud noise right; and a run of it."""
    root = tmp_path_factory.mktemp("dcase")
    random = np.random.default_rng(0)
    folder = root / "data" / "fan"
    for split, label, count, detune in (
        ("train", "normal", 6, 1.0),
        ("test", "normal", 3, 1.0),
        ("test", "anomaly", 3, 1.3),
    ):
        for number in range(count):
            machine = machines.tone(random, 220 * detune, seconds=1.0, rate=RATE)
            noise = random.normal(size=len(machine)) * 0.3
            path = folder / split / f"section_00_source_{split}_{label}_{number:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([machine, noise], axis=1), RATE)
    trained(root / "data", root / "run")
    return root / "data", root / "run"


def test_scores_of_training_come_back_bit_for_bit(stereo) -> None:
    data, run = stereo
    with (run / "scores" / "fan_section_00.csv").open() as file:
        wanted = {row["clip"]: float(row["mean"]) for row in csv.DictReader(file)}
    found = scores(run, data / "fan" / "test")
    assert found == wanted
    assert min(found[n] for n in found if "anomaly" in n) > max(
        found[n] for n in found if "normal" in n
    )


def test_another_number_of_channels_is_refused(stereo, tmp_path: Path) -> None:
    _, run = stereo
    soundfile.write(tmp_path / "mono.wav", np.full(RATE, 0.1), RATE)
    done = call("score", run, tmp_path / "mono.wav")
    assert done.exit_code == 1
    assert "mono.wav has 1 channels, and channel 0 of 2 was learnt" in done.stderr


def test_a_lower_rate_is_refused(stereo, tmp_path: Path) -> None:
    _, run = stereo
    soundfile.write(tmp_path / "low.wav", np.full((8000, 2), 0.1), 8000)
    done = call("score", run, tmp_path / "low.wav")
    assert done.exit_code == 1
    assert "low.wav has 8000 samples per second, 16000 were learnt" in done.stderr


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pump")
    machines.write_sound(root / "data", machines=1, clips=6, seconds=1.0)
    trained(root / "data", root / "run")
    return root


def test_one_bad_file_does_not_cost_the_others_their_scores(pump: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    shutil.copytree(pump / "data" / "machine0" / "normal", folder / "take1.wav")
    good = folder / "take1.wav"
    (good / "._000.wav").write_bytes(b"\0\5\x16\7")  # what macOS leaves beside every file
    (folder / "__MACOSX").mkdir()
    shutil.copy(good / "._000.wav", folder / "__MACOSX" / "._000.wav")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.wav").symlink_to(folder / "gone.wav")
    whole = (good / "000.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-1000])
    done = call("score", pump / "run", folder, tmp_path / "gone.wav", "--out", tmp_path / "s.csv")
    assert done.exit_code == 1
    with (tmp_path / "s.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    assert [Path(row[0]).name for row in rows] == [f"{n:03d}.wav" for n in range(6)]
    assert f"not scored: {folder / 'cut.wav'} is cut short" in done.stderr
    assert f"not scored: no recording at {tmp_path / 'gone.wav'}" in done.stderr
    assert "loop: a link to a folder that it lies in" in done.stderr
    assert "nowhere.wav: a link to" in done.stderr
    assert "._000" not in done.stderr


def test_of_a_folder_of_several_machines_the_right_one_is_scored(
    pump: Path, tmp_path: Path
) -> None:
    data = machines.write_sound(tmp_path / "data", machines=2, clips=4, seconds=1.0)
    done = call("score", pump / "run", data, "--json")
    assert {Path(row["file"]).parts[-3] for row in json.loads(done.stdout)} == {"machine0"}
    assert "machine1/normal/000.wav: of machine1/id_00" in done.stderr


def test_a_fault_of_seconds_in_a_long_recording_is_heard(pump: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sound = machines.tone(random, 110, seconds=60.0, rate=RATE)
    sound[30 * RATE : 31 * RATE] = machines.tone(random, 160, seconds=1.0, rate=RATE)
    soundfile.write(tmp_path / "minute.wav", sound, RATE)
    done = call("score", pump / "run", tmp_path / "minute.wav", "--json")
    rows = json.loads(done.stdout)
    assert len(rows) == 60  # as the clips of a second that were learnt
    worst = max(rows, key=lambda row: row["anomaly_score"])
    assert (worst["start_seconds"], worst["end_seconds"]) == (30, 31)
    asked = call("score", pump / "run", tmp_path / "minute.wav", "--clip-seconds", 10, "--json")
    assert len(json.loads(asked.stdout)) == 6


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/null"])
def test_streams_are_refused_in_words(pump: Path, name: str) -> None:
    done = call("score", pump / "run", name)
    assert done.exit_code == 1
    assert "save the sound to a wav or flac file first" in done.stderr


def test_raw_sound_is_refused_in_words(pump: Path, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(3200))
    done = call("score", pump / "run", tmp_path / "a.raw")
    assert done.exit_code == 1
    assert "sound without a header" in done.stderr


def test_a_folder_without_recordings_says_what_it_holds(pump: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.doc"):
        (tmp_path / name).write_text("words")
    with pytest.raises(Exception, match=r"2 of \.txt, 1 of \.doc; wanted"):
        call("score", pump / "run", tmp_path)


def test_what_is_noted_of_many_clips_is_said_once(
    stereo: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = stereo
    for number, path in enumerate(sorted((data / "fan" / "test").glob("*normal*"))):
        shutil.copy(path, tmp_path / f"section_0{1 + number // 2}_source_test_normal_{number}.wav")
    said = call("score", run, tmp_path).stderr.splitlines()
    notes = [line.removeprefix("note: ") for line in said if line.startswith("note: ")]
    own = "this monitor is of fan/section_00"
    assert notes == [
        f"{tmp_path}/section_01_source_test_normal_0.wav and 1 more: its name says section_01, {own}",
        f"{tmp_path}/section_02_source_test_normal_2.wav: its name says section_02, {own}",
    ]
