"""What must hold of a store after a service was killed again and again, against what was sent to it."""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thrum.monitoring import open_monitor
from thrum.monitoring.alarms import AlarmSettings
from thrum.service.store.database import Database


class Checking:
    """Compares a store with what was sent.

    Parameters
    ----------
    folder
        That of `service_killed`.
    database
        The store.
    clips
        By key, whether a clip that was sent has been acknowledged.
    told
        By channel, the events that others have taken, in order.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        clips: Mapping[str, bool],
        told: Mapping[str, Sequence[str]],
    ) -> None:
        self.folder, self.database, self.clips, self.told = folder, database, clips, told

    def rows(self, query: str) -> list[Any]:
        """Return the rows of a query."""
        with self.database.reading() as connection:
            return list(connection.exec_driver_sql(query).mappings())

    def restless(self) -> dict[str, int]:
        """Return how much still waits, of each kind."""
        known = {row["key"] for row in self.rows("SELECT key FROM clips")}
        return {
            "clips": len(self.rows("SELECT id FROM clips WHERE status = 'waiting'")),
            "answers": len(self.rows("SELECT id FROM answers WHERE done_at IS NULL")),
            "events": len(self.rows("SELECT id FROM outbox WHERE sent_at IS NULL")),
            "acknowledged clips": sum(
                there and key not in known for key, there in self.clips.items()
            ),
        }

    def at_rest(self) -> bool:
        """Return whether nothing waits any more."""
        return not any(self.restless().values())

    def counts(self) -> dict[str, Any]:
        """Return how much there was."""
        alarms = self.rows("SELECT id FROM alarms")
        done = collections.Counter(
            f"{row['what']}: {row['outcome'].split()[0]}"
            for row in self.rows("SELECT * FROM answers")
        )
        return {
            "clips acknowledged": sum(self.clips.values()),
            "clips judged": len(self.rows("SELECT clip FROM judgements")),
            "clips whose sound was thinned": len(
                self.rows("SELECT id FROM clips WHERE path IS NULL")
            ),
            "alarms": len(alarms),
            "answers": dict(done),
            "events": len({row["event"] for row in self.rows("SELECT event FROM outbox")}),
            **{
                f"events taken once more, {channel}": len(events) - len(set(events))
                for channel, events in self.told.items()
            },
        }

    def wrong(self) -> list[str]:
        """Return what does not hold."""
        return [
            *self._clips(),
            *self._numbers(),
            *self._judgements(),
            *self._alarms(),
            *self._baseline(),
        ]

    def _clips(self) -> list[str]:
        wrong = []
        rows = {row["key"]: row for row in self.rows("SELECT * FROM clips")}
        lost = [key for key, there in self.clips.items() if there and key not in rows]
        if lost:
            wrong.append(f"{len(lost)} clips were acknowledged and are not there")
        if strange := set(rows) - set(self.clips):
            wrong.append(f"{len(strange)} clips are there that were never sent")
        judged = collections.Counter(
            row["clip"] for row in self.rows("SELECT clip FROM judgements")
        )
        for row in rows.values():
            if row["status"] != "judged" or judged[row["id"]] != 1:
                wrong.append(
                    f"clip {row['id']} is {row['status']}, judged {judged[row['id']]} times: {row['reason']}"
                )
            path = row["path"]
            if path is not None and not (self.folder / "monitor" / "audio" / path).is_file():
                wrong.append(f"clip {row['id']} names a file that is not there")
        return wrong

    def _numbers(self) -> list[str]:
        wrong = []
        for row in self.rows("SELECT name, judged FROM machines"):
            wanted = (
                f"SELECT number FROM judgements WHERE machine = '{row['name']}' ORDER BY number"
            )
            numbers = [each["number"] for each in self.rows(wanted)]
            if numbers != list(range(1, row["judged"] + 1)):
                wrong.append(
                    f"{row['name']}: the judgements are not numbered from 1 to {row['judged']}"
                )
        return wrong

    def _judgements(self) -> list[str]:
        """The steady machine must have been judged as a monitor judges that is never killed."""
        rows = self.rows(
            "SELECT judgements.*, clips.key FROM judgements JOIN clips ON clips.id = judgements.clip "
            "WHERE judgements.machine = 'steady' ORDER BY number"
        )
        alarms = AlarmSettings("stream", 100)
        monitor = open_monitor(self.folder / "run-steady", "hum/id_00", alarms=alarms)
        wanted = monitor.judge([self.folder / "sounds" / f"{row['key']}.wav" for row in rows])
        other = sum(
            (row["score"], row["p"], row["state"]) != (each.score, each.p, each.state)
            for row, each in zip(rows, wanted, strict=True)
        )
        return (
            [f"{other} judgements differ from those of a monitor that is never killed"]
            if other
            else []
        )

    def _alarms(self) -> list[str]:
        wrong = []
        alarms = self.rows(
            "SELECT alarms.*, clips.key, clips.path FROM alarms LEFT JOIN clips ON clips.id = alarms.clip"
        )
        names = {row["id"] for row in alarms}
        events = self.rows("SELECT * FROM outbox")
        for row in alarms:
            if row["id"] != str(row["key"])[:16]:
                wrong.append(f"alarm {row['id']} is not called after its clip")
            if row["path"] is None:
                wrong.append(f"the sound of alarm {row['id']} is not kept")
        channels = {row["channel"] for row in events}
        for channel in channels:
            own = collections.Counter(row["event"] for row in events if row["channel"] == channel)
            raised = {event.removesuffix("-raised") for event in own if event.endswith("-raised")}
            if raised != names:
                wrong.append(
                    f"{channel}: {len(names ^ raised)} alarms were not told, or told and are not there"
                )
            if doubled := [event for event, count in own.items() if count > 1]:
                wrong.append(f"{channel}: {len(doubled)} events are there twice")
            got = set(self.told.get(channel, ()))
            if got != set(own):
                never, nowhere = len(set(own) - got), len(got - set(own))
                wrong.append(f"{channel}: {never} events never came, {nowhere} came from nowhere")
        states = self.rows("SELECT * FROM states ORDER BY id")
        begun = collections.Counter(row["machine"] for row in states if row["state"] == "alarm")
        if begun != collections.Counter(row["machine"] for row in alarms):
            wrong.append(f"states say {dict(begun)} alarms, there are {len(alarms)}")
        for before, after in itertools.pairwise(states):
            if before["machine"] == after["machine"] and before["state"] == after["state"]:
                wrong.append(f"{after['machine']} came into {after['state']} twice")
        return wrong

    def _baseline(self) -> list[str]:
        wrong = []
        done = self.rows("SELECT * FROM answers WHERE outcome NOT LIKE 'not done%'")
        changes = [
            row for row in done if row["what"] in ("normal", "fault") and json.loads(row["clips"])
        ]
        monitor = open_monitor(self.folder / "run-changing", "hum/id_00")
        contents = [clip.sha256 for clip in (*monitor.baseline.clips, *monitor.baseline.faults)]
        if len(contents) != len(set(contents)):
            wrong.append("the baseline holds a clip twice")
        kept = {
            row["id"] for row in self.rows("SELECT id FROM clips WHERE kept AND path IS NOT NULL")
        }
        taught = {number for row in changes for number in json.loads(row["clips"])} & kept
        learnt = {clip.name for clip in (*monitor.baseline.clips, *monitor.baseline.faults)}
        if missing := [number for number in taught if f"clip {number}" not in learnt]:
            wrong.append(
                f"{len(missing)} clips were taught and are not in the baseline: {missing[:5]}"
            )
        return wrong
