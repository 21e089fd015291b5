"""What is told of alarms: one event for each thing that happened, named after it, so that it is never
told twice.

The payload is the same for MQTT and webhooks::

    {"schema": 1, "event": "3f…-raised", "kind": "raised", "alarm": "3f…", "site": "hall-b",
     "machine": "fan/id_00",
     "title": "Exhaust fan 3", "at": 1795867200.0, …}
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection

from thrum.service.config import Settings
from thrum.service.store import outbox

SCHEMA = 1
Kind = Literal["raised", "acknowledged", "closed"]


def channels(settings: Settings) -> list[str]:
    """Return whom events are for."""
    told = ["mqtt"] if settings.mqtt else []
    return [*told, *(f"webhook {number}" for number in range(len(settings.webhooks)))]


def topic(settings: Settings, machine: str, what: str) -> str:
    """Return the MQTT topic of something that a machine does."""
    prefix = settings.mqtt.prefix if settings.mqtt else "thrum"
    return f"{prefix}/v1/{settings.service.site}/{machine}/{what}"


def tell(
    connection: Connection,
    settings: Settings,
    machine: str,
    kind: Kind,
    alarm: str,
    now: float,
    **more: object,
) -> None:
    """Put an event of an alarm into the outbox, in the transaction of what it is about."""
    event = f"{alarm}-{kind}"
    payload = {
        "schema": SCHEMA,
        "event": event,
        "kind": kind,
        "alarm": alarm,
        "site": settings.service.site,
        "machine": machine,
        "title": settings.machine(machine).title,
        "at": round(now, 3),
        **more,
    }
    outbox.put(
        connection,
        channels(settings),
        event=event,
        topic=topic(settings, machine, "alarm"),
        payload=payload,
        now=now,
    )
