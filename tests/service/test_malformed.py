"""What is malformed does no harm: messages of the broker; requests are in test_web, all in a benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from mutations import mutated_bytes
from thrum.service.config import InputSettings, Settings
from thrum.service.out.mqtt import Broker
from thrum.service.store import people, views
from thrum.service.telling import MqttSettings
from watched import MACHINE, MakeDashboard, MakeService, Sounds, judge_all

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "service_malformed.py"


def test_mutated_messages_do_no_harm(make_service: MakeService, sounds: Sounds) -> None:
    air = InputSettings("air", MACHINE, "mqtt", topic="plant/#")
    service = make_service(mqtt=MqttSettings("127.0.0.1", 1), inputs=(air,))
    broker = service.senders[-1]
    assert isinstance(broker, Broker)
    whole, chance = sounds("w")[0].read_bytes(), Random(0)
    for number in range(300):
        content = whole[:4000] if number % 2 else whole[: chance.randrange(4000)]
        message = SimpleNamespace(payload=mutated_bytes(content, chance))
        assert broker._take(air, message)  # type: ignore[arg-type]
    assert broker._take(air, SimpleNamespace(payload=whole))  # type: ignore[arg-type]
    judge_all(service)
    assert not service.troubles
    with service.database.reading() as connection:
        row = views.all_inputs(connection, ["air"])[0]
        assert views.totals(connection).get("judged", 0) >= 1
    assert row["refused"] > 200
    assert row["health"] == "well"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_malformed_requests_to_a_real_service_do_no_harm(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--requests", "3000", "--seed", "1", "--json", str(told)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(told.read_text())
    assert rows["requests"] == 3000
    assert rows["memory MB at the end"] < rows["memory MB after 1000 requests"] + 40


def test_pages_that_no_browser_opens_do_not_pile_up(
    make_service: MakeService,
    make_dashboard: MakeDashboard,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nicegui import Client

    from thrum.service.web.pages import frame

    monkeypatch.setattr(frame, "UNSEEN", 3)
    monkeypatch.setattr(frame, "UNSEEN_SECONDS", 0.05)
    service = make_service(service=replace(settings.service, requests_per_second=1e6))
    with service.database.writing() as connection:
        people.add(connection, "ada", "correct horse battery", "viewer", who="x", now=1.0)
        held = people.begin_session(connection, "ada", hours=1, now=service.intake.now())
    before = set(Client.instances)
    with TestClient(make_dashboard(service), cookies={"thrum_session": held}) as browser:
        for path in ("/nowhere", "/api/v1/nowhere", "/_nicegui/nowhere"):
            assert browser.get(path).status_code == 404
        assert browser.post("/metrics").status_code == 404
        assert set(Client.instances) == before  # what is not there is no page
        for _ in range(3):
            for path in ("/", "/inputs", "/machine/nowhere"):
                assert browser.get(path).status_code == 200
                time.sleep(0.06)
        assert 0 < len(set(Client.instances) - before) <= 4
