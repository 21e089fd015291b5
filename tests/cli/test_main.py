from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import machines
import thrum
from thrum.cli import main

EMBEDDINGS = ["--sharing", "embeddings"]
QUICK = [
    part for setting in ("epochs=1", "members=2", "form=sequence") for part in ("--set", setting)
]

SIMULATE = ["collaborate", "simulate", "--data", "data", "--embedder", "logmel", "--out"]
EMBED = ["embed", "--embedder", "logmel", "--data", "data", "--out"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, as the installed script does."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["thrum", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from thrum.cli import main\n"
        "sys.argv = ['thrum', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'nvflare', 'soundfile'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "HEAVY []" in done.stdout
    for verb in ("demo", "data", "weights", "embed", "train", "score", "evaluate", "collaborate"):
        assert f"\n  {verb} " in done.stdout


def test_help_is_quick() -> None:
    """Under 0.3 s of processor time; on a busy core, hardly more than Typer takes for two verbs."""
    smallest = (
        "import typer\napp = typer.Typer()\n"
        "app.command('one')(lambda: None)\napp.command('two')(lambda: None)\napp(['--help'])"
    )

    def seconds(*words: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        after = os.times()
        used = after.children_user + after.children_system
        return used - before.children_user - before.children_system

    assert any(
        seconds("-m", "thrum", "--help") < max(0.3, 1.4 * seconds("-c", smallest))
        for _ in range(20)
    )


def test_version(call: Call) -> None:
    assert call("--version").stdout.strip() == f"thrum {thrum.__version__}"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["collaborate", "simulate", "--data", "nowhere", "--out", "x"], 1, "no folder at nowhere"),
        (["train", "--system", "embeding-sharing", "--data", ".", "--out", "x"], 2, "Did you mean"),
        (["collaborate", "ledger", "nowhere"], 1, "no ledger at nowhere"),
        (["score", "nowhere", "also-nowhere.wav"], 1, "is missing: give the folder that"),
        (["collaborate", "simulate", "--out", "x"], 2, "Missing option '--data'"),
        (["sing"], 2, "No such command 'sing'"),
        (["data", "check", "n" * 300], 1, f"{'n' * 300}: File name too long"),
        (["data", "synth", "some file"], 1, "some file: Not a directory"),
        (["train", "--system", "knn", "--data", ".", "--out", "some file"], 2, "is a file, wanted"),
        ([*SIMULATE, "some file"], 1, "cannot write some file"),
        (
            [*SIMULATE, "x", *EMBEDDINGS, "--config", "."],
            2,
            ". cannot be read as a settings file",
        ),
        ([*EMBED, "some file"], 1, "some file"),
        ([*EMBED, "x", "--device", "nope"], 2, "no device is called 'nope'"),
        (["score", "some file", "a.wav"], 1, "some file/model.json: Not a directory"),
        (["score", "run", os.fsdecode(b"Ger\xe4t.wav")], 1, r"Ger\xe4t.wav has a name that is not"),
    ],
)
def test_errors_are_one_message_and_no_stack_trace(
    call: Call,
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines.write_sound(tmp_path / "data", clips=1, seconds=0.1)
    (tmp_path / "some file").touch()
    monkeypatch.chdir(tmp_path)
    done = call(*words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["train", "--system", "knn", "--data", ".", "--out", "x"],
            "; run the same command with --resume to go on",
        ),
        ([*EMBED, "x"], "; run the same command again to go on"),
        (["data", "check", "."], ""),
    ],
)
def test_what_was_interrupted_says_how_to_go_on(
    call: Call, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("thrum.datasets.open_dataset", interrupted)
    done = call(*words)
    assert (done.returncode, done.stderr) == (130, f"thrum: stopped{told}\n")


def test_a_refused_setting_does_not_claim_the_folder(call: Call, tmp_path: Path) -> None:
    data, out = machines.write_arrays(tmp_path / "data", machines=2), tmp_path / "run"
    words = [
        "collaborate",
        "simulate",
        "--data",
        data,
        "--out",
        out,
        "--no-report",
        "--sharing",
        "embeddings",
    ]
    refused = call(*words, "--set", "members=0")
    assert (refused.returncode, refused.stderr) == (2, "thrum: members is 0, wanted at least 1\n")
    assert call(*words, "--seed", "-1").returncode == 2
    done = call(*words, *QUICK)
    assert done.returncode == 0, done.stderr


def test_simulate_from_recordings_to_report(call: Call, tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", clips=9)
    out = tmp_path / "run"
    words = ["collaborate", "simulate", "--data", data, "--out", out, "--seed", "3", *QUICK]
    words += ["--embedder", "logmel", "--sharing", "embeddings"]
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout
    assert "note: embeddings of LogMel leave as 'clip_mean'" in done.stdout
    with (out / "results.csv").open() as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"3"}
    page = (out / "report.html").read_text()
    assert "audio" in page
    assert "://" not in page.replace("http://www.w3.org/", "")
    answer = json.loads(call(*words, "--json", "--no-report").stdout)
    assert set(answer["mean"]) >= {"local", "statistics", "network", "fused"}
    ledger = json.loads(
        call("collaborate", "ledger", out / "sites" / "machine0_id_00", "--json").stdout
    )
    assert {entry["what"] for entry in ledger} >= {"description", "manifest", "embeddings"}


def test_without_a_test_split_json_says_so(call: Call, tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", clips=3, seconds=0.3)
    for anomaly in data.rglob("anomaly/*.wav"):
        anomaly.unlink()
    words = ["train", "--system", "knn", "--data", data, "--out", tmp_path / "run", "--json"]
    answer = json.loads(call(*words).stdout)
    assert answer == {"out": str(tmp_path / "run"), "header": [], "rows": []}


def test_only_machine_ids_that_were_learnt_are_scored(
    call: Call, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, run = machines.write_sound(tmp_path / "data", machines=3), tmp_path / "run"
    quick = ["variant=OE", "oe_epochs=1", "width=8", "mel_bands=96", "hop_seconds=0.064"]
    settings = [part for one in [*quick, "targets=['machine1']"] for part in ("--set", one)]
    words = ["train", "--system", "outlier-flow", "--data", data, "--out", run, *settings]
    done = call(*words, "--no-report", "--json")
    assert done.returncode == 0, done.stderr
    assert {row[0] for row in json.loads(done.stdout)["rows"]} == {"machine1", "mean"}
    assert "not learnt: machine0/id_00, machine2/id_00" in caplog.text
    refused = call("score", run, data / "machine0", "--machine", "machine0/id_00")
    assert (refused.returncode, "knows machine1/id_00" in refused.stderr) == (2, True)


def test_names_in_brackets_are_shown(call: Call, tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data [old]", machines=1, clips=3, seconds=0.1)
    (data / "machine0").rename(data / "press [red] :gear:")
    shown = call("data", "check", data).stdout
    assert "press [red] :gear:" in shown
    assert str(data).replace(" ", "") in "".join(shown.split())  # wherever a line was broken


def test_train_then_score_new_recordings(call: Call, tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data")
    run = tmp_path / "run"
    words = ["train", "--system", "embedding-sharing", "--data", data, "--out", run, *QUICK]
    done = call(*words)
    assert done.returncode == 0, done.stderr
    with (run / "results.csv").open() as file:
        assert "selected" in {row["method"] for row in csv.DictReader(file)}
    assert call(*words).returncode == 2  # not empty, and --resume was not said
    asked = call("score", run, data / "machine0" / "anomaly")
    assert asked.returncode == 2
    assert "say which one is meant (--machine machine/machine_id)" in asked.stderr
    words = ["score", run, data / "machine0", "--machine", "machine0/id_00"]
    scores = json.loads(call(*words, "--json", "--out", tmp_path / "scores.csv").stdout)
    assert len(scores) == 9
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 10
    found = {Path(row["file"]).parent.name: [] for row in scores}
    for row in scores:
        found[Path(row["file"]).parent.name].append(row["anomaly_score"])
    assert min(found["anomaly"]) > sorted(found["normal"])[len(found["normal"]) // 2]
