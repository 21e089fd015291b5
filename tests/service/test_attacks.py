"""What an attacker tries: other people's sessions and pages, large and hollow bodies, files elsewhere."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from thrum import audio
from thrum.service.config import Settings
from thrum.service.running import Service
from thrum.service.store import people
from thrum.service.web import guard
from watched import MACHINE, MakeDashboard, MakeService, Sounds, bring, judge_all

PASSWORD = "correct horse battery"
LIVE = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


@pytest.fixture
def service(make_service: MakeService, settings: Settings) -> Service:
    changed = replace(settings.service, requests_per_second=1e6, longest_minutes=0.1)
    service = make_service(service=changed)
    with service.database.writing() as connection:
        for role in people.ROLES:
            people.add(connection, role, PASSWORD, role, who="x", now=1.0)
    return service


@pytest.fixture
def browser(service: Service, make_dashboard: MakeDashboard) -> Iterator[TestClient]:
    with TestClient(make_dashboard(service), base_url="http://plant") as client:
        yield client


def sign_in(browser: TestClient, role: people.Role) -> str:
    told = {"name": role, "password": PASSWORD}
    answer = browser.post("/login", data=told, follow_redirects=False)
    assert answer.status_code == 303
    return str(answer.cookies["thrum_session"])


def test_a_session_is_never_one_that_somebody_else_chose(browser: TestClient) -> None:
    chosen = {"Cookie": "thrum_session=chosen-by-an-attacker"}
    told = {"name": "viewer", "password": PASSWORD}
    answer = browser.post("/login", data=told, headers=chosen, follow_redirects=False)
    first = answer.cookies["thrum_session"]
    assert first != "chosen-by-an-attacker"
    browser.post("/logout")
    for old in ("chosen-by-an-attacker", first):
        browser.cookies.clear()
        answer = browser.get("/api/v1/machines", headers={"Cookie": f"thrum_session={old}"})
        assert answer.status_code == 401


def test_live_pages_want_a_session_and_our_own_origin(
    service: Service, browser: TestClient
) -> None:
    polled = browser.get(LIVE.replace("websocket", "polling"), follow_redirects=False)
    assert (polled.status_code, polled.headers["location"]) == (303, "/login")
    held = {"Cookie": f"thrum_session={sign_in(browser, 'administrator')}"}

    async def opened(_scope: guard.Scope, receive: guard.Receive, send: guard.Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "opened"})

    door = TestClient(guard.Guard(opened, service))
    own, evil = {"Origin": "http://testserver"}, {"Origin": "http://evil.example"}
    for headers in ({}, own, held | evil, held | {"Sec-Fetch-Site": "cross-site"}):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            door.websocket_connect(LIVE, headers=headers),
        ):
            pass
        assert refused.value.code == 1008
    with door.websocket_connect(LIVE, headers=held | own) as live:
        assert live.receive_text() == "opened"


def test_only_administrators_see_who_may_do_what(browser: TestClient) -> None:
    for role, seen in (("viewer", False), ("operator", False), ("administrator", True)):
        sign_in(browser, role)
        assert ("Tokens of machines" in browser.get("/settings").text) is seen


def test_a_page_ends_with_its_session(service: Service) -> None:
    from thrum.service.web import words
    from thrum.service.web.pages.frame import Visit

    with service.database.writing() as connection:
        held = people.begin_session(connection, "operator", hours=1, now=service.intake.now())
        person = people.person_of(connection, held, service.intake.now())
    assert person is not None
    visit = Visit(service, person, words.speaker("en"), "en")
    assert visit.is_on()
    with service.database.writing() as connection:
        people.remove(connection, "operator", who="x", now=1.0)
    assert not visit.is_on()


def test_a_stranger_cannot_make_the_service_hold_much(
    service: Service, browser: TestClient
) -> None:
    large = b"name=" + b"x" * (guard.SMALL_BYTES + 1)
    assert browser.post("/login", content=large).status_code == 413
    assert browser.post("/setup", content=(large for _ in range(1))).status_code == 413
    taken: list[int] = []

    async def endless() -> dict[str, object]:
        taken.append(1)
        return {"type": "http.request", "body": bytes(100_000), "more_body": True}

    async def body() -> None:
        receive = guard._limited(endless, guard.SMALL_BYTES)
        while (await receive())["type"] == "http.request":
            pass

    asyncio.run(body())
    assert len(taken) == guard.SMALL_BYTES // 100_000 + 1


def test_silence_that_is_packed_small_is_not_unpacked(
    service: Service, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = io.BytesIO()  # 5.9 s, short enough: but 3.9 million samples of 8 channels in 40 kB
    rate = 655_350
    with soundfile.SoundFile(held, "w", rate, 8, "PCM_16", format="FLAC") as file:
        for _ in range(59):
            file.write(np.zeros((rate // 10, 8), np.int16))
    assert len(held.getvalue()) < 100_000
    monkeypatch.setattr(audio, "read", lambda *_, **__: pytest.fail("it was unpacked"))
    with service.database.writing() as connection:
        token = people.add_token(connection, "bomb", None, who="x", now=1.0)
    headers = {"Authorization": f"Bearer {token}"}
    tracemalloc.start()
    answer = browser.post("/api/v1/clips?input=http", content=held.getvalue(), headers=headers)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 422
    assert "samples" in answer.json()["detail"]
    assert most < 20e6


@pytest.mark.parametrize(
    "path",
    [
        "/sound/../../etc/passwd.wav",
        "/sound/..%2f..%2fetc%2fpasswd.wav",
        "/sound/1e3.wav",
        "/sound/-1.wav",
        "/machine/../../../etc/passwd",
        "/_nicegui/3.18.0/static/..%2f..%2f..%2fpyproject.toml",
    ],
)
def test_no_path_of_a_client_is_opened(browser: TestClient, path: str) -> None:
    sign_in(browser, "viewer")
    answer = browser.get(path)
    assert answer.status_code in (200, 404, 422)
    assert "root:" not in answer.text
    assert "[project]" not in answer.text


def test_nothing_that_is_asked_comes_back_as_a_header_or_a_script(
    service: Service, browser: TestClient, sounds: Sounds
) -> None:
    sign_in(browser, "viewer")
    bring(service, sounds("w"))
    judge_all(service)
    script = "<script>alert(1)</script>"
    for path in (
        f"/machine/{script}",
        f"/setup?code={script}",
        f"/login?x={script}",
        "/%0d%0aSet-Cookie:%20thrum_session=evil",
        "/logout%0d%0aLocation:%20http://evil.example",
        f"/machine/{MACHINE}?next=http://evil.example",
    ):
        answer = browser.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert script not in answer.text
        assert "evil" not in str(answer.headers)
