"""What the network sees: who comes in, what clips become, and that nothing malformed does harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from thrum.service.config import ServiceSettings, Settings
from thrum.service.running import Service
from thrum.service.store import logs, people, views
from thrum.service.web import application, words
from thrum.service.web.entrance import setup_code
from watched import MACHINE, MakeService, Sounds

PASSWORD = "correct horse battery"


@pytest.fixture
def service(make_service: MakeService, settings: Settings) -> Service:
    from dataclasses import replace

    return make_service(service=replace(settings.service, upload_mb=0.2, requests_per_second=1e6))


@pytest.fixture
def browser(service: Service) -> Iterator[TestClient]:
    with TestClient(
        application.create(service, dashboard=False), base_url="http://plant"
    ) as client:
        yield client


def token(service: Service, source: str | None = None) -> dict[str, str]:
    with service.database.writing() as connection:
        held = people.add_token(connection, f"t{source}", source, who="Ada", now=1.0)
    return {"Authorization": f"Bearer {held}"}


def signed_in(service: Service, browser: TestClient, role: people.Role) -> None:
    with service.database.writing() as connection:
        people.add(connection, role, PASSWORD, role, who="Ada", now=1.0)
    answer = browser.post(
        "/login", data={"name": role, "password": PASSWORD}, follow_redirects=False
    )
    assert answer.status_code == 303


def test_the_first_administrator_is_made_once(service: Service, browser: TestClient) -> None:
    code = setup_code(service)
    assert code is not None
    assert (service.folder / "setup-code").stat().st_mode & 0o077 == 0
    told = {"name": "ada", "password": PASSWORD}
    assert browser.post("/setup", data={**told, "code": "guess"}).status_code == 403
    short = browser.post("/setup", data={**told, "code": code, "password": "short"})
    assert short.status_code == 422
    made = browser.post("/setup", data={**told, "code": code}, follow_redirects=False)
    assert made.status_code == 303
    cookie = made.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.get("/api/v1/machines").status_code == 200
    assert setup_code(service) is None
    again = browser.post("/setup", data={**told, "code": code}, follow_redirects=False)
    assert again.headers["location"] == "/login"
    with service.database.reading() as connection:
        assert [row["role"] for row in people.all_users(connection)] == ["administrator"]
        assert PASSWORD not in people.password_hash(connection, "ada")
        assert people.password_hash(connection, "ada").startswith("$argon2id$")


def test_strangers_see_nothing(browser: TestClient) -> None:
    assert browser.get("/health").json() == {"status": "well"}
    for path in ("/", "/inputs", "/machine/machine0/id_00", "/sound/1.wav"):
        answer = browser.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    for path in ("/api/v1/machines", "/api/v1/alarms", "/metrics"):
        assert browser.get(path).status_code == 401
    assert browser.get("/login").headers["x-frame-options"] == "DENY"


def test_wrong_passwords_are_refused_logged_and_slowed(
    service: Service, browser: TestClient
) -> None:
    with service.database.writing() as connection:
        people.add(connection, "ada", PASSWORD, "viewer", who="Ada", now=1.0)
    codes = [
        browser.post("/login", data={"name": name, "password": "wrong"}).status_code
        for name in ("ada", "nobody", "ada", "", "ada", "ada")
    ]
    assert codes == [403] * 5 + [429]
    with service.database.reading() as connection:
        assert sum(row["what"] == "refused" for row in logs.audited(connection)) == 5


def test_sessions_end(
    service: Service, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(service, browser, "viewer")
    assert browser.get("/api/v1/machines").status_code == 200
    now = service.intake.now()
    monkeypatch.setattr(service.intake, "now", lambda: now + 12 * 3600 + 1)
    assert browser.get("/api/v1/machines").status_code == 401
    monkeypatch.setattr(service.intake, "now", lambda: now)
    browser.post("/logout")
    assert browser.get("/api/v1/machines").status_code == 401


def test_other_sites_cannot_act_for_who_is_signed_in(service: Service, browser: TestClient) -> None:
    signed_in(service, browser, "operator")
    evil = {"Origin": "http://evil.example"}
    assert browser.post("/logout", headers=evil).status_code == 403
    assert browser.post("/logout", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.get("/api/v1/machines").status_code == 200
    own = browser.post("/logout", headers={"Origin": "http://plant"}, follow_redirects=False)
    assert own.status_code == 303


def test_roles(service: Service) -> None:
    person = people.Person("a", "operator")
    assert person.may("viewer")
    assert person.may("operator")
    assert not person.may("administrator")
    with service.database.writing() as connection:
        people.add(connection, "only", PASSWORD, "administrator", who="x", now=1.0)
        from thrum.errors import UsageError

        with pytest.raises(UsageError, match="only administrator"):
            people.remove(connection, "only", who="x", now=1.0)


def test_a_clip_is_stored_once_however_often_it_is_sent(
    service: Service, browser: TestClient, sounds: Sounds
) -> None:
    content = sounds("w")[0].read_bytes()
    headers = token(service, "http")
    address = "/api/v1/clips?input=http"
    first = browser.post(address, content=content, headers=headers)
    assert first.status_code == 201
    assert first.json()["new"] == 1
    again = browser.post(address, content=content, headers=headers)
    assert (again.status_code, again.json()["new"]) == (201, 0)
    assert again.json()["id"] == first.json()["id"]
    later = browser.post(
        f"{address}&recorded_at=2026-11-28T12:00:00Z", content=content, headers=headers
    )
    assert later.json()["new"] == 1
    assert service.judging.once() == 2
    with service.database.reading() as connection:
        assert views.fleet(connection, [MACHINE])[0].judged == 2
    metrics = browser.get("/metrics", headers=headers).text
    assert f'thrum_judged_clips_total{{machine="{MACHINE}"}} 2.0' in metrics
    assert 'thrum_machine_state{machine="machine0/id_00",state="well"} 1.0' in metrics


def test_clips_that_will_not_do(service: Service, browser: TestClient, sounds: Sounds) -> None:
    content = sounds("w")[0].read_bytes()
    headers = token(service)
    address = "/api/v1/clips?input=http"
    post = browser.post
    assert post(address, content=content).status_code == 401
    assert post(address, content=content, headers={"Authorization": "Bearer x"}).status_code == 401
    for wrong in ("folder", "nothing", "../etc"):
        answer = post(f"/api/v1/clips?input={wrong}", content=content, headers=headers)
        assert answer.status_code == 404
    other = token(service, "folder")
    assert post(address, content=content, headers=other).status_code == 403
    assert post(address, content=b"\0" * 300_000, headers=headers).status_code == 413
    chunks = (b"\0" * 100_000 for _ in range(10))
    assert post(address, content=chunks, headers=headers).status_code == 413
    text = post(address, content=b"hello", headers=headers)
    assert text.status_code == 422
    assert "neither wav nor flac" in text.json()["detail"]
    torn = post(address, content=content[:-1000], headers=headers)
    assert torn.status_code == 422
    assert "cut short" in torn.json()["detail"]
    for odd in ("yesterday", "nan", "-1", "1e300", "2026-01-01"):
        assert (
            post(f"{address}&recorded_at={odd}", content=content, headers=headers).status_code
            == 422
        )
    with service.database.reading() as connection:
        assert views.totals(connection) == {}


def test_too_many_requests_are_slowed(make_service: MakeService, settings: Settings) -> None:
    from dataclasses import replace

    service = make_service(service=replace(settings.service, requests_per_second=0.5))
    with TestClient(application.create(service, dashboard=False)) as client:
        codes = [client.get("/health").status_code for _ in range(8)]
    assert codes == [200] * 5 + [429] * 3


EXAMPLES = (60, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]))
wav_changes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_mutated_recordings_do_no_harm(
    service: Service, browser: TestClient, sounds: Sounds, examples: int
) -> None:
    content = sounds("w")[0].read_bytes()[:4000]
    headers = token(service)

    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changes=wav_changes, length=st.integers(0, 4000))
    def post(changes: list[tuple[int, int]], length: int) -> None:
        mutated = bytearray(content)
        for place, value in changes:
            mutated[place] = value
        answer = browser.post(
            "/api/v1/clips?input=http", content=bytes(mutated[:length]), headers=headers
        )
        assert answer.status_code < 500
        assert "Traceback" not in answer.text
        assert str(service.folder) not in answer.text

    post()
    while service.judging.once():
        pass
    assert not service.troubles
    assert not list((service.audio / "incoming").iterdir())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_odd_requests_do_no_harm(service: Service, browser: TestClient, examples: int) -> None:
    described = browser.get("/api/v1/openapi.json").json()
    paths = [
        *described["paths"],
        "/login",
        "/setup",
        "/sound/{number}.wav",
        "/sound/{number}.png",
    ]
    signed_in(service, browser, "viewer")
    cookie = browser.cookies["thrum_session"]
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    values = st.one_of(
        text, st.integers().map(str), st.sampled_from(["../../etc/passwd", "%00", "http", "1"])
    )
    header = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)

    @hypothesis_settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        path=st.sampled_from(paths),
        method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
        query=st.dictionaries(
            st.sampled_from(["input", "recorded_at", "code", "x"]), values, max_size=3
        ),
        body=st.binary(max_size=200),
        value=values,
        extra=header,
        known=st.booleans(),
    )
    def ask(
        path: str,
        method: str,
        query: dict[str, str],
        body: bytes,
        value: str,
        extra: str,
        known: bool,
    ) -> None:
        filled = re.sub(r"\{\w+\}", lambda _: quote(value, safe=""), path)
        browser.cookies.clear()
        headers = {"Authorization": extra, "X-Odd": extra, "Accept-Language": extra}
        if known:
            headers["Cookie"] = f"thrum_session={cookie}"
        answer = browser.request(
            method, filled, params=query, content=body, headers=headers, follow_redirects=False
        )
        assert answer.status_code < 500
        assert "Traceback" not in answer.text

    ask()
    assert browser.get("/health").json() == {"status": "well"}


def test_every_language_has_every_word() -> None:
    table = words.table()
    assert set(table) == set(words.LANGUAGES)
    for language in words.LANGUAGES:
        assert set(table[language]) == set(table["en"])
        for key, word in table[language].items():
            assert word.count("{") == table["en"][key].count("{"), (language, key)
    assert words.preferred("fr;q=0.9, ja-JP, en", "de") == "ja"
    assert words.preferred("", "de") == "de"


def test_alarms_are_told_to_programs(service: Service, browser: TestClient) -> None:
    signed_in(service, browser, "viewer")
    assert json.loads(browser.get("/api/v1/alarms").text) == []
    assert ServiceSettings().host == "127.0.0.1"
