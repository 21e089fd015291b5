"""``thrum data check``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from thrum.cli.data import app


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    names = [f"normal/{number}.wav" for number in range(1, 13)]
    for name in [*names, "anomaly/1.wav"]:
        path = tmp_path / "press" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.normal(size=(4800, 2)) * 0.1, 16000)
    return tmp_path


def test_a_good_dataset(root: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(root)])
    assert result.exit_code == 0
    (row,) = [line for line in result.stdout.splitlines() if "press" in line and "│" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == (
        ["press", "id_00", "11", "1", "1", "16000", "2", "0.3"]
    )
    assert "13 clips of 1 machine IDs, all good" in result.stdout


def test_a_bad_file_is_named_and_fails(root: Path) -> None:
    (root / "press" / "normal" / "2.wav").write_text("words")
    (root / "press" / "normal" / "4.txt").write_text("")
    result = CliRunner().invoke(app, ["check", str(root)])
    assert result.exit_code == 1
    assert f"bad: {root}/press/normal/2.wav cannot be read as audio" in result.stdout
    assert f"left out: {root}/press/normal/4.txt: no sound file" in result.stdout
    assert "13 clips of 1 machine IDs, 1 bad" in result.stdout


def test_json_is_all_that_is_on_stdout(root: Path) -> None:
    (root / "press" / "normal" / "2.wav").write_text("words")
    result = CliRunner().invoke(app, ["check", "--json", str(root)])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["ok"]
    assert [bad["clip"] for bad in report["bad"]] == ["normal/2.wav"]
    assert report["machines"][0]["clips"] == {
        "train normal": 11,
        "test normal": 1,
        "test anomaly": 1,
    }


def test_how_the_dataset_was_read_is_shown(root: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(root)])
    shown = result.stdout.splitlines()
    assert "press id_00" in shown
    assert (
        "  train normal: normal/1.wav, normal/2.wav, normal/3.wav, normal/4.wav, normal/5.wav and 6 more"
        in (shown)
    )
    assert "  test anomaly: anomaly/1.wav" in shown


def test_warnings_fail_with_strict_only(root: Path) -> None:
    soundfile.write(root / "press" / "normal" / "5.wav", np.zeros((4800, 2)), 16000)
    result = CliRunner().invoke(app, ["check", str(root)])
    assert result.exit_code == 0
    wanted = (
        "warning: press id_00: silence (1 clip): digital silence: was the microphone connected?"
    )
    assert f"{wanted}: normal/5.wav" in result.stdout
    assert "13 clips of 1 machine IDs, 1 warnings" in result.stdout
    assert CliRunner().invoke(app, ["check", "--strict", str(root)]).exit_code == 1


def test_a_recording_in_training_and_test_is_an_error(root: Path) -> None:
    sound, rate = soundfile.read(root / "press" / "normal" / "5.wav", dtype="int16")
    soundfile.write(root / "press" / "anomaly" / "2.flac", sound, rate)
    result = CliRunner().invoke(app, ["check", "--json", str(root)])
    assert result.exit_code == 1
    (finding,) = [f for f in json.loads(result.stdout)["findings"] if f["severity"] == "error"]
    assert finding["kind"] == "copies as normal and anomaly"
    assert finding["clips"] == ["press/id_00/normal/5.wav", "press/id_00/anomaly/2.flac"]


def test_names_of_machines_are_whole_at_eighty_columns(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "press").rename(root / "compressor 12")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["check", str(root)])
    table = [line for line in result.stdout.splitlines() if "│" in line]
    assert max(map(len, table)) <= 80 or "compressor 12" in table[0]
    assert any("compressor" in line for line in table)
