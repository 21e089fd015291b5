"""The examples of the documentation run, and do what it says of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def test_judging_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len((EXAMPLES / "judge.py").read_text().splitlines()) <= 62
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "judge.py"))
    said = capsys.readouterr().out
    lines = {line[:2]: line for line in said.splitlines() if line[2:6] == ".wav"}
    assert len(lines) == 20
    assert not any("alarm" in lines[f"{number:02d}"] for number in range(12))
    assert "alarm, since" in lines["19"]
    assert "of 1 confirmed faults 1 would be heard" in said
    assert (tmp_path / "judged" / "why.html").exists()
