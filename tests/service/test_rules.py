"""How a machine stands: no flapping, no alarm lost, and never "well" where nobody hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from thrum.monitoring import Judgement
from thrum.service.rules import Standing, acknowledged, after, closed, shown
from thrum.types import Clip

CLIP = Clip(Path("a.wav"), "fan", "id_00", "test")


def said(*words: str, begin: Standing | None = None) -> list[Standing]:
    standing, found = begin or Standing(), []
    for number, word in enumerate(words):
        judgement = Judgement(CLIP, 1.0, 0.5, word, "normal")  # type: ignore[arg-type]
        standing = after(
            standing, judgement, alarm=f"a{number}", suspicious_of=(2, 3), well_after=3
        )
        found.append(standing)
    return found


def test_one_strange_clip_changes_nothing_and_two_of_three_do() -> None:
    states = [each.state for each in said("well", "suspicious", "well", "well", "suspicious")]
    assert states == ["well"] * 5
    states = [each.state for each in said("well", "suspicious", "well", "suspicious")]
    assert states == ["well", "well", "well", "suspicious"]


def test_it_does_not_flap() -> None:
    words = ["suspicious", "suspicious", *["well", "well", "suspicious"] * 5]
    states = [each.state for each in said(*words)]
    assert states == ["well", *["suspicious"] * 16]
    assert said(*words, "well", "well", "well")[-1].state == "well"


def test_an_alarm_stays_until_a_person_has_heard_it() -> None:
    first = said("alarm", *["well"] * 50)
    assert {each.state for each in first} == {"alarm"}
    assert first[-1].alarm == "a0"
    heard = acknowledged(first[-1])
    then = said("alarm", "well", "well", "alarm", "well", "well", "well", "well", begin=heard)
    assert [each.state for each in then] == [*["acknowledged"] * 6, "well", "well"]
    assert then[5].alarm == "a0"
    assert then[6].alarm is None


def test_another_alarm_has_another_name() -> None:
    again = said("well", "alarm", begin=closed(said("alarm")[-1]))
    assert again[-1].alarm == "a1"


def test_clips_without_sound_say_nothing() -> None:
    before = said("well", "suspicious")[-1]
    assert said("no sound", "no sound", begin=before)[-1] == before


@pytest.mark.parametrize("health", ["silent", "constant", "wrong rate", "late", "gone"])
def test_a_machine_that_nobody_hears_is_neither_well_nor_failing(health: str) -> None:
    assert shown("well", health) == "unheard"
    assert shown("suspicious", health) == "unheard"
    assert shown("alarm", health) == "alarm"
    assert shown("well", "clipped") == "well"


def test_a_standing_comes_back_from_text() -> None:
    for standing in said("well", "suspicious", "alarm"):
        assert Standing.from_json(standing.to_json()) == standing
