"""``thrum collaborate ledger`` and what server and client say and are told; rounds are tests/federation's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import machines
from thrum import embedders
from thrum.cli.collaborate import app
from thrum.errors import DataError, UsageError
from thrum.federation import inprocess
from thrum.federation.flare import kit, rounds
from thrum.federation.flare.settings import SiteSettings
from thrum.federation.flare.state import ProgressLog, write_state
from thrum.federation.ledger import Ledger

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("embedder", "told"),
    [("Modulation", "attackers read off them"), ("Precomputed", "nobody has audited these")],
)
def test_the_ledger_says_what_audits_found_of_what_left(
    tmp_path: Path, embedder: str, told: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record(
        "embeddings",
        "fan/id_00, train",
        clips=4,
        n_bytes=10,
        sha256="0",
        embedder=embedder,
        chain="clip_mean",
    )
    shown = RUNNER.invoke(app, ["ledger", str(tmp_path)]).output
    assert "1 messages, 10 bytes; no recording among them" in shown
    assert told in shown


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
    words += ["--sharing", "embeddings", "--set", "training=fedavg"]
    shown = RUNNER.invoke(app, [*map(str, words)])
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
    shown = RUNNER.invoke(app, ["simulate", *where, "--sharing", "embeddings", *words])
    assert "enough is known" in str(shown.exception), shown.output
    assert told["created"] == told["config"].embedder == embedder
    assert told["per_machine_type"] is grouped


BOTH = ["--sharing", "embeddings", "--algorithm", "2"]


@pytest.mark.parametrize(("words", "allowed"), [([], 1), (BOTH, 2)])
def test_a_client_lets_test_clips_leave_only_where_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], allowed: int
) -> None:
    seen: list[SiteSettings] = []

    def take_part(_: object, settings: SiteSettings, **__: Any) -> tuple[list[Any], list[str]]:
        seen.append(settings)
        return [], []

    until = datetime.now(UTC) + timedelta(days=99)
    own = kit.Kit(tmp_path, "site", "north", "n", "localhost", 1, "localhost", until, None)  # type: ignore[arg-type]
    monkeypatch.setattr(kit, "read_kit", lambda folder, role: own)
    monkeypatch.setattr(rounds, "take_part", take_part)
    folder = str(tmp_path)
    shown = RUNNER.invoke(
        app, ["client", "--kit", folder, "--data", folder, "--out", folder, *words]
    )
    assert shown.exit_code == 0, shown.output
    assert [settings.algorithm for settings in seen] == [allowed]


def test_the_status_of_a_site_says_what_it_was_told_sent_and_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for clips in (4, 3):
        ledger.record("embeddings", "fan/id_00", clips=clips, n_bytes=10, sha256="0")
    write_state(
        tmp_path,
        "stopped",
        reason="the server stopped the round",
        failure="chunk: StorageError: no space",
        told={"protocol": [3, 1], "algorithm": 2},
    )
    (tmp_path / "refused.json").write_text('["a classifier came that does not work here"]')
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "fan_id_00.json").touch()
    shown = RUNNER.invoke(app, ["status", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    for words in (
        "site: the last round is stopped, since 20",
        "round:      Algorithm 2, protocol 3.1",
        "last error: the server stopped the round; chunk: StorageError: no space",
        "in force:   fan_id_00",
        "refused:    a classifier came that does not work here",
        "has left:   2 messages, 20 bytes",
    ):
        assert words in shown.output
    told = json.loads(RUNNER.invoke(app, ["status", str(tmp_path), "--json"]).output)
    assert (told["role"], told["state"], told["n_bytes"]) == ("site", "stopped", 20)


def test_the_status_of_a_server_says_what_it_keeps_of_whom(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    shown = RUNNER.invoke(app, ["status", str(tmp_path)])
    assert "server: no round has begun" in shown.output
    assert "last error: none" in shown.output
    ProgressLog(tmp_path)("collecting train embeddings", 1, 2)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"torn')
    for site, sizes in (("north", (5, 7)), ("south", (11,))):
        for number, size in enumerate(sizes):
            folder = tmp_path / "pieces" / site / "train"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.npy").write_bytes(bytes(size))
    write_state(tmp_path, "done", sites={"north": ["fan/id_00"]}, notes=["fan/id_00 is alone"])
    told = json.loads(RUNNER.invoke(app, ["status", str(tmp_path), "--json"]).output)
    assert told["sites"] == [
        {"name": "north", "machines": ["fan/id_00"], "pieces": 2, "n_bytes": 12},
        {"name": "south", "machines": [], "pieces": 1, "n_bytes": 11},
    ]
    shown = RUNNER.invoke(app, ["status", str(tmp_path)])
    assert "last step:  collecting train embeddings: 1/2" in shown.output
    assert "note:       fan/id_00 is alone" in shown.output
    assert "certificates_valid_until" in told


def test_metrics_are_what_prometheus_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back by Prometheus' own client."""
    from prometheus_client.parser import text_string_to_metric_families

    from thrum.cli import collaborate_status
    from thrum.federation.flare.history import note_round

    def values(out: Path, **more: Path) -> dict[tuple[str, ...], float]:
        file = tmp_path / "textfiles" / "thrum.prom"
        words = ["status", str(out), "--metrics", str(file)]
        words += [word for name, path in more.items() for word in (f"--{name}", str(path))]
        done = RUNNER.invoke(app, words)
        assert (done.exit_code, done.output) == (0, "")
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(file.read_text())
            for sample in family.samples
        }

    hub, site = tmp_path / "hub", tmp_path / "site"
    (hub / "pieces" / "north" / "train").mkdir(parents=True)
    (hub / "pieces" / "north" / "train" / "0.npy").write_bytes(bytes(5))
    (hub / "statistics" / 'a "b"').mkdir(parents=True)
    (hub / "statistics" / 'a "b"' / "statistics.json").write_bytes(bytes(3))
    for state in ("done", "done", "stopped"):
        note_round(hub, began="2026-01-01T00:00:00+00:00", state=state)
    write_state(hub, "stopped", reason="site 'north' was lost")
    ends = datetime.now(UTC) + timedelta(days=9, hours=12)
    own = SimpleNamespace(name="server", valid_until=ends)
    monkeypatch.setattr(collaborate_status, "_kits", lambda folder: [own])
    found = values(hub, kit=tmp_path)
    assert found["thrum_rounds", "server", "done"] == 2
    assert found["thrum_rounds", "server", "stopped"] == 1
    assert found["thrum_round_state", "server", "stopped"] == 1
    assert found["thrum_round_state", "server", "done"] == 0
    assert found["thrum_round_failed", "server"] == 1
    assert found["thrum_sites", "server"] == 2
    assert found["thrum_site_bytes", "server", "north"] == 5
    assert found["thrum_site_bytes", "server", 'a "b"'] == 3
    assert found["thrum_certificate_days_left", "server", "server"] == pytest.approx(9.5, abs=0.01)
    noted = found["thrum_round_state_since_seconds", "server"]
    assert noted == pytest.approx(datetime.now(UTC).timestamp(), abs=60)

    ledger = Ledger(site / "ledger.jsonl")
    ledger.record("statistics", "fan/id_00", clips=4, n_bytes=10, sha256="0")
    with ledger.path.open("a") as file:
        file.write("torn\n")
    found = values(site)
    assert found["thrum_messages_sent", "site"] == 1
    assert found["thrum_bytes_sent", "site"] == 10
    assert found["thrum_ledger_damaged_lines", "site"] == 1
    assert found["thrum_round_state", "site", "waiting"] == 1


def test_the_status_of_another_folder_is_said(tmp_path: Path) -> None:
    shown = RUNNER.invoke(app, ["status", str(tmp_path)])
    assert isinstance(shown.exception, DataError)
    assert "is the folder of no server and no site" in str(shown.exception)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("server --kit k --sites s --out o --rounds 2", "--rounds"),
        ("server --kit k --sites s --out o --every 6h", "--every"),
        ("server --kit k --sites s --out o --when-clips 50", "--when-clips"),
        ("client --kit k --data d --out o --rounds 2", "--rounds"),
    ],
)
def test_what_is_of_rounds_that_go_on_wants_serve(words: str, option: str) -> None:
    error = RUNNER.invoke(app, words.split()).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(option)
    assert "give --serve, too" in str(error)
