"""The dashboard: ``frame`` around all pages, ``drawing`` what they share, ``fleet``, ``machine``,
``inputs``,
``ledger``, ``settings``.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from thrum.service.running import Service


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the pages of a service; a process has one dashboard."""
    from nicegui import app as dashboard
    from nicegui import ui

    from thrum.service.web.pages import fleet, inputs, ledger, machine, settings

    for page in (fleet, machine, inputs, ledger, settings):
        page.add(service)

    # Its own answer is a page that waits in memory for a browser, for whoever asks for anything.
    @dashboard.exception_handler(404)
    async def nowhere(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(getattr(error, "detail", "Not Found")), 404)

    ui.run_with(
        app, title="thrum", favicon="📈", reconnect_timeout=10.0, show_welcome_message=False
    )
