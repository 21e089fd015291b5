"""Judgements to an HTTP address, as JSON."""

from __future__ import annotations

import urllib.error
import urllib.request

from thrum_edge.errors import EdgeError

SECONDS = 10.0


def require_address(address: str) -> str:
    """Return an address, or raise an `EdgeError` where nothing can be posted there."""
    if not address.startswith(("http://", "https://")):
        raise EdgeError(f"{address!r} is no address to post to: wanted http://… or https://…")
    return address


def post(address: str, judgement: bytes) -> None:
    """Post one judgement, as JSON.

    Raises
    ------
    EdgeError
        Where nobody answers, or the answer is no.
    """
    request = urllib.request.Request(
        require_address(address),
        data=judgement,
        headers={"Content-Type": "application/json", "User-Agent": "thrum-edge"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass
    except urllib.error.HTTPError as error:
        raise EdgeError(f"{address} answers {error.code} {error.reason}: not taken") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise EdgeError(f"nobody takes what is posted to {address}: {reason}") from error
