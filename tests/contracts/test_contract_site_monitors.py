"""After a round a site judges by what it knows, under both algorithms: equal to the run's CSV to the bit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import machines
import thrum
from thrum.cli.main import app

CODE = """
import json, sys, thrum
monitor = thrum.open_monitor(sys.argv[1], "machine0/id_00", device="cpu")
print(json.dumps({one.clip.path.name: one.score for one in monitor.judge(sys.argv[2])}))
"""
QUICK = ["--no-report", "--embedder", "logmel"]
EMBEDDINGS = ["--sharing", "embeddings", "--set", "epochs=1", "--set", "members=2"]


@pytest.mark.parametrize("sharing", [[], EMBEDDINGS, [*EMBEDDINGS, "--algorithm", "2"]])
def test_a_site_judges_as_its_round_scored(sharing: list[str], tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", machines=2, clips=12, seconds=1.5)
    out = tmp_path / "out"
    words = ["collaborate", "simulate", "--data", str(data), "--out", str(out), *QUICK]
    done = CliRunner().invoke(app, [*words, *sharing])
    assert done.exit_code == 0, done.output
    monitor = thrum.open_monitor(out, "machine0/id_00", device="cpu")
    test = data / "machine0" / "anomaly"
    judged = {one.clip.path.name: one.score for one in monitor.judge(test)}
    method = monitor.system.score([]).selected
    with (out / "scores" / "machine0_id_00.csv").open() as file:
        wanted = {
            Path(row["clip"]).name: float(row[method])
            for row in csv.DictReader(file)
            if row["label"] == "anomaly"
        }
    assert judged == wanted
    site = out / "sites" / "machine0_id_00"
    words = [sys.executable, "-c", CODE, str(site), str(test)]
    elsewhere = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(elsewhere.stdout) == wanted
    left_out = monitor.system.left_out_scores()[("machine0", "id_00")]
    np.testing.assert_array_equal(monitor.baseline.left_out, left_out)
    with pytest.raises(thrum.errors.UsageError, match="machine1/id_00|knows machine0"):
        thrum.open_monitor(site, "machine1/id_00")  # another's machine
