"""``thrum data check``."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from thrum.cli.data import app


@pytest.fixture
def root(tmp_path: Path) -> Path:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((1600, 2)), 16000, format="WAV")
    for name in ("normal/1.wav", "normal/2.wav", "normal/3.wav", "anomaly/1.wav"):
        path = tmp_path / "press" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
    return tmp_path


def test_a_good_dataset(root: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(root)])
    assert result.exit_code == 0
    (row,) = [line for line in result.stdout.splitlines() if "press" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == (
        ["press", "id_00", "2", "1", "1", "16000", "2", "0.1"]
    )
    assert "4 clips of 1 machine IDs, all good" in result.stdout


def test_a_bad_file_is_named_and_fails(root: Path) -> None:
    (root / "press" / "normal" / "2.wav").write_text("words")
    (root / "press" / "normal" / "4.txt").write_text("")
    result = CliRunner().invoke(app, ["check", str(root)])
    assert result.exit_code == 1
    assert f"bad: {root}/press/normal/2.wav cannot be read as audio" in result.stdout
    assert f"left out: {root}/press/normal/4.txt: no sound file" in result.stdout
    assert "4 clips of 1 machine IDs, 1 bad" in result.stdout


def test_json_is_all_that_is_on_stdout(root: Path) -> None:
    (root / "press" / "normal" / "2.wav").write_text("words")
    result = CliRunner().invoke(app, ["check", "--json", str(root)])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["ok"]
    assert [bad["clip"] for bad in report["bad"]] == ["normal/2.wav"]
    assert report["machines"][0]["clips"] == {
        "train normal": 2,
        "test normal": 1,
        "test anomaly": 1,
    }
