"""New clips, as a site counts and says them, and a round that begins because of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nvflare")

from thrum.errors import FederationError
from thrum.federation.flare import announcing, resources, serving
from thrum.federation.flare.allowed import Allowed
from thrum.federation.flare.announcing import Counting, announced, note_taken
from thrum.federation.flare.operator import Operator
from thrum.federation.flare.settings import ServerSettings
from thrum.federation.ledger import Ledger
from thrum.types import Clip


def clips(folder: Path, *names: str) -> list[Clip]:
    """Clips to learn from, and one to be judged, which is never new."""
    found = [Clip(folder / name, "fan", "id_00", "train") for name in names]
    return [*found, Clip(folder / "test", "fan", "id_00", "test", "normal")]


def test_new_are_the_clips_of_no_round_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcing, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(announcing, "MOST_OF_THE_TIME", float("inf"))
    there = clips(tmp_path, "a", "b")
    counting = Counting(tmp_path, lambda: there)
    assert announced(tmp_path).new_clips == 0  # before anybody has looked
    counting.look()
    assert announced(tmp_path).new_clips == 2
    note_taken(tmp_path, there)
    assert announced(tmp_path).new_clips == 0
    there = clips(tmp_path, "b", "c", "d", "e")  # a was deleted
    counting.look()
    assert announced(tmp_path).new_clips == 3
    (tmp_path / "taken.json").write_text("[", encoding="utf-8")
    counting.look()
    assert announced(tmp_path).new_clips == 4  # nothing tells which were taken

    def unreadable() -> Sequence[Clip]:
        raise FederationError("the share is away")

    Counting(tmp_path, unreadable).look()
    assert "could not be counted" in caplog.text
    assert announced(tmp_path).new_clips == 4


def test_looking_takes_little_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = [100.0], []
    monkeypatch.setattr(announcing.time, "monotonic", lambda: clock[0])

    def slow() -> Sequence[Clip]:
        looks.append(clock[0])
        clock[0] += 2.0
        return []

    counting = Counting(tmp_path, slow)
    for _ in range(100):
        counting.look()
        clock[0] += 1.0
    assert looks == [100.0, 140.0, 180.0]  # two of forty seconds


def test_what_is_announced_stands_in_the_ledger_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resources, "read_settings", lambda _: SimpleNamespace(out=tmp_path))
    site = resources.SiteResources()

    def said() -> list[str]:
        return [entry.detail for entry in Ledger(tmp_path / "ledger.jsonl").entries()]

    for count in (0, 5, 5):
        (tmp_path / "new_clips.json").write_text(f'{{"new_clips": {count}}}', encoding="utf-8")
        assert site.report_resources(None) == f'{{"new_clips": {count}}}'
    words = "new clips, each time that the server asks"
    assert said() == [f"0 {words}", f"5 {words}"]
    (tmp_path / "new_clips.json").write_text('{"new_clips": -1}', encoding="utf-8")
    assert site.report_resources(None) == ""  # no traceback goes to the server
    assert "could not be announced" in caplog.text
    assert len(said()) == 2


class Session:
    """The engine's session with the server, as it behaves."""

    def __init__(self, connected: Sequence[str], resources: dict[str, str]) -> None:
        self.clients, self.resources = list(connected), resources
        self.disabled: list[str] = []

    def get_connected_client_list(self) -> list[Any]:
        return [SimpleNamespace(name=one) for one in self.clients if one not in self.disabled]

    def disable_client(self, name: str) -> None:
        self.disabled.append(name)

    def enable_client(self, name: str) -> None:
        self.disabled.remove(name)

    def report_resources(self, kind: str, names: Sequence[str]) -> dict[str, str]:
        if "gone" in names:
            raise KeyError("gone")
        return {name: self.resources[name] for name in names}


def test_who_is_in_no_list_is_put_out_until_it_is(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(["north", "south"], {})
    operator = Operator(session)
    assert operator.here({"north"}) == ["north"]
    assert session.disabled == ["south"]
    assert "site 'south' is not in the list of sites, and was put out" in caplog.text
    assert operator.here({"north"}) == ["north"]
    assert session.disabled == ["south"]
    operator.here({"north", "south"})  # it has to connect again
    assert session.disabled == []
    assert operator.here({"north", "south"}) == ["north", "south"]


def test_whatever_the_engine_raises_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A server that goes on for years starts again after a `ThrumError`, and after no other."""
    session = Session(["north", "gone"], {"north": "{}"})
    with pytest.raises(FederationError, match="failed at asking for new clips: KeyError: 'gone'"):
        Operator(session).announced(["gone"])
    with pytest.raises(FederationError, match="failed at looking after the round: AttributeError"):
        Operator(session).finished("job")
    assert Operator(session).announced(["north"]) == {}
    assert "does not say how many new clips" in caplog.text


@pytest.mark.parametrize("text", ["", "7", '{"new_clips": -1}', '{"new_clips": 1e9}', "{" * 10000])
def test_a_broken_announcement_is_none(text: str) -> None:
    session = Session(["a", "b"], {"a": text, "b": '{"new_clips": 7}'})
    assert Operator(session).announced(["a", "b"]) == {"b": 7}


def test_a_round_is_due_when_enough_new_clips_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the sites that were in the last one to its end, and after as much time as that took."""
    new = dict.fromkeys(("a", "b", "left out"), '{"new_clips": 4}')
    session: Any = Operator(Session(list(new), new))
    settings = ServerSettings(tmp_path, {name: (f"fan/{name}",) for name in new})
    outcome: dict[str, Any] = {"asked": list(new), "sites": {"a": [], "b": []}}
    monkeypatch.setattr(serving.time, "monotonic", lambda: 100.0)

    def due(when_clips: int | None, soonest: float = 100.0) -> str | None:
        return serving._due(session, Allowed(None), settings, outcome, when_clips, soonest)

    assert due(8) == "8 new clips have come at a, b"
    assert due(9) is None
    assert due(None) is None
    assert due(8, soonest=101.0) is None
    outcome["asked"] = ["a", "b"]
    assert due(None) == "left out came late"
    session = Operator(Session(["a", "gone"], new))
    settings = ServerSettings(tmp_path, {"a": ("fan/a",), "gone": ("fan/b",)})
    outcome = {"asked": ["a", "gone"], "sites": {"a": [], "gone": []}}
    with caplog.at_level(logging.WARNING):
        assert due(1) is None  # asked again at the next look
    assert "failed at asking for new clips" in caplog.text
