"""The interface for sound: ``POST /api/v1/clips?input=NAME`` with a whole wav or flac file as body."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Query, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from thrum.service.config import InputSettings
from thrum.service.intake import FullError, RefusedError, Taken
from thrum.service.running import Service
from thrum.service.store import people
from thrum.service.store.schema import tokens

FIRST_TIME, LAST_TIME = 0.0, 253402300799.0
"""1970 and the end of 9999."""


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()
    sources = {source.name: source for source in service.settings.inputs}

    @routes.post("/api/v1/clips", status_code=201, tags=["clips"])
    async def add_clip(
        request: Request,
        input: str = Query(max_length=100, description="The name of an input of kind http."),  # noqa: A002
        recorded_at: str | None = Query(
            None, max_length=40, description="When it began: ISO 8601, or seconds since 1970."
        ),
    ) -> dict[str, Any]:
        """Take a recording in. Once this answers, it will be judged, exactly once, however often it is
        sent.
        """
        token = await _token(service, request)
        source = sources.get(input)
        if source is None or source.kind != "http":
            raise HTTPException(404, f"there is no input {input!r} of kind http")
        if token is not None and token != source.name:
            raise HTTPException(403, f"this token is for the input {token!r}")
        told_at = _time(recorded_at)
        try:
            content = await request.body()
        except ClientDisconnect:
            raise HTTPException(413, "the recording is too large, or was cut off") from None
        taken = await run_in_threadpool(_taken, service, source, content, told_at)
        return {"schema": 1, "id": taken.key, "clips": taken.clips, "new": taken.new}

    return routes


def _taken(service: Service, source: InputSettings, content: bytes, told_at: float | None) -> Taken:
    try:
        taken = service.intake.recording(source, content, told_at=told_at)
        service.inputs[source.name].heard()
        return taken
    except RefusedError as error:
        service.inputs[source.name].heard()
        try:
            service.intake.refused(source, error)
        except SQLAlchemyError as gone:
            raise _unavailable() from gone
        raise HTTPException(422, str(error)) from None
    except FullError as error:
        raise HTTPException(507, str(error), {"Retry-After": "60"}) from None
    except (SQLAlchemyError, OSError) as error:
        raise _unavailable() from error


async def _token(service: Service, request: Request) -> str | None:
    """Return the input that the token of a request is for; None for any."""
    scheme, _, held = request.headers.get("authorization", "").partition(" ")
    if scheme.casefold() != "bearer" or not held:
        raise HTTPException(
            401, "wanted the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
        )

    def look() -> Any:
        with service.database.writing() as connection:
            found = people.token_of(connection, held.strip())
            if found is not None:
                now = service.intake.now()
                if found["used_at"] is None or now - found["used_at"] > 60:
                    connection.execute(
                        tokens.update().where(tokens.c.id == found["id"]).values(used_at=now)
                    )
            return found

    try:
        found = await run_in_threadpool(look)
    except SQLAlchemyError as error:
        raise _unavailable() from error
    if found is None:
        raise HTTPException(401, "no such token", {"WWW-Authenticate": "Bearer"})
    name: str | None = found["input"]
    return name


def _unavailable() -> HTTPException:
    return HTTPException(503, "the store does not answer: send it again", {"Retry-After": "5"})


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            told = datetime.fromisoformat(text)
            seconds = told.timestamp() if told.tzinfo else math.nan
        except (ValueError, OverflowError, OSError):
            seconds = math.nan
    if not FIRST_TIME <= seconds <= LAST_TIME:
        raise HTTPException(
            422, f"recorded_at is {text!r}, wanted 2026-01-31T12:00:00Z or seconds since 1970"
        )
    return seconds
