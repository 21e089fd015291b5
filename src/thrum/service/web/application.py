"""The application: routes, the dashboard, and the guard before both."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError

import thrum
from thrum.errors import ThrumError
from thrum.service.running import Service
from thrum.service.web import clips, entrance, sound, status
from thrum.service.web.guard import App, Guard

_logger = logging.getLogger(__name__)


def create(service: Service, *, dashboard: bool = True) -> App:
    """Return what serves the network.

    Parameters
    ----------
    dashboard
        Whether there are pages for people; a process can have those of one service alone.
    """
    app = FastAPI(
        title="thrum monitor",
        version=thrum.__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
    )
    for each in (clips, status, sound, entrance):
        app.include_router(each.router(service))

    @app.exception_handler(SQLAlchemyError)
    async def unavailable(_: Request, error: Exception) -> Response:
        _logger.error("the database: %s", error)
        return JSONResponse({"detail": "the database does not answer: come again"}, 503)

    @app.exception_handler(ThrumError)
    async def refused(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, 422)

    if dashboard:
        from thrum.service.web.pages import add_pages

        add_pages(app, service)
    guarded: Any = Guard(app, service)
    return guarded  # type: ignore[no-any-return]
