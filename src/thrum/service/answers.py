"""What people say of alarms and clips, carried out by the one who judges the machine.

An answer is written first, and carried out when the monitor is at hand. A change of the baseline is a
change of files: where the service is killed between these and the database, the change is found to be
there and the answer is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from thrum.errors import DataError, ThrumError, UsageError
from thrum.monitoring import changing
from thrum.sentences import Sentence
from thrum.service import events, rules
from thrum.service.config import Settings
from thrum.service.store import logs, machines
from thrum.service.store.database import Database
from thrum.service.store.schema import alarms, answers, clips
from thrum.service.watching import Watched

What = Literal["heard", "fault", "false alarm", "normal"]
"""An alarm was heard; it is a confirmed fault; it was false; these clips are normal, and are learnt."""

CHANGES = {"fault": "fault", "normal": "add"}
"""What an answer does to the baseline, as its history calls it."""

_logger = logging.getLogger(__name__)


def ask(
    connection: Connection,
    machine: str,
    what: What,
    *,
    who: str,
    now: float,
    alarm: str | None = None,
    clip_numbers: Sequence[int] = (),
    comment: str = "",
) -> int:
    """Write what a person said; return its number.

    Raises
    ------
    UsageError
        Where there is no such alarm or clip of that machine.
    """
    if alarm is not None:
        row = connection.execute(select(alarms.c.machine).where(alarms.c.id == alarm)).first()
        if row is None or row.machine != machine:
            raise UsageError(f"{machine} has no alarm {alarm!r}")
    for number in clip_numbers:
        found = connection.execute(select(clips.c.machine).where(clips.c.id == number)).first()
        if found is None or found.machine != machine:
            raise UsageError(f"{machine} has no clip {number}")
    if what == "normal" and not clip_numbers:
        raise UsageError("say which clips are normal")
    if what != "normal" and alarm is None:
        raise UsageError("say which alarm is meant")
    result = connection.execute(
        insert(answers).values(
            machine=machine,
            what=what,
            alarm=alarm,
            clips=json.dumps(list(clip_numbers)),
            at=now,
            who=who,
            comment=comment[:2000],
        )
    )
    logs.audit(connection, who, what, alarm or machine, comment[:2000], now)
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def machines_asked(connection: Connection) -> list[str]:
    """Return the machines of which answers wait."""
    wanted = select(answers.c.machine).where(answers.c.done_at.is_(None)).distinct()
    return list(connection.execute(wanted).scalars())


def carry_out(
    database: Database,
    watched: Watched,
    audio: Path,
    settings: Settings,
    now: Callable[[], float],
) -> int:
    """Do what is asked of a machine; return how much that was."""
    name = watched.settings.name
    wanted = (
        select(answers)
        .where(answers.c.machine == name, answers.c.done_at.is_(None))
        .order_by(answers.c.id)
    )
    with database.reading() as connection:
        waiting = connection.execute(wanted).mappings().all()
    for answer in waiting:
        try:
            outcome = _change_baseline(database, watched, audio, answer)
        except ThrumError as error:
            outcome = f"not done: {error}"
            _logger.warning("answer %s on %s: %s", answer["id"], name, error)
        with database.writing() as connection:
            _finish(connection, watched, settings, answer, outcome, now())
    return len(waiting)


def _change_baseline(database: Database, watched: Watched, audio: Path, answer: RowMapping) -> str:
    numbers = json.loads(answer["clips"])
    if answer["what"] not in CHANGES or not numbers:
        return "done"
    when = datetime.fromtimestamp(answer["at"], UTC).isoformat(timespec="milliseconds")
    signed = changing.Signed(when, answer["who"], answer["comment"])
    version = _done_before(watched, CHANGES[answer["what"]], signed, numbers)
    if version is not None:
        return Sentence("version", version=version)
    with database.reading() as connection:
        rows = connection.execute(select(clips).where(clips.c.id.in_(numbers))).mappings().all()
    rows = [row for row in rows if row["path"] is not None and (audio / row["path"]).is_file()]
    if not rows:
        raise DataError("the audio of these clips is no longer kept")
    gone = len(numbers) - len(rows)
    without = (Sentence("some_gone", clips=gone),) if gone else ()
    sounds = watched.sounds(rows, audio)
    try:
        if answer["what"] == "fault":
            done = changing.confirm_faults(watched.monitor, sounds, signed)
        else:
            done = changing.add(watched.monitor, sounds, signed)
    except UsageError as error:
        return f"done: {error}"  # all are known: somebody has said so before
    outcome = Sentence("version", version=done.change.version)
    for more in (*without, *done.advice):
        outcome = Sentence("both", first=outcome, more=more)
    return outcome


def _done_before(
    watched: Watched, what: str, signed: changing.Signed, numbers: Sequence[int]
) -> int | None:
    """Return the version that an answer made before the service was killed; None where it made none."""
    names = {f"clip {number}" for number in numbers}
    for change in watched.monitor.history.changes():
        same = changing.Signed(change.when, change.who, change.why) == signed
        if same and change.what == what and names.issuperset(change.clips):
            return change.version
    return None


def _finish(
    connection: Connection,
    watched: Watched,
    settings: Settings,
    answer: RowMapping,
    outcome: str,
    now: float,
) -> None:
    """Write that an answer is carried out, with all that comes of it."""
    name, what, alarm = watched.settings.name, answer["what"], answer["alarm"]
    before = watched.standing
    standing = before
    if alarm is not None:
        row = connection.execute(select(alarms).where(alarms.c.id == alarm)).mappings().one()
        machines.acknowledge(
            connection, alarm, who=answer["who"], verdict=what, comment=answer["comment"], now=now
        )
        if row["acknowledged_at"] is None:
            events.tell(
                connection,
                settings,
                name,
                "acknowledged",
                alarm,
                now,
                who=answer["who"],
                verdict=what,
            )
        if before.alarm == alarm:
            standing = rules.acknowledged(before)
            if what == "fault":
                watched.stream.forget(row["since_clips"])
            elif what in ("false alarm", "normal"):
                standing = rules.closed(before)
                watched.stream.forget(0)
                machines.close_alarm(connection, alarm, now)
                events.tell(connection, settings, name, "closed", alarm, now)
    if outcome.startswith("version"):  # these clips are compared with from now on
        kept = clips.c.id.in_(json.loads(answer["clips"])) & clips.c.path.is_not(None)
        connection.execute(update(clips).where(kept).values(kept=True))
    if what == "normal" and outcome.startswith("version"):
        watched.stream = watched.monitor.stream()
        logs.audit(connection, answer["who"], "baseline", name, outcome, now)
    if standing != before:
        machines.set_standing(connection, name, before, standing, now)
        watched.standing = standing
    watched.keep(connection)
    connection.execute(
        update(answers)
        .where(answers.c.id == answer["id"])
        .values(done_at=now, outcome=str(outcome))
    )
