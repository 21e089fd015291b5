"""What came in, and what became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from thrum.sentences import kept
from thrum.service.health import Measured
from thrum.service.store.schema import clips, input_health, inputs, taken

Row = RowMapping


@dataclass(frozen=True)
class NewClip:
    """A clip that is to be judged.

    Parameters
    ----------
    key
        From `key_of`.
    input, machine
        Where it came from, and of what.
    started_at, received_at, seconds
        When it began, when it came, and how long it is.
    path
        Its audio, in the folder of audio.
    channel
        The one channel of it that is heard.
    measured
        What it says of its input.
    """

    key: str
    input: str
    machine: str
    started_at: float
    received_at: float
    seconds: float
    path: str
    channel: int | None
    measured: Measured


def key_of(sha256: str, input_name: str, told: str) -> str:
    """Return what makes a clip that clip: its content, its input and the time that was told, or nothing."""
    return hashlib.sha256(f"{sha256}\n{input_name}\n{told}".encode()).hexdigest()


def is_known(connection: Connection, key: str) -> bool:
    """Return whether a clip is there already."""
    return connection.execute(select(clips.c.id).where(clips.c.key == key)).first() is not None


def add(connection: Connection, new: Sequence[NewClip]) -> int:
    """Add the clips that are not there yet; return how many were."""
    added = 0
    for clip in new:
        if is_known(connection, clip.key):
            continue
        values: dict[str, Any] = {
            name: getattr(clip, name)
            for name in (
                *(
                    "key",
                    "input",
                    "machine",
                    "started_at",
                    "received_at",
                    "seconds",
                    "path",
                    "channel",
                ),
            )
        }
        connection.execute(
            insert(clips).values(
                **values,
                health=clip.measured.health,
                level_db=clip.measured.level_db,
                status="waiting",
            )
        )
        added += 1
    return added


def waiting(connection: Connection, machine: str, limit: int) -> Sequence[Row]:
    """Return the oldest clips of a machine that have not been judged."""
    wanted = (
        select(clips)
        .where(clips.c.machine == machine, clips.c.status == "waiting")
        .order_by(clips.c.id)
        .limit(limit)
    )
    return connection.execute(wanted).mappings().all()


def machines_waiting(connection: Connection) -> list[str]:
    """Return the machines of which clips wait, the one whose clip has waited longest first."""
    wanted = (
        select(clips.c.machine)
        .where(clips.c.status == "waiting")
        .group_by(clips.c.machine)
        .order_by(func.min(clips.c.id))
    )
    return list(connection.execute(wanted).scalars())


def count_waiting(connection: Connection) -> int:
    """Return how many clips have not been judged."""
    return int(
        connection.execute(
            select(func.count()).select_from(clips).where(clips.c.status == "waiting")
        ).scalar_one()
    )


def add_input(connection: Connection, name: str, machine: str, now: float) -> None:
    """Make the row of an input, where there is none; it may hear another machine than before."""
    if connection.execute(select(inputs.c.name).where(inputs.c.name == name)).first():
        connection.execute(update(inputs).where(inputs.c.name == name).values(machine=machine))
        return
    connection.execute(
        insert(inputs).values(name=name, machine=machine, health="waiting", detail="", since=now)
    )
    connection.execute(
        insert(input_health).values(input=name, health="waiting", detail="", begun_at=now)
    )


def forget_inputs(connection: Connection, but: Collection[str]) -> None:
    """Forget all inputs but these: one that was taken away is not well for ever. Its history stays."""
    connection.execute(delete(inputs).where(inputs.c.name.not_in(but)))


def set_health(
    connection: Connection, name: str, health: str, detail: str, now: float, **more: object
) -> bool:
    """Set how an input is; return whether that is another health than before."""
    before = connection.execute(select(inputs.c.health).where(inputs.c.name == name)).scalar()
    changed = before != health
    values: dict[str, object] = {"health": health, "detail": kept(detail), **more}
    if changed:
        values["since"] = now
        connection.execute(
            insert(input_health).values(
                input=name, health=health, detail=values["detail"], begun_at=now
            )
        )
    connection.execute(update(inputs).where(inputs.c.name == name).values(**values))
    return changed


def heard(
    connection: Connection, name: str, measured: Measured, ended_at: float, now: float, count: int
) -> None:
    """Note on an input that clips came from it."""
    set_health(
        connection,
        name,
        measured.health,
        measured.detail,
        now,
        heard_at=ended_at,
        level_db=measured.level_db,
        clips=inputs.c.clips + count,
    )


def came(connection: Connection) -> dict[str, int]:
    """Return how much has come of each input, by whichever worker, what could not be used too."""
    wanted = select(inputs.c.name, inputs.c.clips + inputs.c.refused)
    return {str(name): int(count) for name, count in connection.execute(wanted)}


def is_taken(connection: Connection, name: str, file: str, size: int, modified_ns: int) -> bool:
    """Return whether a file of a folder has been taken in as it is."""
    row = connection.execute(
        select(taken.c.size, taken.c.modified_ns).where(taken.c.input == name, taken.c.file == file)
    ).first()
    return row is not None and (row.size, row.modified_ns) == (size, modified_ns)


def take(connection: Connection, name: str, file: str, size: int, modified_ns: int) -> None:
    """Note that a file of a folder is taken in as it is."""
    where = (taken.c.input == name, taken.c.file == file)
    values = {"size": size, "modified_ns": modified_ns}
    if not connection.execute(update(taken).where(*where).values(**values)).rowcount:
        connection.execute(insert(taken).values(input=name, file=file, **values))
