"""Alarms on streams: their promise by simulation, their levels by another computation, going on later."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from thrum.errors import ConfigError, StorageError
from thrum.monitoring.alarms import AlarmSettings, Evidence, Mild, highest_level, promise
from thrum.monitoring.stream import Stream


def begun(stream: Stream, scores: Iterable[float]) -> tuple[int, int]:
    """Return how often an alarm, and drift, began."""
    alarms = drifts = 0
    alarm = drift = False
    for score in scores:
        verdict = stream.hear(score, state="")
        alarms += verdict.alarm and not alarm
        drifts += verdict.drift and not drift
        alarm, drift = verdict.alarm, verdict.drift
    return alarms, drifts


@pytest.mark.parametrize("rule", ["stream", "x of y", "clip"])
def test_false_alarms_are_no_more_than_promised_whatever_the_normal_clips(rule: str) -> None:
    random = np.random.default_rng(5)
    settings = AlarmSettings(rule=rule, between_false_alarms=20, drift_factor=2)  # type: ignore[arg-type]
    sets, clips = 60, 300
    alarms, drifts = np.array(
        [
            begun(Stream({"": random.gumbel(size=30)}, settings), random.gumbel(size=clips))
            for _ in range(sets)
        ]
    ).T
    for counts, between in ((alarms, 20), (drifts, 40)):
        error = counts.std(ddof=1) / np.sqrt(sets)
        assert counts.mean() - 3 * error <= clips / between
    assert alarms.sum() > 100  # the rule does raise alarms


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["stream", "x of y", "clip"])
def test_the_promise_holds_on_a_million_clips(rule: str) -> None:
    random = np.random.default_rng(6)
    settings = AlarmSettings(rule=rule, between_false_alarms=200)  # type: ignore[arg-type]
    sets, clips = 100, 10_000
    counts = np.array(
        [
            begun(Stream({"": random.gumbel(size=300)}, settings), random.gumbel(size=clips))
            for _ in range(sets)
        ]
    )
    means, errors = counts.mean(axis=0), counts.std(axis=0, ddof=1) / np.sqrt(sets)
    assert means[0] - 3 * errors[0] <= clips / 200
    assert means[1] - 3 * errors[1] <= clips / 2000


def test_with_a_fixed_set_of_normal_clips_some_would_have_more_than_promised() -> None:
    """What `Ranks` is for: the same bets on p-values beside a set that does not grow."""
    random = np.random.default_rng(7)
    clips, between, n = 1500, 100, 20
    fixed, growing = [], []
    for _ in range(16):
        known, scores = np.sort(random.normal(size=n)), random.normal(size=clips)
        evidence, alarms, alarm = Evidence(between, n), 0, False
        for p in (1 + n - np.searchsorted(known, scores)) / (n + 1):
            now = evidence.hear(p)
            alarms, alarm = alarms + (now and not alarm), now
        fixed.append(alarms)
        settings = AlarmSettings(between_false_alarms=between)
        growing.append(begun(Stream({"": known}, settings), scores)[0])
    assert max(fixed) > 1.3 * clips / between
    assert max(growing) <= clips / between


def test_a_bet_is_fair_or_worse() -> None:
    p = (np.arange(100_000) + 0.5) / 100_000
    for kind in (Evidence(100), Evidence(100, 5), Mild(100)):
        mean = np.mean([kind._bets(each) for each in p[::7]], axis=0)
        assert (mean <= 1 + 2e-3).all()
        assert (mean > 0.99).all()


def test_the_level_of_x_of_y_by_another_computation() -> None:
    between, n = 50.0, 80
    level = highest_level(3, 5, between, n)
    grid = (np.arange(20_000) + 0.5) / 20_000

    def begins(k: int) -> float:
        often = grid * stats.binom.sf(1, 4, grid)
        return float(np.mean(often * stats.beta.pdf(grid, k, n + 1 - k)))

    k = round(level * (n + 1))
    assert begins(k) <= 1 / between < begins(k + 1)


def test_the_level_of_one_clip_is_the_conformal_one() -> None:
    assert highest_level(1, 1, 20, 99) == 5 / 100
    assert highest_level(1, 1, 1000, 50) == 0


def test_what_cannot_be_promised_is_said() -> None:
    settings = AlarmSettings(rule="clip", between_false_alarms=1000)
    assert "50 normal clips can promise at best one false alarm in 51 clips" in promise(
        settings, 50
    )
    assert "0 normal clips can promise nothing" in promise(settings, 0)
    assert "at most one false alarm in 1,000 clips" in promise(settings, 999)
    assert "at most one false alarm in 1,000 clips" in promise(AlarmSettings(), 50)


def test_a_fault_is_raised_soon_says_since_when_and_goes() -> None:
    random = np.random.default_rng(8)
    stream = Stream({"": random.normal(size=50)})
    for score in random.normal(size=200):
        stream.hear(score, state="")
    verdicts = [stream.hear(score, state="") for score in 5 + random.normal(size=30)]
    first = next(number for number, verdict in enumerate(verdicts) if verdict.alarm)
    assert first < 8
    assert abs(verdicts[first].since - (first + 1)) <= 1
    assert all(verdict.alarm for verdict in verdicts[first:])
    after = [stream.hear(score, state="").alarm for score in random.normal(size=100)]
    assert not any(after[60:])


def test_a_long_fault_does_not_become_normal() -> None:
    random = np.random.default_rng(9)
    stream = Stream({"": random.normal(size=30)})
    assert [stream.hear(score, state="").alarm for score in 5 + random.normal(size=3000)][-1]


def test_drift_is_what_is_a_little_stranger_for_long_and_not_a_few_strange_clips() -> None:
    random = np.random.default_rng(10)
    known = random.normal(size=200)
    settings = AlarmSettings(between_false_alarms=100)
    few = Stream({"": known}, settings)
    assert not any(few.hear(50.0, state="").drift for _ in range(9))
    slow = Stream({"": known}, settings)
    verdicts = [slow.hear(score, state="") for score in 1 + 0.3 * random.normal(size=60)]
    assert verdicts[-1].drift


def test_a_state_never_heard_is_no_fault_but_speaks_for_drift() -> None:
    stream = Stream({"": np.arange(100.0)}, AlarmSettings(between_false_alarms=100))
    verdicts = [stream.hear(1e3, state="", known=False) for _ in range(30)]
    assert not any(verdict.alarm for verdict in verdicts)
    assert verdicts[-1].drift


def test_forgotten_clips_are_not_normal() -> None:
    stream = Stream({"": np.arange(20.0)})
    for _ in range(4):
        stream.hear(100.0, state="")
    before = stream.hear(100.0, state="").p
    stream.forget(5)
    assert stream.hear(100.0, state="").p == 1 / 21 < before


@pytest.mark.parametrize("rule", ["stream", "x of y", "clip"])
def test_a_stream_goes_on_where_it_was(rule: str) -> None:
    random = np.random.default_rng(11)
    settings = AlarmSettings(rule=rule, between_false_alarms=30)  # type: ignore[arg-type]
    known, scores = random.normal(size=40), random.normal(size=200) + np.linspace(0, 3, 200)
    whole, first = Stream({"": known}, settings), Stream({"": known}, settings)
    wanted = [whole.hear(score, state="") for score in scores]
    found = [first.hear(score, state="") for score in scores[:120]]
    second = Stream({"": known}, settings)
    second.restore(json.loads(json.dumps(first.state())))
    assert found + [second.hear(score, state="") for score in scores[120:]] == wanted


def test_a_kept_stream_that_does_not_fit_is_refused() -> None:
    kept = Stream({"": [1.0]}).state()
    with pytest.raises(StorageError, match="rule 'stream', now it is 'clip'"):
        Stream({"": [1.0]}, AlarmSettings(rule="clip")).restore(kept)
    with pytest.raises(StorageError, match="not understood"):
        Stream({"": [1.0]}).restore({"rule": "stream"})


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="wanted 2 clips or more"):
        AlarmSettings(between_false_alarms=1)
    with pytest.raises(ConfigError, match="6 of the last 5"):
        AlarmSettings(x=6)
    with pytest.raises(ConfigError, match="suspicious"):
        AlarmSettings(suspicious=0)
