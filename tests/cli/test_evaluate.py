from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thrum.cli.main import app
from thrum.errors import EvaluationError
from thrum.evaluation import evaluate

LABELS = "00110011"
DOMAINS = "00001111"
SCORES = [0.1, 0.4, 0.3, 0.9, 0.5, 0.7, 0.6, 0.5]
DECISIONS = "01010000"


@pytest.fixture
def submission(tmp_path: Path) -> list[str]:
    """Truth and scores of two sections in the layout of 2022; returns the options that name them."""
    for part in ("fan_section_00", "fan_section_01"):
        names = [f"{part.removeprefix('fan_')}_{i:04d}.wav" for i in range(8)]
        for file, column in (
            (f"truth/ground_truth_data/ground_truth_{part}_test.csv", LABELS),
            (f"truth/ground_truth_domain/ground_truth_{part}_test.csv", DOMAINS),
            (f"scores/anomaly_score_{part}_test.csv", SCORES),
            (f"scores/decision_result_{part}_test.csv", DECISIONS),
        ):
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{n},{v}\n" for n, v in zip(names, column, strict=True)))
    truth, scores = tmp_path / "truth", tmp_path / "scores"
    return ["evaluate", "--truth", str(truth), "--scores", str(scores), "--year", "2022"]


def test_a_machine_in_brackets_is_shown(submission: list[str], tmp_path: Path) -> None:
    for path in [*tmp_path.rglob("*_fan_*.csv")]:
        path.rename(path.with_name(path.name.replace("_fan_", "_[fan]_")))
    run = CliRunner().invoke(app, submission, catch_exceptions=False)
    assert "\n[fan] " in run.stdout


def test_json_is_the_evaluation_and_nothing_else(submission: list[str]) -> None:
    run = CliRunner().invoke(app, [*submission, "--json"], catch_exceptions=False)
    found = json.loads(run.stdout)
    assert found == evaluate(submission[2], submission[4], 2022).to_dict()
    assert list(found) == ["year", "official_score", "ci95", "machines"]
    assert list(found["machines"]["fan"]["section_00"]) == [
        *("auc_source", "auc_target", "auc", "pauc"),
        *("precision_source", "recall_source", "f1_source"),
        *("precision_target", "recall_target", "f1_target"),
    ]


def test_table_fits_a_terminal(submission: list[str]) -> None:
    run = CliRunner().invoke(app, submission, catch_exceptions=False)
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    # AUC source, target, all; pAUC; precision, recall and F1 of source and target; in percent.
    section = next(line for line in lines if "section_01" in line)
    assert section.split()[1:] == ["87.50", "43.75", "65.62", "60.53", *["50.00", "0.00"] * 3]
    assert sum(line.startswith("  harmonic mean") for line in lines) == 2  # of fan, and of all
    assert any("0.590465, the harmonic mean of 6 values" in line for line in lines)


def test_table_says_that_there_are_no_decisions(submission: list[str]) -> None:
    for path in Path(submission[4]).glob("decision_result_*"):
        path.unlink()
    run = CliRunner().invoke(app, submission, catch_exceptions=False)
    assert "none submitted: no precision, recall and F1" in run.stdout
    assert "prec." not in run.stdout
    assert "null" in CliRunner().invoke(app, [*submission, "--json"]).stdout


def test_csv_holds_a_row_a_section(submission: list[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.csv"
    CliRunner().invoke(app, [*submission, "--out", str(path)], catch_exceptions=False)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    sections = evaluate(submission[2], submission[4], 2022).machines["fan"]
    assert [(row.pop("machine"), row.pop("section")) for row in rows] == [
        ("fan", "section_00"),
        ("fan", "section_01"),
    ]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [
        dict(section) for section in sections.values()
    ]


def test_errors_reach_the_handler_of_all_verbs(submission: list[str]) -> None:
    run = CliRunner().invoke(app, [*submission[:-1], "2020"])
    assert isinstance(run.exception, EvaluationError)
    assert "does not fit 2020: it looks like 2022" in str(run.exception)


@pytest.mark.data
@pytest.mark.parametrize("year", [2020, 2021, 2024])
def test_tables_of_the_other_years(shared: Path, year: int) -> None:
    folder = shared / "evaluator_cases" / f"dcase{year}"
    options = ["--truth", str(folder / "ground_truth"), "--year", str(year)]
    scores = str(folder / "submissions" / "syn_good")
    run = CliRunner().invoke(
        app, ["evaluate", *options, "--scores", scores], catch_exceptions=False
    )
    found = evaluate(folder / "ground_truth", scores, year)
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    n_sections = sum(len(sections) for sections in found.machines.values())
    assert sum(line.lstrip().startswith(("section_", "id_")) for line in lines) == n_sections
    if found.official_score is None:
        assert "official score  none" in run.stdout
    else:
        assert f"official score  {found.official_score:.6f}" in run.stdout
