"""What must still be told to others: written with what it is about, sent later, in order, under one
name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from thrum.service.store.schema import outbox


def put(
    connection: Connection,
    channels: Sequence[str],
    *,
    event: str,
    topic: str,
    payload: Mapping[str, Any],
    now: float,
) -> None:
    """Write an event for each channel; one that is there already is not written again."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    for channel in channels:
        where = (outbox.c.channel == channel, outbox.c.event == event)
        if connection.execute(select(outbox.c.id).where(*where)).first() is None:
            connection.execute(
                insert(outbox).values(
                    channel=channel, event=event, topic=topic, payload=text, made_at=now
                )
            )


def unsent(connection: Connection, channel: str, limit: int = 20) -> Sequence[RowMapping]:
    """Return the oldest events that a channel has not sent."""
    wanted = (
        select(outbox)
        .where(outbox.c.channel == channel, outbox.c.sent_at.is_(None))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return connection.execute(wanted).mappings().all()


def count_unsent(connection: Connection) -> dict[str, int]:
    """Return how many events each channel has not sent."""
    wanted = (
        select(outbox.c.channel, func.count())
        .where(outbox.c.sent_at.is_(None))
        .group_by(outbox.c.channel)
    )
    return {str(channel): int(count) for channel, count in connection.execute(wanted)}


def sent(connection: Connection, number: int, now: float) -> None:
    """Note that an event has been taken by its receiver."""
    connection.execute(update(outbox).where(outbox.c.id == number).values(sent_at=now, error=""))


def failed(connection: Connection, number: int, error: str) -> None:
    """Note that a try has failed."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == number)
        .values(tries=outbox.c.tries + 1, error=error[:500])
    )
