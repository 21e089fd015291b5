"""One odd clip does not cost the run, and figures say what they are of."""

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
QUICK = {
    "knn": [],
    "autoencoder": ["epochs=1", "width=8"],
    "mobilenetv2": ["network_per=all", "epochs=1", "width=0.1"],
    "glow": ["levels=1", "steps=1", "hidden=4", "epochs=1"],
}


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def train(system: str, data: Path, run: Path, *words: object) -> Result:
    settings = [part for one in QUICK[system] for part in ("--set", one)]
    done = call("train", "--system", system, "--data", data, "--out", run, *settings, *words)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("system", ["knn", "autoencoder"])
@pytest.mark.parametrize("sound", ["silence", "copies"])
def test_training_clips_that_are_all_alike_end_in_a_table_and_a_report(
    tmp_path: Path, system: str, sound: str
) -> None:
    data = machines.write_sound(tmp_path / "data", clips=12, seconds=1.0)
    for folder in data.glob("*/normal"):
        paths = sorted(folder.iterdir())
        for path in paths[:-3]:
            if sound == "silence":
                soundfile.write(path, np.zeros(RATE), RATE)
            elif path != paths[0]:
                shutil.copy(paths[0], path)
    run = tmp_path / "run"
    shown = train(system, data, run).stdout
    assert (run / "report.html").exists()
    assert (run / "results.csv").exists()
    assert "machine0" in shown


@pytest.mark.parametrize("system", ["autoencoder", "mobilenetv2", "glow"])
def test_a_clip_shorter_than_an_input_is_scored(tmp_path: Path, system: str) -> None:
    data = machines.write_sound(tmp_path / "data", clips=9, seconds=2.5)
    soundfile.write(data / "machine0" / "anomaly" / "short.wav", np.full(320, 0.1), RATE)
    soundfile.write(data / "machine0" / "normal" / "000.wav", np.full(320, 0.1), RATE)
    train(system, data, tmp_path / "run", "--no-report")
    with (tmp_path / "run" / "scores" / "machine0_id_00.csv").open() as file:
        names = [row["clip"] for row in csv.DictReader(file)]
    assert "anomaly/short.wav" in names


def test_copies_in_all_classes_are_at_chance(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", machines=1, clips=12, seconds=1.0)
    source = data / "machine0" / "normal" / "000.wav"
    for folder in ("normal", "anomaly"):
        for path in sorted((data / "machine0" / folder).iterdir())[-3:]:
            shutil.copy(source, path)
    train("knn", data, tmp_path / "run", "--no-report")
    with (tmp_path / "run" / "results.csv").open() as file:
        assert {row["auc"] for row in csv.DictReader(file)} == {"0.5"}


def test_a_dash_has_its_reason(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", machines=3, clips=9, seconds=1.0)
    (data / "machine0" / "test" / "anomaly").mkdir(parents=True)
    (data / "machine0" / "anomaly").rename(data / "machine0" / "test" / "anomaly")
    (data / "machine1" / "test").mkdir()
    (data / "machine1" / "anomaly").rename(data / "machine1" / "test" / "unknown")
    shown = train("knn", data, tmp_path / "run", "--no-report").stdout
    assert "no AUC of machine0/id_00: no normal clips among its test clips" in shown
    assert "no AUC of machine1/id_00: no test clips with a label" in shown
    assert "machine2/id_00: no" not in shown


def dcase(root: Path) -> Path:
    random = np.random.default_rng(0)
    for section in ("section_00", "section_01"):
        for split, label, count, detune in (
            ("train", "normal", 8, 1.0),
            ("test", "normal", 4, 1.0),
            ("test", "anomaly", 4, 1.3),
        ):
            for number in range(count):
                domain = "source" if number % 2 else "target"
                sound = machines.tone(random, 110 * detune, seconds=1.0, rate=RATE)
                name = f"{section}_{domain}_{split}_{label}_{number:04d}_speed_1.wav"
                path = root / "mixer" / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, sound, RATE)
    return root


def test_a_submission_comes_with_decisions_and_is_evaluated(tmp_path: Path) -> None:
    data = dcase(tmp_path / "data")
    train("knn", data, tmp_path / "run", "--no-report")
    submission = tmp_path / "run" / "submission"
    assert sorted(path.name for path in submission.iterdir()) == [
        f"{kind}_mixer_section_{number:02d}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for number in (0, 1)
    ]
    words = ("evaluate", "--truth", data, "--scores", submission, "--year", "2023", "--json")
    told = json.loads(call(*words).stdout)
    assert told["machines"]["mixer"]["section_00"]["recall_source"] == 1.0
    for path in submission.iterdir():  # names as people's programs write them
        lines = path.read_text().splitlines()
        forms = ("./{}", "mixer/test/{}", "mixer\\test\\{}", "{}")
        renamed = [forms[n % 4].format(line) for n, line in enumerate(lines)]
        path.write_text("\n".join(renamed).replace(".wav,", ".WAV,") + "\n")
    assert json.loads(call(*words).stdout) == told


def test_a_domain_without_clips_is_named(tmp_path: Path) -> None:
    data = dcase(tmp_path / "data")
    train("knn", data, tmp_path / "run", "--no-report")
    for path in [*data.rglob("section_00_target_test_normal*")]:
        path.unlink()
    score = tmp_path / "run" / "submission" / "anomaly_score_mixer_section_00_test.csv"
    for path in (score, score.with_name("decision_result_mixer_section_00_test.csv")):
        kept = [line for line in path.read_text().splitlines() if "target_test_normal" not in line]
        path.write_text("\n".join(kept) + "\n")
    submission = tmp_path / "run" / "submission"
    with pytest.raises(Exception, match="mixer section_00 .*the target domain has no normal clips"):
        call("evaluate", "--truth", data, "--scores", submission, "--year", "2023")
