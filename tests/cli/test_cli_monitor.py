"""``thrum score``, ``explain`` and ``baseline``: what they print, write and end with."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import machines
from monitoring_sound import SECONDS, faulty, well, written
from thrum.cli.main import app
from thrum.errors import ThrumError


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str


def call(*words: object) -> Done:
    """Run the command line; errors become exit codes as in `thrum.cli.main.main`."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, ThrumError):
        return Done(result.exception.exit_code, result.stdout, str(result.exception))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one machine, and a folder of its sound: ten clips well, then six faulty."""
    root = tmp_path_factory.mktemp("monitored")
    machines.write_sound(root / "data", machines=1, clips=40, seconds=SECONDS, anomalies=0)
    done = call("train", "--system", "knn", "--data", root / "data", "--out", root / "run")
    assert done.exit_code == 0
    random = np.random.default_rng(0)
    for number in range(16):
        sound = well(random) if number < 10 else faulty(random)
        written(root / "new", f"{number:02d}.wav", sound)
    return root


def test_score_says_file_time_score_p_value_and_state(root: Path, tmp_path: Path) -> None:
    done = call("score", root / "run", root / "new", "--out", tmp_path / "s.csv")
    assert done.exit_code == 3
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows] == [f"{n:02d}.wav" for n in range(16)]
    assert rows[-1]["state"] == "alarm"
    assert {row["state"] for row in rows[:10]} <= {"well", "suspicious"}
    assert float(rows[10]["p_value"]) == 1 / 41
    assert "at most one false alarm in 1,000 clips on average" in done.stderr
    assert re.search(
        r"alarm, by \S*1[0-5]\.wav: the evidence stands since \S*(09|10)\.wav", done.stderr
    )
    shown = call("score", root / "run", root / "new")
    assert "alarm" in shown.stdout
    assert shown.exit_code == 3


def test_nothing_in_alarm_is_exit_code_0(root: Path) -> None:
    done = call("score", root / "run", *sorted((root / "new").glob("0[0-8].wav")), "--json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert set(rows[0]) == {
        *("file", "start_seconds", "end_seconds", "anomaly_score", "p_value", "state"),
        *("operating_state", "alarm_since_clips", "drift", "notes"),
    }


def test_what_cannot_be_judged_is_exit_code_1_and_an_alarm_goes_before(
    root: Path, tmp_path: Path
) -> None:
    silent = written(tmp_path, "silent.wav", np.zeros(24000, np.float32))
    done = call("score", root / "run", silent)
    assert done.exit_code == 1
    assert "no sound" in done.stdout
    assert "is it connected?" in done.stderr
    for verb in (("explain",), ("baseline", "add")):
        refused = call(*verb, root / "run", silent)
        assert refused.exit_code == 1
        assert "silent.wav" in refused.stderr
    assert call("score", root / "run", root / "new", silent).exit_code == 3


def test_what_is_asked_for_decides(root: Path) -> None:
    faults = sorted((root / "new").glob("1?.wav"))
    lax = call("score", root / "run", faults[0], "--rule", "clip", "--false-alarms", "1 in 41")
    assert lax.exit_code == 3
    strict = call("score", root / "run", faults[0], "--rule", "clip")
    assert strict.exit_code == 0
    assert "40 normal clips can promise at best one false alarm in 41 clips" in strict.stderr
    weekly = ("--false-alarms", "1 per week", "--every", "10s")
    told = call("score", root / "run", faults[0], *weekly, "--rule", "3of5")
    assert "one in 60,480 was asked for" in told.stderr
    for words in (("--rule", "sometimes"), ("--false-alarms", "never")):
        assert call("score", root / "run", faults[0], *words).exit_code == 2


def test_the_training_folder_gives_left_out_scores(root: Path) -> None:
    rows = json.loads(call("score", root / "run", root / "data", "--json").stdout)
    known = json.loads(call("baseline", "list", root / "run", "--json").stdout)
    assert len(rows) == len(known["clips"]) == 40
    p = [row["p_value"] for row in rows]
    assert np.mean(p) == pytest.approx(0.5, abs=0.02)
    assert all("one of the normal clips that it knows" in row["notes"][-1] for row in rows)


def test_explain_writes_a_page_and_says_where(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    done = call("explain", root / "run", root / "new" / "12.wav", "--out", page)
    assert done.exit_code == 0
    assert "new tone at 3000 Hz" in done.stdout
    assert "most of the score comes from" in done.stdout
    assert page.exists()
    told = json.loads(page.with_suffix(".json").read_text())
    low, high = told["strongest_patch"]["hz"]
    assert low <= 3000 <= high
    answer = call("explain", root / "run", root / "new" / "12.wav", "--out", page, "--json")
    assert json.loads(answer.stdout) == {**told, "page": str(page)}


def test_baseline_add_list_drop_undo(root: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(root / "run", run)
    new = [root / "new" / f"{number:02d}.wav" for number in (10, 11, 12)]
    added = call("baseline", "add", run, *new[:2], "--who", "Ada", "--why", "new whistle")
    assert "machine0/id_00: version 2 (add 2 clips, state normal)" in added.stdout
    fault = call("baseline", "add", run, new[2], "--fault")
    assert "version 3 (fault" in fault.stdout
    listed = call("baseline", "list", run)
    assert "of 1 confirmed faults" in listed.stdout
    assert "new whistle" in listed.stdout
    assert "Ada" in listed.stdout
    assert call("baseline", "drop", run, "10.wav").exit_code == 0
    assert len(json.loads(call("baseline", "list", run, "--json").stdout)["clips"]) == 41
    for version in (3, 2, 1):
        answer = json.loads(call("baseline", "undo", run, "--json").stdout)
        assert answer["version"] == version
    assert call("baseline", "undo", run).exit_code == 2
    assert len(json.loads(call("baseline", "list", run, "--json").stdout)["clips"]) == 40
    assert call("baseline", "add", run, new[0], "--fault", "--renew").exit_code == 2


def test_undo_works_where_the_baseline_is_damaged(root: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(root / "run", run)
    call("baseline", "add", run, root / "new" / "10.wav")
    (run / "monitors" / "machine0_id_00" / "v0002.json").write_text("{")
    refused = call("score", run, root / "new" / "00.wav")
    assert refused.exit_code == 1
    assert "thrum baseline undo goes back" in refused.stderr
    assert call("baseline", "undo", run).exit_code == 0
    assert call("score", run, root / "new" / "00.wav").exit_code == 0


def test_a_network_holds_clips_back_to_be_measured_on(tmp_path: Path) -> None:
    data = machines.write_sound(
        tmp_path / "data", machines=1, clips=20, seconds=SECONDS, anomalies=0
    )
    quick = [part for one in ("epochs=2", "batch_size=64") for part in ("--set", one)]
    words = ["train", "--system", "autoencoder", "--data", data, *quick]
    assert call(*words, "--out", tmp_path / "run").exit_code == 0
    told = json.loads(call("baseline", "list", tmp_path / "run", "--json").stdout)
    assert [clip["name"] for clip in told["clips"]] == [
        f"normal/{number:03d}.wav" for number in (2, 7, 12, 17)
    ]
    assert call(*words, "--out", tmp_path / "all", "--hold-out", 0).exit_code == 0
    listed = call("baseline", "list", tmp_path / "all", "--json")
    assert json.loads(listed.stdout)["clips"] == []
    new = written(tmp_path, "new.wav", well(np.random.default_rng(0)))
    told = call("score", tmp_path / "all", new, "--rule", "clip")
    assert "0 normal clips can promise nothing" in told.stderr
