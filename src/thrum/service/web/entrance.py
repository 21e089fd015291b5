"""Signing in, and the one-time set-up of the first administrator."""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from thrum import storage
from thrum.errors import UsageError
from thrum.sentences import Sentence, said
from thrum.service.running import Service
from thrum.service.store import logs, people
from thrum.service.web import words
from thrum.service.web.guard import COOKIE, Buckets, held_by

SETUP_FILE = "setup-code"
TRIES_PER_SECOND, TRIES = 1 / 12, 5.0
"""Passwords that one address may try: five at once, then one in twelve seconds."""


def setup_code(service: Service) -> str | None:
    """Return the code that the first administrator is made with; None once there is one."""
    path = service.folder / SETUP_FILE
    with service.database.reading() as connection:
        if people.count(connection):
            path.unlink(missing_ok=True)
            return None
    if not path.exists():
        storage.write_text(path, secrets.token_urlsafe(24), private=True)
    return path.read_text().strip()


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)
    tries = Buckets(TRIES_PER_SECOND, TRIES)

    @routes.get("/login")
    async def login_page(request: Request) -> HTMLResponse:
        return _page(service, request, "login")

    @routes.post("/login")
    async def login(request: Request) -> Response:
        told = await _form(request)
        address = request.client.host if request.client else "?"
        if not tries.take(address):
            return _page(service, request, "login", "too_many_tries", status=429)
        held = await run_in_threadpool(_signed_in, service, told)
        if held is None:
            return _page(service, request, "login", "wrong_password", status=403)
        return _entered(service, request, held)

    @routes.get("/setup")
    async def setup_page(request: Request) -> Response:
        if await run_in_threadpool(setup_code, service) is None:
            return RedirectResponse("/login", status_code=303)
        return _page(service, request, "setup")

    @routes.post("/setup")
    async def setup(request: Request) -> Response:
        told = await _form(request)
        address = request.client.host if request.client else "?"
        code = await run_in_threadpool(setup_code, service)
        if code is None:
            return RedirectResponse("/login", status_code=303)
        if not tries.take(address) or not hmac.compare_digest(
            code.encode(), told.get("code", "").encode("utf-8", "replace")
        ):
            return _page(service, request, "setup", "wrong_code", status=403)
        try:
            held = await run_in_threadpool(_set_up, service, told)
        except UsageError as error:
            return _page(service, request, "setup", said(error), status=422)
        return _entered(service, request, held)

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        def leave() -> None:
            with service.database.writing() as connection:
                people.end_session(connection, held_by(dict(request.headers)))

        await run_in_threadpool(leave)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE)
        return answer

    return routes


def _signed_in(service: Service, told: dict[str, str]) -> str | None:
    name = told.get("name", "")[:100]
    with service.database.reading() as connection:
        hashed = people.password_hash(connection, name)
    right = people.is_right(hashed, told.get("password", "")[:1000])
    now = service.intake.now()
    with service.database.writing() as connection:
        if not right:
            logs.audit(connection, "?", "refused", name, "wrong name or password", now)
            return None
        return _begin(connection, service, name, now)


def _set_up(service: Service, told: dict[str, str]) -> str:
    now, name = service.intake.now(), told.get("name", "")
    with service.database.writing() as connection:
        if people.count(connection):
            raise UsageError(Sentence("administrator_there"))
        people.add(connection, name, told.get("password", ""), "administrator", who=name, now=now)
        held = _begin(connection, service, name, now)
    (service.folder / SETUP_FILE).unlink(missing_ok=True)
    return held


def _begin(connection: Connection, service: Service, name: str, now: float) -> str:
    hours = service.settings.service.session_hours
    return people.begin_session(connection, name, hours=hours, now=now)


async def _form(request: Request) -> dict[str, str]:
    try:
        content = (await request.body())[:10_000].decode("utf-8", "replace")
    except ClientDisconnect:
        raise HTTPException(413, "the form is too large, or was cut off") from None
    try:
        return {key: values[0] for key, values in parse_qs(content, max_num_fields=20).items()}
    except ValueError:
        return {}


def _entered(service: Service, request: Request, held: str) -> Response:
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        held,
        max_age=int(3600 * service.settings.service.session_hours),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _page(
    service: Service, request: Request, what: str, trouble: str = "", *, status: int = 200
) -> HTMLResponse:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    language = words.preferred(
        request.headers.get("accept-language", ""), service.settings.service.language
    )
    environment = Environment(
        loader=PackageLoader("thrum.service.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    told: dict[str, Any] = {
        "say": words.speaker(language),
        "language": language,
        "what": what,
        "site": service.settings.service.site,
        "trouble": words.speaker(language)(words.translated(language, trouble)),
        "code": request.query_params.get("code", "")[:100],
    }
    return HTMLResponse(
        environment.get_template("entrance.html.j2").render(told), status_code=status
    )
