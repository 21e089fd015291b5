"""How seldom false alarms shall be, in words."""

from __future__ import annotations

import pytest

from thrum.errors import UsageError
from thrum.monitoring.asked import clips_between, seconds_of


@pytest.mark.parametrize(
    ("asked", "every", "clips"),
    [
        ("1 per week", "10s", 60480),
        ("2 per day", "1 min", 720),
        ("1 per 2 weeks", "10", 120960),
        ("1 in 500 clips", None, 500),
        ("1/500", None, 500),
        ("2 in 1000", None, 500),
        ("1 a month", "1h", 730.5),
    ],
)
def test_words_become_clips(asked: str, every: str | None, clips: float) -> None:
    assert clips_between(asked, every=every) == pytest.approx(clips)


@pytest.mark.parametrize(
    ("asked", "every", "said"),
    [
        ("never", None, "not understood"),
        ("1 per fortnight", "10s", "not understood"),
        ("1 per week", None, "--every 10s"),
        ("1 per week", "soon", "the time 'soon' is not understood"),
        ("0 per week", "10s", "a number above 0"),
        ("1 in 1.2.3 clips", None, "a number above 0"),
        ("1 per minute", "1min", "one in 1 clips"),
    ],
)
def test_what_is_not_understood_is_said(asked: str, every: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        clips_between(asked, every=every)


def test_times() -> None:
    assert [seconds_of(time) for time in ("10s", "5 min", "1.5h", "3")] == [10, 300, 5400, 3]
