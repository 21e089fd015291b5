"""Where a site asks for scores between rounds, as its kit has it."""

from __future__ import annotations

from functools import partial

from thrum.federation.flare.kit import Kit, require_server
from thrum.federation.scoring.asking import Counter


def scores_port(kit: Kit) -> int:
    """Return the port of the service where nobody says another: the one after the engine's."""
    return kit.port + 1


def counter_of(kit: Kit, port: int | None) -> Counter:
    """Return where the site of a kit asks, and with which key."""
    port = port or scores_port(kit)
    return Counter(
        kit.host,
        port,
        kit.tls,
        kit.startup / "client.key",
        kit.name,
        partial(require_server, kit, where=f"{kit.host}:{port}"),
    )
