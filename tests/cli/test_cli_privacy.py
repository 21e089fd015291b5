"""``thrum privacy audit``: its words, its files, its exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from thrum.cli.main import app
from thrum.errors import ThrumError

RUN = CliRunner()


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six machines of stored features, each with anomalies."""
    folder = tmp_path_factory.mktemp("features")
    random = np.random.default_rng(0)
    for machine in range(6):
        own = random.normal(size=8)
        arrays = {
            name: (own + shift + random.normal(size=(10, 6, 8))).astype(np.float16)
            for name, shift in {"train_normal": 0, "test_normal": 0, "test_anomaly": 2}.items()
        }
        np.savez(folder / f"fan_id_{machine:02d}.npz", **arrays)
    return folder


def run(*words: str) -> tuple[int, str]:
    result = RUN.invoke(app, ["privacy", "audit", *words])
    if isinstance(result.exception, ThrumError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_an_audit_writes_its_figures_and_stops_where_too_much_leaks(
    features: Path, tmp_path: Path
) -> None:
    words = ["--data", str(features), "--sharing", "statistics", "--release", "least:5"]
    words += ["--release", "least:5 | secure", "--sites", "3", "--out", str(tmp_path), "--json"]

    code, shown = run(*words, "--max-leak", "statistics=0.02")

    assert code == 4
    told = json.loads(shown[shown.index("{") :])
    assert "least:5: statistics, member leaks" in told["above"][0]
    kept = json.loads((tmp_path / "audit.json").read_text())
    assert kept["machines"] == {"attacker": 4, "attacked": 2}
    clear, secure = kept["releases"]
    assert [one["chain"] for one in (clear, secure)] == ["least:5", "least:5 | secure"]
    member = {one["quantity"]: one for one in clear["findings"]}["member"]
    assert member["value"] > 0.6  # ten clips leave the matrix little room for others
    hidden = {one["quantity"]: one for one in secure["findings"]}["member"]
    assert hidden["value"] is None
    assert "only their sum" in hidden["reason"]
    assert clear["worth"]["alone"] > 0.5
    assert clear["bytes_per_clip"] == pytest.approx(8 * 8 * 4 / 10)
    assert "least:5,statistics,member" in (tmp_path / "audit.csv").read_text()
    assert "not measured" in (tmp_path / "audit.html").read_text()
    assert run(*words, "--max-leak", "statistics=1")[0] == 0


def test_a_folder_without_voices_is_named_before_anything_is_simulated(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for folder, message in (("nowhere", "no such folder"), (".", "recordings of 0 speakers")):
        words = ["--simulate", "--speech", str(tmp_path / folder), "--out", str(tmp_path / "out")]

        code, shown = run(*words)

        assert code == 1
        assert message in shown
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "either --data"),
        (["--simulate", "--data", "x"], "either --data"),
        (["--simulate", "--max-leak", "2"], "from 0 to 1"),
        (["--simulate", "--max-leak", "spech=0.1"], "spech"),
        (["--simulate", "--attacks", "reconstruc"], "reconstruct"),
        (["--simulate", "--release", "clip-mean"], "no mechanism is called 'clip-mean'"),
        (["--simulate", "--release", "gaussian:0,1e-5,clip"], "epsilon is 0"),
        (["--simulate", "--release", "rotate:nowhere"], "the secret nowhere cannot be read"),
        (["--simulate", "--set", "dp_epsilon=0"], "epsilon is 0"),
        (["--simulate", "--set", "dp_epsilon=1", "--set", "mixup=true"], "mixup is True"),
        (["--simulate", "--sharing", "sound"], "statistics or embeddings"),
        (["--simulate", "--sharing", "statistics", "--attacks", "speech"], "none leaves"),
        (["--simulate", "--sharing", "statistics", "--release", "frames"], "no mechanism for stat"),
    ],
)
def test_wrong_words_are_named(words: list[str], message: str, tmp_path: Path) -> None:
    code, shown = run(*words, "--out", str(tmp_path))

    assert code == 2
    assert message in shown
