"""What goes wrong around the service: a full disk, a clock set back, a kill in the middle of a change."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from thrum.service import answers
from thrum.service.intake import FullError
from thrum.service.running import Service
from thrum.service.store import schema, views
from watched import MACHINE, MakeService, Sounds, bring, judge_all, look, the_folder, view


def limit_database(service: Service, more_pages: int | None) -> None:
    """Let SQLite find no space for more pages than there are and so many; None: again as much as it likes."""

    def begun(connection: object) -> None:
        most = 1 << 30
        if more_pages is not None:
            most = more_pages + connection.exec_driver_sql("PRAGMA page_count").scalar()  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count={most}")  # type: ignore[attr-defined]

    event.listen(service.database.engine, "begin", begun)


def test_a_database_that_finds_no_space_takes_nothing_and_loses_nothing(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    bring(service, sounds("ww"))
    judge_all(service)
    limit_database(service, 0)
    with pytest.raises(OperationalError, match="full"):
        for path in sounds("w" * 24):  # a page that is begun has room for a few rows
            bring(service, [path])
    with service.database.reading() as connection:
        taken = sum(views.totals(connection).values())
    assert taken < 26
    limit_database(service, None)
    look(service)
    for path in sorted((the_folder(service).folder.parent / "sounds").iterdir()):
        if not (the_folder(service).folder / path.name).exists():
            shutil.copy(path, the_folder(service).folder / path.name)
    look(service)
    judge_all(service)
    with service.database.reading() as connection:
        assert views.totals(connection) == {"judged": 26}
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_judgement_that_finds_no_space_is_made_again(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    bring(service, sounds("w"))
    judge_all(service)
    bring(service, sounds("wwffff"))
    limit_database(service, 0)
    with monkeypatch.context() as swollen:  # no page that is begun has room for these
        large = SimpleNamespace(dumps=lambda *_: "x" * 50_000)
        swollen.setattr("thrum.service.store.machines.json", large)
        with pytest.raises(OperationalError, match="full"):
            service.judging.once()
    with service.database.reading() as connection:
        assert views.totals(connection) == {"waiting": 6, "judged": 1}
    limit_database(service, None)
    judge_all(service)
    assert view(service).judged == 7
    with service.database.reading() as connection:
        alarms = views.alarms_of(connection)
    assert len(alarms) == 1


def test_sound_that_finds_no_space_is_not_acknowledged(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    content = sounds("w")[0].read_bytes()
    source = service.settings.inputs[1]

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for place in ("incoming", "audio"):
        with monkeypatch.context() as patched:
            if place == "incoming":
                patched.setattr(Path, "write_bytes", full)
            else:
                patched.setattr("thrum.storage.Path.replace", full)
            with pytest.raises((OSError, FullError), match="No space left"):
                service.intake.recording(source, content)
    with service.database.reading() as connection:
        assert views.totals(connection) == {}
    assert [path for path in service.audio.rglob("*") if path.is_file()] == []
    assert service.intake.recording(source, content).new == 1


def test_a_clock_that_is_set_back_an_hour_harms_nothing(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    bring(service, sounds("www"))
    judge_all(service)
    earlier = service.intake.now() - 3600
    for each in (service.intake, service.judging, service.retention):
        monkeypatch.setattr(each, "now", lambda: earlier)
    source = service.settings.inputs[1]
    for path in sounds("ffffff"):
        service.intake.recording(source, path.read_bytes())
    judge_all(service)
    service.keeping.once()
    service.retention.once()
    with service.database.reading() as connection:
        rows = views.judged(connection, MACHINE, 100)
        hours = views.hours_in(connection, MACHINE, 0.0, earlier)
        health = {row["name"]: row["health"] for row in views.all_inputs(connection, ["http"])}
    assert [row["number"] for row in rows] == list(range(1, 10))
    assert view(service).state == "alarm"
    assert health == {"http": "well"}
    assert all(spent >= 0 for spent in hours.values())


@pytest.mark.parametrize("what", ["normal", "fault"])
def test_a_change_of_the_baseline_cut_off_before_the_database_knew_is_there_once(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch, what: answers.What
) -> None:
    service = make_service()
    bring(service, sounds("wwffffff"))
    judge_all(service)
    alarm = view(service).alarm
    with service.database.reading() as connection:
        clip = views.alarms_of(connection)[0]["clip"] - 3  # long before: its sound would be thinned
    with service.database.writing() as connection:
        answers.ask(connection, MACHINE, what, who="Ada", now=1.0, alarm=alarm, clip_numbers=[clip])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(answers, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            service.judging.once()
    service.stop()
    again = make_service()
    judge_all(again)
    monitor = again.watched[MACHINE].monitor
    known = monitor.baseline.faults if what == "fault" else monitor.baseline.clips[40:]
    assert [each.name for each in known] == [f"clip {clip}"]
    assert monitor.history.current == 2
    with again.database.reading() as connection:
        row = connection.execute(select(schema.answers)).mappings().one()
        kept = connection.execute(select(schema.clips.c.kept).where(schema.clips.c.id == clip))
        assert row["outcome"] == "version 2 of the baseline"
        assert kept.scalar_one()


def test_two_answers_of_one_person_within_a_second_are_both_carried_out(
    make_service: MakeService, sounds: Sounds
) -> None:
    """What one did is not taken for what a kill left undone of the next, though fewer clips are in it."""
    service = make_service()
    bring(service, sounds("wwffffff"))
    judge_all(service)
    with service.database.reading() as connection:
        numbers = [row["clip"] for row in views.judged(connection, MACHINE, 100)]
    asked: list[tuple[answers.What, list[int]]] = [("fault", numbers[:1]), ("normal", numbers[:3])]
    asked += [("normal", numbers[1:2]), ("normal", numbers[1:4])]
    alarm = view(service).alarm
    for place, (what, clips) in enumerate(asked):
        meant = {"alarm": alarm} if what == "fault" else {}
        with service.database.writing() as connection:
            answers.ask(
                connection,
                MACHINE,
                what,
                who="Ada",
                now=1 + place / 100,
                clip_numbers=clips,
                **meant,
            )
        service.judging.once()
    monitor = service.watched[MACHINE].monitor
    assert [each.name for each in monitor.baseline.faults] == [f"clip {numbers[0]}"]
    learnt = {each.name for each in monitor.baseline.clips[40:]}
    assert learnt == {f"clip {number}" for number in numbers[1:4]}
    with service.database.reading() as connection:
        outcomes = list(connection.execute(select(schema.answers.c.outcome)).scalars())
    assert outcomes[1] == f"not done: clip {numbers[0]} is a confirmed fault: undo that first"


def test_what_kills_left_half_taken_goes(make_service: MakeService) -> None:
    service = make_service()
    for name, hours in (("incoming-old", 2), ("incoming-new", 0)):
        folder = service.audio / "incoming" / name
        folder.mkdir(parents=True)
        (folder / "clip.wav").write_bytes(b"RIFF")
        at = service.intake.now() - 3600 * hours
        os.utime(folder, (at, at))
    assert service.retention.sweep() == 1
    assert [path.name for path in (service.audio / "incoming").iterdir()] == ["incoming-new"]
