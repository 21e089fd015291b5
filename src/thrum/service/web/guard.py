"""Who comes in: sessions and tokens, where a request comes from, how many and how large requests may be."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from thrum.service.running import Service
from thrum.service.store import people

COOKIE = "thrum_session"
BURST = 10
"""Times the requests of a second that may come at once."""
ADDRESSES = 10_000
"""That are remembered; who has not come for longest is forgotten."""
CLIPS = "/api/v1/clips"
SMALL_BYTES = 2**20
"""What a request may hold that is no recording."""
OPEN = (
    "/login",
    "/setup",
    "/health",
    "/_nicegui/",
    "/favicon.ico",
    CLIPS,
    "/api/v1/openapi.json",
)
"""What nobody need be signed in for; the interface for clips asks for its token itself."""
HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    # The pages are built by scripts of this service alone, which evaluate templates.
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Buckets:
    """How much each address may still ask for.

    Parameters
    ----------
    per_second, burst
        How fast that fills up again, and how much there can be.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second, self.burst = per_second, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, address: str) -> bool:
        """Take one; return whether there was one."""
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(address, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.per_second)
            self._left[address] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > ADDRESSES:
                self._left.popitem(last=False)
            return left >= 1


class Guard:
    """Stands before the application."""

    def __init__(self, app: App, service: Service) -> None:
        self.app = app
        self.service = service
        per_second = service.settings.service.requests_per_second
        self.buckets = Buckets(per_second, BURST * per_second)
        self.most_bytes = int(service.settings.service.upload_mb * 2**20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        refusal = await self._refusal(scope, headers)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await refusal(scope, receive, _with_headers(send))
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, _limited(receive, self._most(scope)), _with_headers(send))

    async def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        path: str = scope["path"]
        client = scope["client"][0] if scope.get("client") else "?"
        assets = path.startswith("/_nicegui/")
        if not assets and not self.buckets.take(client):
            return _answer(429, "too many requests: ask less often", {"Retry-After": "1"})
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return _answer(400, "content-length is no number")
        most = self._most(scope)
        if length > most:
            return _answer(413, f"{length} bytes are too many, {most} are taken (upload_mb)")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and not _is_own(headers):
            return _answer(403, "this request comes from a page of another site")
        try:
            scope["thrum_person"] = await run_in_threadpool(self._person, headers)
        except SQLAlchemyError:
            return _answer(503, "the database does not answer: come again", {"Retry-After": "5"})
        if scope["thrum_person"] is not None or _is_open(path) or path == "/metrics":
            return None
        if scope["type"] == "http" and scope["method"] == "GET" and not path.startswith("/api/"):
            return RedirectResponse("/login", status_code=303)
        return _answer(401, "sign in first")

    def _most(self, scope: Scope) -> int:
        """Return how many bytes a request may hold: recordings are large, nothing else is."""
        return self.most_bytes if scope["path"] == CLIPS else min(SMALL_BYTES, self.most_bytes)

    def _person(self, headers: dict[str, str]) -> people.Person | None:
        held = held_by(headers)
        if not held:
            return None
        with self.service.database.reading() as connection:
            return people.person_of(connection, held, self.service.intake.now())


def held_by(headers: dict[str, str]) -> str:
    """Return what the browser holds of its session."""
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _is_open(path: str) -> bool:
    return any(path == each or (each.endswith("/") and path.startswith(each)) for each in OPEN)


def _is_own(headers: dict[str, str]) -> bool:
    """Return whether a request comes from our own pages, or from no page at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return origin.partition("://")[2] == headers.get("host", "")


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _limited(receive: Receive, most: int) -> Receive:
    """Return a receiver that ends where a body is larger than announced or allowed."""
    there = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal there
        message = await receive()
        if message["type"] == "http.request":
            there += len(message.get("body", b""))
            if there > most:
                return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return sending
