"""Rounds one after another: what goes wrong is told, noted and tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nvflare")

from thrum.errors import FederationError
from thrum.federation.flare import serving
from thrum.federation.flare.history import note_round, rounds_of
from thrum.federation.flare.settings import ServerSettings
from thrum.federation.flare.status import status_of


def test_pauses_double_up_to_the_longest_and_begin_again() -> None:
    pause = serving.Pause(longest=30)
    assert [pause.after_failure() for _ in range(5)] == [5, 10, 20, 30, 30]
    pause.went_well()
    assert pause.after_failure() == 5


def test_a_round_that_stops_is_noted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: Iterator[Any] = iter(
        [
            {"sites": {"b": [], "a": []}},
            FederationError("site 'a' was lost"),
            OSError("no space"),
            {"sites": {}},
        ]
    )
    opened, slept, told, ended = [], [], [], []

    class Alive:
        def check(self) -> None:
            pass

    @contextmanager
    def listening(*_: object, **__: object) -> Iterator[tuple[Alive, None]]:
        opened.append(1)
        yield Alive(), None

    def one_round(*_: object, **__: object) -> dict[str, Any]:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    monkeypatch.setattr(serving, "listening", listening)
    monkeypatch.setattr(serving, "one_round", one_round)
    monkeypatch.setattr(serving.time, "sleep", slept.append)
    settings = ServerSettings(tmp_path, {"a": ["fan/id_00"], "b": ["fan/id_01"]})
    serving.serve_rounds(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        settings,
        every_seconds=0.01,
        wait_seconds=1,
        tell=told.append,
        progress=lambda *_: None,
        ended=ended.append,
        rounds=2,
    )
    assert [one["sites"] for one in ended] == [{"b": [], "a": []}, {}]
    assert len(opened) == 3  # the engine is started anew after each failure
    assert [one["state"] for one in rounds_of(tmp_path)] == ["done", "stopped", "stopped", "done"]
    assert rounds_of(tmp_path)[0]["sites"] == ["a", "b"]
    assert rounds_of(tmp_path)[1]["reason"] == "site 'a' was lost"
    assert any("site 'a' was lost; trying again in 5 s" in line for line in told)
    assert 5.0 in slept
    (tmp_path / "config.toml").touch()
    status = status_of(tmp_path)
    assert (status.rounds_done, status.rounds_stopped) == (2, 2)


def test_a_torn_line_is_no_round(tmp_path: Path) -> None:
    assert rounds_of(tmp_path) == []
    note_round(tmp_path, began="2026-01-01T00:00:00+00:00", state="done")
    with (tmp_path / "rounds.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"began": "2026-01-0\n[]\n{}\n')
    assert [one["state"] for one in rounds_of(tmp_path)] == ["done"]
