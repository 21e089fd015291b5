"""Baselines: clips come and go, each change can be taken back, and nothing is lost when something breaks."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

import thrum
from monitoring_sound import faulty, well, written
from thrum.errors import DataError, StorageError, UsageError
from thrum.monitoring import AlarmSettings, Monitor, changing
from thrum.monitoring.changing import Signed
from thrum.monitoring.history import Change, History

NAME = "machine0/id_00"
SIGNED = Signed("2026-01-02T03:04:05+00:00", "Ada", "checked")


def opened(run: Path) -> Monitor:
    return thrum.open_monitor(run, NAME, alarms=AlarmSettings("clip", 20), device="cpu")


@pytest.fixture
def shifted(tmp_path: Path) -> list[Path]:
    """Normal sound after a repair: the whistle stays."""
    random = np.random.default_rng(20)
    return [written(tmp_path / "new", f"{n:02d}.wav", faulty(random)) for n in range(40)]


def test_confirmed_clips_bring_the_rate_back(run: Path, shifted: list[Path]) -> None:
    monitor = opened(run)
    before = monitor.judge(shifted[12:])
    assert all(judgement.state == "alarm" for judgement in before)
    changed = changing.add(monitor, shifted[:12], SIGNED, renew=True)
    assert changed.change == Change(
        2, 1, "add", SIGNED.when, "Ada", "checked", changed.change.clips
    )
    assert len(changed.change.clips) == 12
    for own in (monitor, opened(run)):  # now, and in another process
        p = np.array([judgement.p for judgement in own.judge(shifted[12:])])
        assert np.mean(p <= 2 / 13) < 0.4
        assert p.mean() > 0.3


def test_added_without_renewing_they_are_known_but_ranked_among_all(
    run: Path, shifted: list[Path]
) -> None:
    monitor = opened(run)
    changed = changing.add(monitor, shifted[:5], SIGNED)
    assert "add ten or more with --renew" in changed.advice[0]
    assert len(monitor.baseline.calibration()["normal"]) == 45
    assert monitor.baseline.clips[-1].name.endswith("04.wav")
    with pytest.raises(UsageError, match="knows all of these clips already"):
        changing.add(monitor, shifted[:5], SIGNED)


def test_every_change_can_be_taken_back(run: Path, shifted: list[Path]) -> None:
    monitor = opened(run)
    first = [judgement.score for judgement in monitor.judge(shifted[-3:])]
    changing.add(monitor, shifted[:5], SIGNED)
    second = [judgement.score for judgement in monitor.judge(shifted[-3:])]
    assert second != first
    changing.drop(monitor, [shifted[0], shifted[1].name], SIGNED)
    assert len(monitor.baseline.clips) == 43
    history = monitor.history
    assert history.undo(to=None, when="now", who="Bob", why="").version == 2
    assert [judgement.score for judgement in opened(run).judge(shifted[-3:])] == second
    assert history.undo(to=None, when="now", who="Bob", why="").version == 1
    assert [judgement.score for judgement in opened(run).judge(shifted[-3:])] == first
    assert history.undo(to=3, when="now", who="Bob", why="").version == 3  # and forwards again
    assert len(opened(run).baseline.clips) == 43
    with pytest.raises(UsageError, match="no version 9; there are: 1, 2, 3"):
        history.undo(to=9, when="now", who="Bob", why="")
    assert [change.what for change in history.changes()] == ["made", "add", "drop", *["undo"] * 3]


def test_the_first_version_has_none_before_it(run: Path) -> None:
    with pytest.raises(UsageError, match="no version before the first"):
        opened(run).history.undo(to=None, when="", who="", why="")


def test_confirmed_faults_are_kept_and_never_learnt(run: Path, shifted: list[Path]) -> None:
    monitor = opened(run)
    left_out = monitor.baseline.left_out
    changing.confirm_faults(monitor, shifted[:4], SIGNED)
    np.testing.assert_array_equal(monitor.baseline.left_out, left_out)
    assert opened(run).recall() == (4, 4)
    with pytest.raises(DataError, match="00.wav is a confirmed fault: undo that first"):
        changing.add(monitor, shifted[:4], SIGNED)
    changing.add(monitor, shifted[5:20], SIGNED, renew=True)  # if that were normal, so were they
    assert opened(run).recall()[0] < 4


def test_a_state_never_heard_begins_one_of_its_own(run: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(21)
    loud = [
        written(tmp_path / "loud", f"{n}.wav", (0.3 * random.normal(size=24000)).astype(np.float32))
        for n in range(15)
    ]
    monitor = opened(run)
    assert {judgement.state for judgement in monitor.judge(loud)} == {"unknown state"}
    changed = changing.add(monitor, loud[:10], SIGNED)
    assert set(changed.states) == {"state 2"}
    assert {judgement.operating for judgement in monitor.judge(loud[10:])} == {"state 2"}
    assert len(monitor.baseline.calibration()["state 2"]) == 10


@pytest.mark.parametrize("renew", [True, False])
def test_what_is_no_normal_sound_is_refused_whole(run: Path, tmp_path: Path, renew: bool) -> None:
    random = np.random.default_rng(22)
    monitor = opened(run)
    good = written(tmp_path, "good.wav", well(random))
    silent = written(tmp_path, "silent.wav", np.zeros(24000, np.float32))
    with pytest.raises(DataError, match="silent.wav is silent"):
        changing.add(monitor, [good, silent], SIGNED, renew=renew)
    short = written(tmp_path, "short.wav", well(random)[:500])
    with pytest.raises(DataError, match="short.wav is 0.031 s long.*nothing was added"):
        changing.add(monitor, [good, short], SIGNED)
    with pytest.raises(DataError, match="short.wav is 0.031 s long.*nothing was added"):
        changing.confirm_faults(monitor, [short], SIGNED)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="nothing was added"):
        changing.add(monitor, [good, tmp_path / "bad.wav"], SIGNED)
    assert monitor.history.current == 1
    if renew:
        with pytest.raises(UsageError, match="renew by 10 at least"):
            changing.add(monitor, [good], SIGNED, renew=True)


def test_what_is_not_there_is_not_dropped(run: Path) -> None:
    monitor = opened(run)
    with pytest.raises(UsageError, match="99.wav is none of the 40 normal clips"):
        changing.drop(monitor, ["99.wav"], SIGNED)
    everything = [clip.name for clip in monitor.baseline.clips]
    with pytest.raises(UsageError, match="no normal clip of machine0/id_00 would be left"):
        changing.drop(monitor, everything, SIGNED)


def test_a_damaged_baseline_is_named_and_the_one_before_still_counts(
    run: Path, shifted: list[Path]
) -> None:
    monitor = opened(run)
    changing.add(monitor, shifted[:3], SIGNED)
    path = monitor.history.folder / "v0002.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StorageError, match="damaged.*thrum baseline undo goes back"):
        opened(run)
    path.unlink()
    with pytest.raises(StorageError, match="is missing.*thrum baseline undo goes back"):
        opened(run)
    monitor.history.undo(to=None, when="", who="", why="")
    assert len(opened(run).baseline.clips) == 40


def test_a_baseline_of_another_version_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thrum.monitoring import baseline

    monitor = opened(run)
    with monkeypatch.context() as later:
        later.setattr(baseline, "FORMAT", 99)
        monitor.baseline.save(monitor.history.folder, "v0001")
    with pytest.raises(StorageError, match="of format 99, this version of thrum reads format 1"):
        opened(run)


@pytest.mark.parametrize("step", range(5))
def test_a_disk_that_is_full_loses_nothing(
    run: Path, shifted: list[Path], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whichever of the files of a change cannot be written, what counted before still does."""
    monitor = opened(run)
    wanted = [judgement.score for judgement in monitor.judge(shifted[-2:])]
    written_so_far = 0
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        nonlocal written_so_far
        written_so_far += 1
        if written_so_far > step:
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left on device"):
            changing.add(monitor, shifted[:3], SIGNED)
    for own in (monitor, opened(run)):
        assert [judgement.score for judgement in own.judge(shifted[-2:])] == wanted
        assert len(own.baseline.clips) == 40
    changing.add(monitor, shifted[:3], SIGNED)  # when there is room again
    assert len(opened(run).baseline.clips) == 43


def test_a_torn_line_of_the_log_counts_as_not_written(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.record(Change(1, 0, "made", "now", "Ada", ""))
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"version": 2, "par')
    assert history.current == 1
    history.record(Change(2, 1, "add", "now", "Ada", "", ("a.wav",)))
    assert [json.loads(line)["version"] for line in log.read_text().splitlines()] == [1, 2]
    log.write_bytes(b"nonsense\n" + log.read_bytes())
    with pytest.raises(StorageError, match="line 1, is damaged"):
        history.changes()


def test_two_that_change_at_once_do_not_mix(run: Path, shifted: list[Path]) -> None:
    monitor = opened(run)
    with monitor.history.lock(), pytest.raises(StorageError, match="another process changes"):
        changing.add(monitor, shifted[:3], SIGNED)
