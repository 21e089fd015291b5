"""One clip's way: from a folder to an alarm on the page, once, as the monitor itself would judge it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from thrum.errors import StorageError
from thrum.monitoring import open_monitor
from thrum.service import answers
from thrum.service.running import Service
from thrum.service.store import outbox, schema, views
from thrum.service.telling import WebhookSettings
from watched import MACHINE, MakeService, Sounds, bring, judge_all, view


def answer(
    service: Service, what: answers.What, alarm: str | None, clips: list[int] | None = None
) -> None:
    with service.database.writing() as connection:
        answers.ask(
            connection, MACHINE, what, who="Ada", now=1.0, alarm=alarm, clip_numbers=clips or []
        )
    judge_all(service)


def test_from_a_folder_to_an_alarm_as_the_monitor_would_judge(
    make_service: MakeService, sounds: Sounds, run: Path
) -> None:
    service = make_service(webhooks=(WebhookSettings("http://127.0.0.1:9/"),))
    paths = sounds("w" * 8 + "f" * 8)
    bring(service, paths)
    judge_all(service)
    monitor = open_monitor(run, MACHINE, alarms=service.settings.machines[0].alarms)
    wanted = monitor.judge(paths)
    with service.database.reading() as connection:
        found = views.judged(connection, MACHINE, 100)
        alarms = views.alarms_of(connection)
        told = outbox.unsent(connection, "webhook 0")
    assert [row["score"] for row in found] == [each.score for each in wanted]
    assert [row["p"] for row in found] == [each.p for each in wanted]
    assert [row["state"] for row in found] == [each.state for each in wanted]
    assert view(service).state == "alarm"
    assert len(alarms) == 1
    first = next(row for row in found if row["state"] == "alarm")
    assert alarms[0]["clip"] == first["clip"]
    payload = json.loads(told[0]["payload"])
    assert payload["event"] == f"{alarms[0]['id']}-raised"
    assert payload["title"] == "Hum"
    with service.database.reading() as connection:
        kept = connection.execute(select(schema.clips.c.id).where(schema.clips.c.kept)).scalars()
        assert first["clip"] in set(kept)


@pytest.mark.parametrize("snapshots", [3, 1000])
def test_a_service_that_is_stopped_anywhere_goes_on_the_same(
    make_service: MakeService,
    sounds: Sounds,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: int,
) -> None:
    monkeypatch.setattr("thrum.service.judging.SNAPSHOT_EVERY", snapshots)
    paths = sounds("wwwwwffwwwffff")
    for at in range(0, len(paths), 4):
        service = make_service()
        bring(service, paths[at : at + 4])
        judge_all(service)
        service.stop()
    service = make_service()
    monitor = open_monitor(run, MACHINE, alarms=service.settings.machines[0].alarms)
    wanted = monitor.judge(paths)
    with service.database.reading() as connection:
        found = views.judged(connection, MACHINE, 100)
    assert [(row["state"], row["p"]) for row in found] == [(each.state, each.p) for each in wanted]


def test_two_services_in_one_folder_are_refused(make_service: MakeService) -> None:
    make_service()
    with pytest.raises(StorageError, match="another thrum monitor"):
        make_service()


def test_a_false_alarm_closes_and_the_stream_begins_anew(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    bring(service, sounds("wwwwffffff"))
    judge_all(service)
    alarm = view(service).alarm
    answer(service, "false alarm", alarm)
    assert view(service).state == "well"
    bring(service, sounds("w"))
    judge_all(service)
    assert view(service).state == "well"
    with service.database.reading() as connection:
        row = views.alarms_of(connection)[0]
    assert row["verdict"] == "false alarm"
    assert row["closed_at"] is not None


def test_a_confirmed_fault_is_kept_and_raises_no_second_alarm(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    bring(service, sounds("wwwwffffff"))
    judge_all(service)
    before = view(service)
    with service.database.reading() as connection:
        clip = views.alarms_of(connection)[0]["clip"]
    answer(service, "fault", before.alarm, [clip])
    assert view(service).state == "acknowledged"
    assert len(service.watched[MACHINE].monitor.baseline.faults) == 1
    bring(service, sounds("ffffff"))
    judge_all(service)
    assert view(service).state == "acknowledged"
    bring(service, sounds("wwwwwwwww"))
    judge_all(service)
    assert view(service).state == "well"
    with service.database.reading() as connection:
        assert len(views.alarms_of(connection)) == 1


def test_what_is_normal_is_learnt_and_later_clips_like_it_are_well(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    bring(service, sounds("wwffffff"))
    judge_all(service)
    with service.database.reading() as connection:
        strange = [row["clip"] for row in views.judged(connection, MACHINE, 6)]
    known = len(service.watched[MACHINE].monitor.baseline.clips)
    answer(service, "normal", view(service).alarm, strange)
    assert len(service.watched[MACHINE].monitor.baseline.clips) == known + 6
    assert view(service).state == "well"
    bring(service, sounds("ffffff"))
    judge_all(service)
    assert view(service).state in ("well", "suspicious")
    service.stop()
    again = make_service()
    assert len(again.watched[MACHINE].monitor.baseline.clips) == known + 6
    with again.database.reading() as connection:
        log = [row["what"] for row in connection.execute(select(schema.audit)).mappings()]
    assert log == ["normal", "baseline"]


def test_an_answer_of_a_machine_that_has_no_such_alarm_is_refused(
    make_service: MakeService,
) -> None:
    from thrum.errors import UsageError

    service = make_service()
    with pytest.raises(UsageError, match="no alarm 'abc'"):
        answer(service, "heard", "abc")
    with pytest.raises(UsageError, match="no clip 7"):
        answer(service, "normal", None, [7])
