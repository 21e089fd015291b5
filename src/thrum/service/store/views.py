"""What pages and metrics show: read, never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, select

from thrum.service.health import DEAF
from thrum.service.rules import Standing, shown
from thrum.service.store.schema import (
    alarms,
    clips,
    input_health,
    inputs,
    judgements,
    machines,
    states,
)

TREND = 60
"""Clips of a sparkline."""
WORST_FIRST = (
    "alarm",
    "acknowledged",
    "unheard",
    "unknown",
    "suspicious",
    "off",
    "waiting",
    "well",
)


@dataclass(frozen=True)
class MachineView:
    """A machine as the fleet shows it.

    Parameters
    ----------
    name
        Of the machine.
    state
        What is shown: that of its standing, or ``unheard``.
    since
        When that state began; where nobody hears the machine, when it was last heard.
    heard_at
        When the last clip ended that was judged; None before the first.
    hearing
        The health of the best of its inputs.
    score, p
        Of the last clip.
    drift
        Whether all sound has been a little strange for long.
    judged
        How many clips have been judged.
    alarm
        The alarm that is open.
    trend
        The last p-values, the latest last; None where there was no sound.
    """

    name: str
    state: str
    since: float
    heard_at: float | None
    hearing: str
    score: float | None
    p: float | None
    drift: bool
    judged: int
    alarm: str | None
    trend: tuple[float | None, ...]

    @property
    def badness(self) -> int:
        """Worst first."""
        return WORST_FIRST.index(self.state)


def fleet(connection: Connection, names: Sequence[str]) -> list[MachineView]:
    """Return the machines, worst first."""
    hearing = _hearing(connection)
    found = []
    for row in connection.execute(select(machines)).mappings():
        if row["name"] not in names:
            continue
        last = _last_judgements(connection, row["name"], TREND)
        standing = Standing.from_json(row["standing"])
        health = hearing.get(row["name"], "gone")
        latest = last[-1] if last else None
        state = shown(standing.state, health)
        found.append(
            MachineView(
                name=row["name"],
                state=state,
                since=row["heard_at"] or row["since"] if state == "unheard" else row["since"],
                heard_at=row["heard_at"],
                hearing=health,
                score=latest["score"] if latest else None,
                p=latest["p"] if latest else None,
                drift=bool(latest and latest["drift"]),
                judged=row["judged"],
                alarm=standing.alarm,
                trend=tuple(each["p"] for each in last),
            )
        )
    return sorted(found, key=lambda view: (view.badness, view.name))


def machine(connection: Connection, name: str) -> MachineView | None:
    """Return one machine."""
    return next(iter(fleet(connection, [name])), None)


def all_inputs(connection: Connection, names: Sequence[str]) -> list[RowMapping]:
    """Return the inputs, in the order of `names`."""
    rows = {row["name"]: row for row in connection.execute(select(inputs)).mappings()}
    return [rows[name] for name in names if name in rows]


def judged(connection: Connection, name: str, limit: int) -> list[RowMapping]:
    """Return the last judgements of a machine, the latest last."""
    return _last_judgements(connection, name, limit)


def alarms_of(connection: Connection, name: str | None = None, limit: int = 50) -> list[RowMapping]:
    """Return the last alarms, the latest first."""
    wanted = select(alarms).order_by(alarms.c.raised_at.desc()).limit(limit)
    if name is not None:
        wanted = wanted.where(alarms.c.machine == name)
    return list(connection.execute(wanted).mappings())


def open_alarms(connection: Connection) -> dict[str, float]:
    """Return the alarms that are open, each with when it was raised."""
    wanted = select(alarms.c.id, alarms.c.raised_at).where(alarms.c.closed_at.is_(None))
    return {str(name): float(at) for name, at in connection.execute(wanted)}


def alarm(connection: Connection, number: str) -> RowMapping | None:
    """Return an alarm."""
    wanted = select(alarms).where(alarms.c.id == number)
    return connection.execute(wanted).mappings().one_or_none()


def clip(connection: Connection, number: int) -> RowMapping | None:
    """Return a clip with what was said of it."""
    wanted = (
        select(clips, judgements.c.score, judgements.c.p, judgements.c.state, judgements.c.notes)
        .join(judgements, judgements.c.clip == clips.c.id, isouter=True)
        .where(clips.c.id == number)
    )
    return connection.execute(wanted).mappings().one_or_none()


def hours_in(connection: Connection, name: str, since: float, now: float) -> dict[str, float]:
    """Return the hours that a machine was shown in each state, from `since` to `now`."""
    wanted = select(states).where(states.c.machine == name).order_by(states.c.id)
    rows = list(connection.execute(wanted).mappings())
    deaf = _deaf(connection, name, since, now)
    hours: dict[str, float] = {}
    for place, row in enumerate(rows):
        ended = rows[place + 1]["begun_at"] if place + 1 < len(rows) else now
        begun = max(row["begun_at"], since)
        unheard = shown(row["state"], "gone")
        not_heard = sum(max(0.0, min(ended, end) - max(begun, at)) for at, end in deaf)
        for state, spent in ((unheard, not_heard), (row["state"], ended - begun - not_heard)):
            if spent > 0:
                hours[state] = hours.get(state, 0.0) + spent / 3600
    return hours


def health_history(connection: Connection, name: str, limit: int = 20) -> list[RowMapping]:
    """Return how an input has been, the latest first."""
    wanted = (
        select(input_health)
        .where(input_health.c.input == name)
        .order_by(input_health.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(wanted).mappings())


def totals(connection: Connection) -> Mapping[str, int]:
    """Return how many clips there are by status."""
    wanted = select(clips.c.status, func.count()).group_by(clips.c.status)
    return {str(status): int(count) for status, count in connection.execute(wanted)}


def _last_judgements(connection: Connection, name: str, limit: int) -> list[RowMapping]:
    wanted = (
        select(judgements)
        .where(judgements.c.machine == name)
        .order_by(judgements.c.number.desc())
        .limit(limit)
    )
    return list(reversed(list(connection.execute(wanted).mappings())))


def _deaf(connection: Connection, name: str, since: float, now: float) -> list[tuple[float, float]]:
    """Return from when to when no input of a machine heard anything."""
    names = list(
        connection.execute(select(inputs.c.name).where(inputs.c.machine == name)).scalars()
    )
    if not names:
        return [(since, now)]
    mine = input_health.c.input.in_(names)
    before = select(func.max(input_health.c.id)).where(mine, input_health.c.begun_at <= since)
    before = before.group_by(input_health.c.input)
    wanted = select(input_health).where(
        mine, (input_health.c.begun_at > since) | input_health.c.id.in_(before)
    )
    is_deaf = dict.fromkeys(names, False)
    found, begun = [], None
    for row in connection.execute(wanted.order_by(input_health.c.id)).mappings():
        is_deaf[row["input"]] = row["health"] in DEAF
        at = max(since, row["begun_at"])
        if begun is None and all(is_deaf.values()):
            begun = at
        elif begun is not None and not all(is_deaf.values()):
            found.append((begun, at))
            begun = None
    return found if begun is None else [*found, (begun, now)]


def _hearing(connection: Connection) -> dict[str, str]:
    """Return the health of the best input of each machine."""
    best: dict[str, str] = {}
    for row in connection.execute(select(inputs.c.machine, inputs.c.health)):
        if row.machine not in best or best[row.machine] in DEAF:
            best[row.machine] = row.health
    return best
