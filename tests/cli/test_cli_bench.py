"""``thrum bench``: its words, its answers, its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import tables_of_tests
from thrum.cli.main import main


def thrum(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["thrum", "bench", *words])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_tables_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert thrum(monkeypatch, "--list", "--json") == 0
    names = [one["table"] for one in json.loads(capsys.readouterr().out)]
    assert len(names) == 17
    assert names[-2:] == ["synthetic", "testbed"]


def test_what_a_table_needs_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert thrum(monkeypatch, "self-supervised/table2", "--needs", "--json") == 0
    (need,) = json.loads(capsys.readouterr().out)
    assert need["data"] == ["thrum data fetch dcase2022 --out DIR --parts dev,add"]
    assert need["disk_bytes"] == (42000 + 4200) * 10 * 16000 * 2
    assert need["cells"] == 3
    # 42,000 clips and three seeds, at seconds a clip: hours, not minutes and not years
    assert 10 < need["hours"]["cpu"]["hours"] < 10_000
    assert need["hours"]["cpu"]["unmeasured"] == []
    assert thrum(monkeypatch, "self-supervised/table2", "--needs") == 0
    told = capsys.readouterr().out
    assert "self-supervised/table2: 15 GB of recordings, 3 cells\n    CPU hours, one core: " in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say which table: embedding-sharing/id-accuracy"),
        (["testbd"], "no table is called 'testbd'. Did you mean 'testbed'?"),
        (["testbed", "--only", "kn"], "no row of testbed is called 'kn'; there are: k-NN"),
        (["testbed", "--seeds", "one"], "--seeds is 'one', wanted a number or a list like 0,1,5"),
        (["testbed", "--seeds", "0"], "--seeds is '0', wanted at least one seed"),
        (["testbed", "--seeds", "1,1"], "--seeds is '1,1', wanted at least one seed, each once"),
        (["testbed", "--epochs", "0"], "--epochs is 0, wanted at least 1"),
    ],
)
def test_wrong_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert thrum(monkeypatch, *words) == 2
    assert message in capsys.readouterr().err


def test_without_data_the_published_numbers_are_shown_and_how_to_get_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["outlier-flow/table4", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    assert thrum(monkeypatch, *words) == 1
    told = capsys.readouterr().out
    assert "69.78" in told
    (missing,) = [line for line in told.splitlines() if line.startswith("Missing: ")]
    assert f"there is no {tmp_path / 'no'}; wanted: about 5 GB of recordings" in missing
    assert missing.endswith(
        f"get them with: thrum data fetch dcase2023 --out {tmp_path / 'no'} --parts dev,add"
    )
    assert (tmp_path / "out" / "outlier-flow-table4.html").exists()


def test_a_misspelt_name_is_missing_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tables_of_tests.TOML.replace('method = "mean"', 'method = "maen"')
    path = tables_of_tests.write(tmp_path, text)
    words = [str(path), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    words += ["--only", "neigh*", "--seeds", "1", "--jobs", "1"]
    assert thrum(monkeypatch, *words) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("missing") == 3
    assert "Missing: row 'neighbours': knn on presses has no scores called 'maen'; there" in told
    tables_of_tests.write(tmp_path)
    assert thrum(monkeypatch, *words) == 0


def test_a_table_of_ones_own_is_filled_and_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tables_of_tests.write(tmp_path)
    words = [str(path), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    words += ["--only", "neigh*", "--seeds", "4,", "--epochs", "1", "--json", "--jobs", "2"]
    assert thrum(monkeypatch, *words) == 0
    records = json.loads(capsys.readouterr().out)
    assert {one["row"] for one in records} == {"neighbours"}
    assert {tuple(one["seeds"]) for one in records} == {(4,)}
    assert {one["shortened"] for one in records} == {"at most 1 epochs"}
    first = records[0]
    assert first["mean"] - first["published"] == pytest.approx(first["difference"])
    assert json.loads((tmp_path / "out" / "small.json").read_text(encoding="utf-8")) == records
    words = [*words[:5], "--seeds", "4,", "--dry-run"]
    assert thrum(monkeypatch, *words) == 0
    told = capsys.readouterr()
    assert told.err == "cells to train: 1, about 0 min of one core\n"
    assert "autoencoder on presses, seed 4: not trained yet" in told.out
