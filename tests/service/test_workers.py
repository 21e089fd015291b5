"""Several workers over one store: what one judges, the other goes on from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from thrum.monitoring import open_monitor
from thrum.service import answers, watching
from thrum.service.config import Settings
from thrum.service.running import Service
from thrum.service.store import clips, views
from watched import MACHINE, MakeService, Sounds, view

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "service_workers.py"
PROGRAMS = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
)


@pytest.fixture
def workers(make_service: MakeService, settings: Settings, tmp_path: Path) -> list[Service]:
    """Two services, each with a folder of its own, over one database and one folder of audio."""
    shared = {"database": f"sqlite:///{tmp_path / 'shared.sqlite'}", "audio": tmp_path / "audio"}
    return [
        make_service(service=replace(settings.service, folder=tmp_path / name, **shared))
        for name in ("one", "other")
    ]


def take(service: Service, path: Path) -> None:
    service.intake.recording(service.settings.inputs[1], path.read_bytes())


@pytest.mark.parametrize("snapshots", [3, 1000])
def test_workers_in_turn_judge_as_one_monitor_does(
    workers: list[Service],
    sounds: Sounds,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: int,
) -> None:
    monkeypatch.setattr("thrum.service.judging.SNAPSHOT_EVERY", snapshots)
    opened = []
    opens = watching.open_monitor
    monkeypatch.setattr(
        watching, "open_monitor", lambda *a, **k: opened.append(a) or opens(*a, **k)
    )
    paths = sounds("wwfwwwwffwffff")
    for number, path in enumerate(paths):
        take(workers[number % 3 == 0], path)
        while workers[number % 2].judging.once():
            pass
    monitor = open_monitor(run, MACHINE, alarms=workers[0].settings.machines[0].alarms)
    with workers[0].database.reading() as connection:
        found = views.judged(connection, MACHINE, 100)
        assert len(views.alarms_of(connection)) == 1
    wanted = [(each.score, each.p, each.state) for each in monitor.judge(paths)]
    assert [(row["score"], row["p"], row["state"]) for row in found] == wanted
    assert len(opened) == 2  # of each worker its first time: what the other judges is not read anew


def test_an_answer_that_one_worker_carries_out_holds_for_the_other(
    workers: list[Service], sounds: Sounds
) -> None:
    one, other = workers
    for path in sounds("wwffffff"):
        take(one, path)
        while one.judging.once():
            pass
    alarm = view(other).alarm
    assert alarm is not None
    with other.database.writing() as connection:
        answers.ask(connection, MACHINE, "fault", who="Ada", now=1.0, alarm=alarm, clip_numbers=[8])
    while other.judging.once():
        pass
    with one.database.writing() as connection:
        one.watched[MACHINE].catch_up(connection)
    assert one.watched[MACHINE].stream.state() == other.watched[MACHINE].stream.state()
    assert one.watched[MACHINE].standing.state == "acknowledged"


def test_an_input_whose_clips_go_to_another_worker_is_not_late(
    workers: list[Service], sounds: Sounds
) -> None:
    one, other = workers
    one.keeping.once()
    for source in one.inputs.values():
        source.heard_at -= 1000
    take(other, sounds("w")[0])
    one.keeping.once()
    with one.database.reading() as connection:
        health = {
            row["name"]: row["health"] for row in views.all_inputs(connection, list(one.inputs))
        }
    assert health == {"folder": "gone", "http": "well"}
    with one.database.reading() as connection:
        assert clips.came(connection) == {"folder": 0, "http": 1}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_share_a_broker_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    if not all(shutil.which(each, path=PROGRAMS) for each in ("mosquitto", "initdb")):
        pytest.skip("wants PostgreSQL and mosquitto: apt install postgresql mosquitto")
    options = [
        "--clips",
        "96",
        "--turns",
        "1",
        "--kills",
        "1",
        "--json",
        str(tmp_path / "told.json"),
    ]
    done = subprocess.run(
        [sys.executable, SCRIPT, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert [each["workers"] for each in told["turns"]] == [1, 2]
    assert not any(each["wrong"] for each in told["turns"] + told["kills"])
    assert told["kills"][0]["site online while one worker was dead"]
