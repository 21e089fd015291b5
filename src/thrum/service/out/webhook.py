"""Alarms to an address of the web, signed, until it says that it has them.

The body is the event as JSON; ``Thrum-Event`` names it, the same at every try. ``Thrum-Signature:
t=…,v1=…`` holds
the time and the HMAC-SHA256 of ``<t>.<body>`` under the secret, so that who listens in can neither
change nor replay.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from sqlalchemy import RowMapping

from thrum.errors import ConfigError
from thrum.sentences import Sentence
from thrum.service.out.base import NotTakenError, Sender
from thrum.service.store.database import Database
from thrum.service.telling import WebhookSettings


class Webhook(Sender):
    """Sends events to an address.

    Parameters
    ----------
    settings
        Of the webhook.
    """

    def __init__(
        self,
        channel: str,
        settings: WebhookSettings,
        database: Database,
        now: Callable[[], float],
    ) -> None:
        super().__init__(channel, database, now)
        self.settings = settings
        self._secret = _secret(settings)
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, event: RowMapping) -> None:
        """Send an event; only an answer of 200 to 299 counts as taken."""
        body = event["payload"].encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "thrum-monitor",
            "Thrum-Event": event["event"],
        }
        if self._secret:
            headers["Thrum-Signature"] = signature(self._secret, body, int(self.now()))
        request = urllib.request.Request(
            self.settings.url, data=body, headers=headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self.settings.timeout_seconds):
                return
        except urllib.error.HTTPError as error:
            error.close()
            raise NotTakenError(
                Sentence("answered", url=self.settings.url, status=error.code)
            ) from error
        except (OSError, ValueError) as error:
            raise NotTakenError(
                Sentence("not_reached", url=self.settings.url, reason=str(error))
            ) from error


def signature(secret: bytes, body: bytes, at: int) -> str:
    """Return the value of ``Thrum-Signature``."""
    mac = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An alarm goes to the address that was set, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _secret(settings: WebhookSettings) -> bytes:
    if settings.secret_file is None:
        return b""
    try:
        secret = settings.secret_file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"secret_file {settings.secret_file}: {error.strerror}") from error
    if len(secret) < 16:
        raise ConfigError(
            f"secret_file {settings.secret_file} holds {len(secret)} bytes, wanted 16 or more"
        )
    return secret
