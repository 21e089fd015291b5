"""The service behind its address, until it is told to end."""

from __future__ import annotations

import logging
import signal
import socket
import warnings
from collections.abc import Callable

import uvicorn

from thrum.service.running import Service
from thrum.service.web import application
from thrum.service.web.guard import App

_logger = logging.getLogger(__name__)


def serve(service: Service, *, announce: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then stop the service in order; `announce` once the address answers."""
    # The dashboard looks at every object there is, PyTorch's deprecated ones too, which then warn.
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
    listening = server(service, application.create(service), announce=announce)
    service.start()
    # Once it has ended, uvicorn raises the signal again that it was ended by: that must not end us before all
    # is stopped.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        listening.run()
    finally:
        service.stop()
        signal.signal(signal.SIGTERM, before)


class Server(uvicorn.Server):
    """What listens, and says so."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._announce()


def server(service: Service, app: App, *, announce: Callable[[], None] = lambda: None) -> Server:
    """Return what listens, with TLS where there is a certificate."""
    settings = service.settings.service
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,  # the command line decides how logs look
        access_log=False,
        server_header=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
        timeout_graceful_shutdown=3,
    )
    return Server(config, announce)


def address(service: Service) -> str:
    """Return where the dashboard is."""
    settings = service.settings.service
    scheme = "https" if settings.certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}/"
