"""``thrum data synth``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import thrum
from thrum.cli.data import app
from thrum.errors import ConfigError

SMALL = """
kinds = ["slider"]
individuals = 2
train_clips = 2
test_normal_clips = 1
test_anomaly_clips = 1
duration_seconds = 0.5
seed = 5
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def seed_of(folder: Path) -> int:
    return int(json.loads((folder / "simulation.json").read_text())["settings"]["seed"])


def test_a_dataset_is_written_and_said_to_be(toml: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = CliRunner().invoke(app, ["synth", str(out), "--config", str(toml), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"out": str(out), "clips": 8}
    assert len(thrum.open_dataset(out)) == 8
    assert seed_of(out) == 5


def test_words_on_the_command_line_win(toml: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    words = ["synth", str(out), "--config", str(toml), "--set", "train_clips=1", "--seed", "7"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert "6 clips in" in result.stdout
    assert seed_of(out) == 7


def test_another_simulation_in_the_folder_is_an_error(toml: Path, tmp_path: Path) -> None:
    words = ["synth", str(tmp_path / "data"), "--config", str(toml)]
    assert CliRunner().invoke(app, words).exit_code == 0
    result = CliRunner().invoke(app, [*words, "--seed", "7"])
    assert isinstance(result.exception, ConfigError)
