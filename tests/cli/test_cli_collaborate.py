"""``thrum collaborate ledger`` and what a client may be told; rounds are tests/federation's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from thrum.cli.collaborate import app
from thrum.federation.ledger import Ledger

RUNNER = CliRunner()


@pytest.mark.parametrize("invertible", [True, False])
def test_the_ledger_says_where_sound_can_be_made_of_what_left(
    tmp_path: Path, invertible: bool
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record(
        "embeddings", "fan/id_00, train", clips=4, n_bytes=10, sha256="0", invertible=invertible
    )
    shown = RUNNER.invoke(app, ["ledger", str(tmp_path)]).output
    assert "1 messages, 10 bytes; no recording among them" in shown
    assert ("can be turned back into sound" in shown) is invertible


def test_the_ledger_counts_lines_that_cannot_be_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record("manifest", "train", clips=0, n_bytes=10, sha256="0")
    with ledger.path.open("a") as file:
        file.write('{"torn')
    shown = RUNNER.invoke(app, ["ledger", str(tmp_path)])
    assert shown.exit_code == 0
    assert "1 messages, 10 bytes" in shown.output
    assert "1 lines cannot be read" in shown.output
