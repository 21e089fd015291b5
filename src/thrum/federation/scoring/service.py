"""The service that scores new clips between rounds: HTTPS, with certificates of both sides.

Each connection shows the certificate of its site, which the authority of the kits must have signed; each
question is signed by the same key. What is wrong with a question is told by its kind alone, and in words in
the log here.
"""

from __future__ import annotations

import base64
import binascii
import logging
import socket
import ssl
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, ClassVar

from thrum.errors import FederationError, ProtocolError
from thrum.federation.messages import Failure, printable
from thrum.federation.scoring.admission import Admission
from thrum.federation.scoring.messages import LARGEST_BYTES, encoded

PATH = "/scores"
SIGNATURE = "Thrum-Signature"
SECONDS = 60.0
"""Without a byte from a site, until its connection is closed."""
MOST_CONNECTIONS = 32
LONGEST_SIGNATURE = 4096

_log = logging.getLogger(__name__)


class ScoreService(ThreadingHTTPServer):
    """Answers one question after the other, from every site.

    Parameters
    ----------
    address
        Host and port to listen at; port 0 takes a free one.
    startup
        The ``startup`` folder of the server's kit.
    admission
        What answers.

    Raises
    ------
    FederationError
        Where the address cannot be had.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], startup: Path, admission: Admission) -> None:
        self.admission = admission
        self._tls = _tls(startup)
        self._free = BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise FederationError(
                f"cannot listen at {address[0] or 'any address'}:{address[1]} ({error.strerror}): stop what "
                f"uses it, or choose another --port"
            ) from error

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; its handshake is made in its own thread, so that none holds up the others."""
        plain, address = super().get_request()
        plain.settimeout(SECONDS)
        secure = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        return secure, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or close it where there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in the log that a connection ended: a refused certificate, or a peer that went away."""
        _log.info("a connection from %s ended", client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    server: ScoreService
    site: str = ""
    certificate: ClassVar[bytes] = b""

    def setup(self) -> None:
        """Make the handshake; whoever has no certificate of the authority is refused here."""
        self.request.do_handshake()
        super().setup()

    def do_POST(self) -> None:
        """Answer a question."""
        try:
            body, signature = self._question()
            peer = self.request.getpeercert()
            names = dict(pair for part in peer.get("subject", ()) for pair in part)
            answer = self.server.admission.answer(
                body,
                signature,
                site=str(names.get("commonName", "")),
                certificate=self.request.getpeercert(binary_form=True),
            )
        except ProtocolError as error:
            _log.warning("%s: refused: %s", self.client_address[0], printable(str(error)))
            self._say(HTTPStatus.FORBIDDEN, encoded(Failure("ProtocolError")))
        except Exception as error:  # noqa: BLE001 - a site is told the kind alone, whatever it is
            _log.exception("a question could not be answered")
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, encoded(Failure(type(error).__name__)))
        else:
            self._say(HTTPStatus.OK, encoded(answer))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write what would go to stderr into the log."""
        _log.info(format, *args)

    def _question(self) -> tuple[bytes, bytes]:
        """Return body and signature, neither longer than allowed."""
        self.close_connection = True  # unless all of the question was read
        if self.path != PATH:
            raise ProtocolError(f"{printable(self.path)} was asked for, wanted {PATH}")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 12):
            raise ProtocolError("a question came that does not say its length")
        if int(length) > LARGEST_BYTES + (1 << 16):
            raise ProtocolError(
                f"a question of {int(length):,} bytes came, {LARGEST_BYTES:,} are allowed"
            )
        told = self.headers.get(SIGNATURE, "")
        if len(told) > LONGEST_SIGNATURE:
            raise ProtocolError("a signature came that is too long")
        try:
            signature = base64.b64decode(told, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError("a signature came that is not base64") from error
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise ProtocolError("a question ended before its end")
        self.close_connection = False
        return body, signature

    def _say(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/msgpack")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _tls(startup: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(startup / "rootCA.pem")
    context.load_cert_chain(startup / "server.crt", startup / "server.key")
    return context
