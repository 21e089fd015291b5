"""``thrum data fetch``: what is shown, asked and answered; the records are on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from records_server import Server, archive, names_2020, serving
from thrum.cli import data_fetch
from thrum.cli.data import app
from thrum.cli.main import main
from thrum.datasets import download, records


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "KNOWN_MD5", {})
    with serving() as server:
        server.records[3678171] = {
            f"dev_data_{machine}.zip": archive(names_2020(machine, "dev"))
            for machine in ("fan", "pump")
        }
        monkeypatch.setattr(records, "ZENODO", server.url)
        yield server


def words(out: Path, *more: str) -> list[str]:
    return ["fetch", "dcase2020", "--out", str(out), "--parts", "dev", *more]


def test_the_licence_is_shown_and_the_clips_are_counted(server: Server, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, words(tmp_path, "--only", "fan, pump", "--yes"))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "dcase2020 is under CC BY-NC-SA 4.0, by its authors' words"
    assert lines[1] == f"{server.url}/records/3678171: x-1.0"
    assert lines[2] == (
        "    “This dataset was created by A, Ltd. and B, and is under the X license.”"
    )
    (row,) = [line for line in lines if "id_02" in line and "pump" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == ["pump", "id_02", "3", "2"]
    assert "2 archives fetched, 0 were complete; 20 clips." in result.stdout
    again = CliRunner().invoke(app, words(tmp_path))
    assert again.exit_code == 0
    assert f"all 2 archives are complete in {tmp_path}" in again.stdout
    assert len(server.files_asked()) == 2


def test_without_a_terminal_consent_must_be_given_beforehand(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["thrum", "data", *words(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in shown.out
    assert "nothing was downloaded: without a terminal" in shown.err
    assert "--yes" in shown.err
    assert server.files_asked() == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_it_asks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(data_fetch, "_on_a_terminal", lambda: True)
    result = CliRunner().invoke(app, words(tmp_path, "--only", "fan"), input=answer)
    assert "Do you accept the licence, and download?" in result.stderr
    assert result.exit_code == code
    assert len(server.files_asked()) == (1 if code == 0 else 0)
    assert (tmp_path / "dev_data/fan").exists() == (code == 0)


def test_json(server: Server, tmp_path: Path) -> None:
    server.md5s["dev_data_pump.zip"] = None
    CliRunner().invoke(app, words(tmp_path, "--only", "fan", "--yes"))
    result = CliRunner().invoke(app, words(tmp_path, "--yes", "--json"))
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["already_complete"] == ["dev_data_fan.zip"]
    (fetched,) = answer["fetched"]
    assert fetched["file"] == "dev_data_pump.zip"
    assert fetched["md5_was_published"] is False
    assert fetched["files"] == {"pump/train": 6, "pump/test": 4}
    assert {"machine": "fan", "machine_id": "id_02", "train": 3, "test": 2} in answer["clips"]
    assert "CC BY-NC-SA 4.0" in result.stderr


def test_an_unpublished_checksum_is_said_before_and_after(server: Server, tmp_path: Path) -> None:
    server.md5s["dev_data_fan.zip"] = None
    result = CliRunner().invoke(app, words(tmp_path, "--only", "fan", "--yes"))
    assert "MB, no MD5 published" in result.stdout
    assert "dev_data_fan.zip: no MD5 was published; " in result.stdout
