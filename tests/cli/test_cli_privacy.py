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
    words = ["--data", str(features), "--sharing", "statistics", "--attacks", "attributes"]
    words += ["--release", "clip_mean", "--out", str(tmp_path), "--json"]

    code, shown = run(*words, "--max-leak", "attributes=0.05")

    assert code == 4
    told = json.loads(shown[shown.index("{") :])
    assert told["above"]
    assert told["releases"][0]["chain"] == "clip_mean"
    kept = json.loads((tmp_path / "audit.json").read_text())
    assert kept["machines"] == {"attacker": 4, "attacked": 2}
    fault = [one for one in kept["releases"][0]["findings"] if one["quantity"] == "fault"]
    assert fault[0]["value"] > 0.8
    speed = [one for one in kept["releases"][0]["findings"] if one["quantity"] == "speed"]
    assert speed[0]["value"] is None
    assert "do not say" in speed[0]["reason"]
    assert "attributes,fault" in (tmp_path / "audit.csv").read_text()
    page = (tmp_path / "audit.html").read_text()
    assert "not measured" in page
    assert run(*words, "--max-leak", "attributes=1")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "either --data"),
        (["--simulate", "--data", "x"], "either --data"),
        (["--simulate", "--max-leak", "2"], "from 0 to 1"),
        (["--simulate", "--max-leak", "spech=0.1"], "spech"),
        (["--simulate", "--attacks", "reconstruc"], "reconstruct"),
        (["--simulate", "--release", "clip-mean"], "no mechanism is called 'clip-mean'"),
        (["--simulate", "--sharing", "sound"], "statistics or embeddings"),
    ],
)
def test_wrong_words_are_named(words: list[str], message: str, tmp_path: Path) -> None:
    code, shown = run(*words, "--out", str(tmp_path))

    assert code == 2
    assert message in shown
