"""Rounds one after another: what goes wrong is told, noted and tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nvflare")

from thrum.errors import FederationError, StorageError
from thrum.federation.flare import serving
from thrum.federation.flare.history import note_round, rounds_of
from thrum.federation.flare.settings import ServerSettings, SiteSettings
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
            {"sites": {"b": [], "a": []}, "asked": ["a", "b"]},
            FederationError("site 'a' was lost"),
            OSError("no space"),
            {"sites": {}, "asked": []},
        ]
    )
    opened, slept, told, ended = [], [], [], []

    class Alive:
        def check(self) -> None:
            pass

        def tell(self, _: object) -> None:
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
    kit: Any = SimpleNamespace(warning=lambda: "the certificates end in 3 days")
    serving.serve_rounds(
        kit,
        kit,
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
    assert "the certificates end in 3 days" in told  # also of a service that is never started again
    (tmp_path / "config.toml").touch()
    status = status_of(tmp_path)
    assert (status.rounds_done, status.rounds_stopped) == (2, 2)


def test_who_comes_late_has_a_round_begun_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a site that is new in the list, which is read again before each round."""
    sites = tmp_path / "sites.toml"
    sites.write_text('[sites]\na = ["fan/id_00"]\n', encoding="utf-8")
    given, told = [], []
    connected = {"a"}

    class Alive:
        def check(self) -> None:
            if len(given) == 1 and "c" not in connected:
                lines = '[sites]\na = ["fan/id_00"]\nc = ["fan/id_02"]\n'
                sites.write_text(lines, encoding="utf-8")
                connected.update(("b", "c"))  # b has a kit, and is in no list

        def tell(self, settings: ServerSettings) -> None:
            given.append(sorted(settings.registry))

    @contextmanager
    def listening(*_: object, **__: object) -> Iterator[tuple[Any, Any]]:
        yield Alive(), SimpleNamespace(here=lambda may: sorted(connected & set(may)))

    def one_round(*_: object, **__: object) -> dict[str, Any]:
        return {"sites": {"a": []}, "asked": sorted(connected & set(given[-1]))}

    monkeypatch.setattr(serving, "listening", listening)
    monkeypatch.setattr(serving, "one_round", one_round)
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.01)
    kit: Any = SimpleNamespace(warning=lambda: None)
    settings = ServerSettings(tmp_path / "hub", {"a": ["fan/id_00"]}, sites_file=sites)
    settings.out.mkdir()
    serving.serve_rounds(
        kit,
        kit,
        settings,
        every_seconds=3600.0,
        wait_seconds=1,
        tell=told.append,
        progress=lambda *_: None,
        ended=lambda _: None,
        rounds=2,
    )
    assert given == [["a"], ["a", "c"]]
    assert "c came late: the next round begins now" in told


def test_a_torn_line_is_no_round(tmp_path: Path) -> None:
    assert rounds_of(tmp_path) == []
    note_round(tmp_path, began="2026-01-01T00:00:00+00:00", state="done")
    with (tmp_path / "rounds.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"began": "2026-01-0\n[]\n{}\n')
    assert [one["state"] for one in rounds_of(tmp_path)] == ["done"]


def test_a_folder_that_cannot_be_made_ends_the_service_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "hub"
    kit: Any = SimpleNamespace(warning=lambda: None)
    told: dict[str, Any] = {"tell": str, "progress": lambda *_: None, "ended": lambda *_: None}
    server = ServerSettings(out, {"a": ["fan/id_00"]})
    with pytest.raises(StorageError, match="hub cannot be made a folder .* choose another"):
        serving.serve_rounds(kit, kit, server, every_seconds=1.0, wait_seconds=1, **told)
    site = SiteSettings("a", tmp_path, out)
    with pytest.raises(StorageError, match="hub cannot be made a folder"):
        serving.take_part_in_rounds(kit, site, **told)
