"""``thrum collaborate ledger`` and what server and client say and are told; rounds are tests/federation's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import machines
from thrum import embedders
from thrum.cli.collaborate import app
from thrum.errors import DataError
from thrum.federation import inprocess
from thrum.federation.flare import kit, rounds
from thrum.federation.flare.settings import SiteSettings
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


def test_the_server_ends_with_what_a_reader_must_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sites.toml").write_text('[sites]\nnorth = ["fan/id_00"]')
    outcome = {"sites": {"north": ["fan/id_00"]}, "classifiers": [], "alone": []}
    outcome["notes"] = ["these can be turned back into sound"]
    monkeypatch.setattr(kit, "server_kits", lambda folder: (None, None))
    monkeypatch.setattr(rounds, "serve", lambda *_, **__: outcome)
    words = ["server", "--kit", tmp_path, "--sites", tmp_path / "sites.toml", "--out", tmp_path]
    shown = RUNNER.invoke(app, [str(word) for word in words])
    assert "note: these can be turned back into sound" in shown.output, shown.output


def test_a_deployed_round_is_no_comparison(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text('[sites]\nnorth = ["fan/id_00"]')
    words = ["server", "--kit", tmp_path, "--sites", tmp_path / "sites.toml", "--out", tmp_path]
    shown = RUNNER.invoke(app, [*map(str, words), "--set", "training=fedavg"])
    assert "training is 'fedavg': that is a comparison" in str(shown.exception)


@pytest.mark.parametrize(
    ("words", "embedder", "grouped"),
    [
        ([], "modulation", False),
        (["--preset", "paper"], "openl3_6144", True),
        (["--preset", "paper", "--embedder", "yamnet"], "yamnet", True),
        (["--preset", "paper", "--set", "embedder=panns", "--one-for-all"], "panns", False),
        (["--per-machine-type"], "modulation", True),
    ],
)
def test_a_preset_brings_its_embedder_and_its_grouping(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    embedder: str,
    grouped: bool,
) -> None:
    told: dict[str, Any] = {}

    def asked(name: str) -> str:
        told["created"] = name
        return name

    def simulated(dataset: object, **settings: Any) -> None:
        told.update(settings)
        raise DataError("enough is known")

    monkeypatch.setattr(embedders, "create_embedder", asked)
    monkeypatch.setattr(inprocess, "simulate", simulated)
    machines.write_sound(tmp_path / "data")
    where = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    shown = RUNNER.invoke(app, ["simulate", *where, *words])
    assert "enough is known" in str(shown.exception), shown.output
    assert told["created"] == told["config"].embedder == embedder
    assert told["per_machine_type"] is grouped


@pytest.mark.parametrize(("words", "allowed"), [([], 1), (["--algorithm", "2"], 2)])
def test_a_client_lets_test_clips_leave_only_where_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], allowed: int
) -> None:
    seen: list[SiteSettings] = []

    def take_part(_: object, settings: SiteSettings, **__: Any) -> tuple[list[Any], list[str]]:
        seen.append(settings)
        return [], []

    own = kit.Kit(tmp_path, "site", "north", "north", "localhost", 1, None)  # type: ignore[arg-type]
    monkeypatch.setattr(kit, "read_kit", lambda folder, role: own)
    monkeypatch.setattr(rounds, "take_part", take_part)
    folder = str(tmp_path)
    shown = RUNNER.invoke(
        app, ["client", "--kit", folder, "--data", folder, "--out", folder, *words]
    )
    assert shown.exit_code == 0, shown.output
    assert [settings.algorithm for settings in seen] == [allowed]
