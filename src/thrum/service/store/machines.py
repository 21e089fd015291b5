"""How machines stand, what was said of their clips, and their alarms."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from thrum.monitoring.judgement import Judgement
from thrum.sentences import coded
from thrum.service.rules import Standing
from thrum.service.store.schema import acknowledgements, alarms, clips, judgements, machines, states


def ensure(connection: Connection, name: str, now: float) -> None:
    """Make the row of a machine, where there is none."""
    if connection.execute(select(machines.c.name).where(machines.c.name == name)).first() is None:
        standing = Standing()
        connection.execute(
            insert(machines).values(name=name, standing=standing.to_json(), since=now)
        )
        connection.execute(insert(states).values(machine=name, state=standing.state, begun_at=now))


def get(connection: Connection, name: str) -> RowMapping:
    """Return the row of a machine."""
    return connection.execute(select(machines).where(machines.c.name == name)).mappings().one()


def set_standing(
    connection: Connection,
    name: str,
    before: Standing,
    now_standing: Standing,
    at: float,
    clip: int | None = None,
) -> None:
    """Set how a machine stands, and write its history where that is another state."""
    values: dict[str, Any] = {"standing": now_standing.to_json()}
    if before.state != now_standing.state:
        values["since"] = at
        connection.execute(
            insert(states).values(machine=name, state=now_standing.state, begun_at=at, clip=clip)
        )
    connection.execute(update(machines).where(machines.c.name == name).values(**values))


def set_judged(connection: Connection, name: str, judged: int, heard_at: float | None) -> None:
    """Note how many clips of a machine have been judged, and when the last one ended."""
    values: dict[str, Any] = {"judged": judged}
    if heard_at is not None:
        values["heard_at"] = heard_at
    connection.execute(update(machines).where(machines.c.name == name).values(**values))


def keep_stream(
    connection: Connection, name: str, stream: Mapping[str, Any], judged: int, of: str
) -> bytes:
    """Keep a stream as it is after so many judgements; `of` says of which baseline and settings.

    Returns
    -------
    bytes
        What is kept.
    """
    packed = zlib.compress(json.dumps(stream).encode(), level=1)
    connection.execute(
        update(machines)
        .where(machines.c.name == name)
        .values(stream=packed, stream_judged=judged, stream_of=of)
    )
    return packed


def kept_stream(row: RowMapping) -> dict[str, Any]:
    """Return what `keep_stream` kept in the row of a machine."""
    told: dict[str, Any] = json.loads(zlib.decompress(row["stream"]))
    return told


def judgements_since(connection: Connection, name: str, number: int) -> Sequence[RowMapping]:
    """Return the judgements of a machine after its `number` first, in the order of hearing."""
    wanted = (
        select(judgements)
        .where(judgements.c.machine == name, judgements.c.number > number)
        .order_by(judgements.c.number)
    )
    return connection.execute(wanted).mappings().all()


def add_judgement(
    connection: Connection,
    clip: RowMapping,
    judgement: Judgement,
    *,
    number: int,
    now: float,
) -> None:
    """Write what was said of a clip; a second judgement of one clip is an error of the database."""
    connection.execute(
        insert(judgements).values(
            clip=clip["id"],
            machine=clip["machine"],
            number=number,
            at=clip["started_at"],
            judged_at=now,
            score=judgement.score,
            p=judgement.p,
            state=judgement.state,
            operating=judgement.operating,
            among=judgement.among,
            drift=judgement.drift,
            notes=json.dumps([coded(note) for note in judgement.notes]),
        )
    )
    connection.execute(update(clips).where(clips.c.id == clip["id"]).values(status="judged"))


def refuse(connection: Connection, clip: int, reason: str) -> None:
    """Note that a clip cannot be judged."""
    connection.execute(
        update(clips).where(clips.c.id == clip).values(status="refused", reason=reason)
    )


def raise_alarm(
    connection: Connection, name: str, alarm: str, clip: int, judgement: Judgement, now: float
) -> None:
    """Write an alarm."""
    connection.execute(
        insert(alarms).values(
            id=alarm,
            machine=name,
            clip=clip,
            raised_at=now,
            since_clips=judgement.since,
            score=judgement.score,
            p=judgement.p,
        )
    )


def keep_audio(connection: Connection, name: str, clip: int, before: int) -> None:
    """Keep the audio of a clip and of so many before it for good."""
    wanted = (
        select(clips.c.id)
        .where(clips.c.machine == name, clips.c.id <= clip)
        .order_by(clips.c.id.desc())
        .limit(before + 1)
    )
    numbers = list(connection.execute(wanted).scalars())
    connection.execute(update(clips).where(clips.c.id.in_(numbers)).values(kept=True))


def close_alarm(connection: Connection, alarm: str, now: float) -> None:
    """Note that an alarm is over."""
    connection.execute(
        update(alarms)
        .where(alarms.c.id == alarm, alarms.c.closed_at.is_(None))
        .values(closed_at=now)
    )


def acknowledge(
    connection: Connection, alarm: str, *, who: str, verdict: str, comment: str, now: float
) -> None:
    """Write that a person has heard an alarm, and what was said of it."""
    connection.execute(
        insert(acknowledgements).values(
            alarm=alarm, at=now, who=who, verdict=verdict, comment=comment
        )
    )
    connection.execute(
        update(alarms)
        .where(alarms.c.id == alarm, alarms.c.acknowledged_at.is_(None))
        .values(acknowledged_at=now)
    )
    if verdict != "heard":
        connection.execute(update(alarms).where(alarms.c.id == alarm).values(verdict=verdict))
