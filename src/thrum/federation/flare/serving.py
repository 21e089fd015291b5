"""Rounds that run for years: one after another, on a schedule, with nobody at the keyboard.

What stops a round (a site that is lost, an engine that dies, a full disk) is told and noted, and the next
attempt comes after a pause that doubles up to the time between rounds. ``rounds.jsonl`` in the server's
folder has a line for each round that ended, whichever way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thrum.errors import FederationError, ThrumError
from thrum.evaluation.table import Result
from thrum.federation.flare.allowed import Allowed
from thrum.federation.flare.announcing import Counting
from thrum.federation.flare.engine import Engine
from thrum.federation.flare.history import note_round, now
from thrum.federation.flare.kit import Kit, reachable
from thrum.federation.flare.operator import Operator
from thrum.federation.flare.rounds import (
    POLL_SECONDS,
    Tell,
    await_end,
    conclude,
    listening,
    one_round,
    open_site,
    own_dataset,
    wait_for_server,
)
from thrum.federation.flare.settings import ServerSettings, SiteSettings
from thrum.federation.flare.state import clear_state
from thrum.storage import private_folder
from thrum.types import Progress

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
LOOK_SECONDS = 5.0
"""Between two looks at who, and how many clips, have come since the last round."""

_log = logging.getLogger(__name__)


@dataclass
class Pause:
    """How long to wait after a failure: longer each time, until something has gone well.

    Parameters
    ----------
    longest
        In seconds.
    """

    longest: float = LONGEST_PAUSE_SECONDS
    _failures: int = 0

    def after_failure(self) -> float:
        """Return the seconds to wait after one more failure."""
        self._failures += 1
        return float(min(FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 30), self.longest))

    def went_well(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0


def serve_rounds(
    server: Kit,
    operator: Kit,
    settings: ServerSettings,
    *,
    every_seconds: float,
    when_clips: int | None = None,
    wait_seconds: float,
    tell: Tell,
    progress: Progress,
    ended: Callable[[dict[str, Any]], None],
    rounds: int | None = None,
) -> None:
    """Run a round every `every_seconds`, from the end of one to the beginning of the next.

    A site that comes in between has one begun at once, so that it need not wait for what the others have.
    Before each round the list of sites is read again.

    Parameters
    ----------
    when_clips
        A round begins earlier where the sites of the last one together have so many new training clips, but
        not before as much time has passed as that one took, whatever sites say. None keeps to the schedule.
    wait_seconds
        How long all registered sites may take to come; then a quorum is enough, where there is one, and
        else they are waited for again.
    ended
        Is told of each round that is done.
    rounds
        How many are run; None runs until the process is ended.
    """
    private_folder(settings.out)  # where there can be none, no waiting mends that
    pause, done = Pause(max(FIRST_PAUSE_SECONDS, min(every_seconds, LONGEST_PAUSE_SECONDS))), 0
    allowed = Allowed(settings.sites_file)
    while rounds is None or done < rounds:
        began = now()
        try:
            settings = allowed.now(settings)
            with listening(server, operator, settings, tell=tell) as (engine, session):
                while rounds is None or done < rounds:
                    began, clock = now(), time.monotonic()
                    settings = allowed.now(settings)
                    engine.tell(settings)
                    outcome = one_round(
                        engine,
                        session,
                        settings,
                        wait_seconds=wait_seconds,
                        tell=tell,
                        progress=progress,
                    )
                    note_round(
                        settings.out, began=began, state="done", sites=sorted(outcome["sites"])
                    )
                    ended(outcome)
                    done += 1
                    pause.went_well()
                    if rounds is None or done < rounds:
                        for warning in filter(None, (server.warning(), operator.warning())):
                            tell(warning)
                        sooner = f", or with {when_clips} new clips" if when_clips else ""
                        tell(
                            f"the next round begins in {_in_words(every_seconds)}{sooner} (Ctrl-C ends)"
                        )
                        took = time.monotonic() - clock
                        due = partial(
                            _due, session, allowed, settings, outcome, when_clips, clock + 2 * took
                        )
                        if why := _rest(engine, every_seconds, due):
                            tell(f"{why}: the next round begins now")
        except (ThrumError, OSError) as error:
            seconds = pause.after_failure()
            tell(f"{error}; trying again in {_in_words(seconds)} (Ctrl-C ends)")
            _note_quietly(settings.out, began=began, reason=str(error), tell=tell)
            time.sleep(seconds)


def take_part_in_rounds(
    kit: Kit,
    settings: SiteSettings,
    *,
    tell: Tell,
    progress: Progress,
    ended: Callable[[list[Result], list[str]], None],
    rounds: int | None = None,
) -> None:
    """Take part in every round that the server begins; recordings are looked for again before each.

    Parameters
    ----------
    ended
        Is told the results of each round and what a reader of them must know.
    rounds
        In how many; None until the process is ended.
    """
    private_folder(settings.out)
    pause, done = Pause(), 0
    counting = Counting(settings.out, lambda: own_dataset(settings))
    reachable(kit)  # what is wrong with the kit no waiting mends
    while rounds is None or done < rounds:
        try:
            if warning := kit.warning():
                tell(warning)
            open_site(settings, progress=progress).prepare()
            clear_state(settings.out)
            wait_for_server(kit, tell)
            with Engine(kit, settings) as engine:
                while rounds is None or done < rounds:
                    site = open_site(settings)
                    seed = await_end(engine, site, settings, tell, before=counting.look)
                    clear_state(settings.out)
                    site = open_site(settings, progress=progress)
                    site.prepare()  # what has been recorded since
                    ended(*conclude(site, settings, seed=seed))
                    done += 1
                    pause.went_well()
                    if warning := kit.warning():
                        tell(warning)
                while engine.busy():
                    time.sleep(POLL_SECONDS)
        except (ThrumError, OSError) as error:
            seconds = pause.after_failure()
            tell(f"{error}; trying again in {_in_words(seconds)} (Ctrl-C ends)")
            time.sleep(seconds)


def _note_quietly(folder: Path, *, began: str, reason: str, tell: Tell) -> None:
    try:
        note_round(folder, began=began, state="stopped", reason=reason)
    except OSError as error:  # the disk may be what is full
        tell(f"that could not be noted: {error}")


def _rest(engine: Engine, seconds: float, due: Callable[[], str | None]) -> str | None:
    """Wait, but no longer than the engine lives, or until a round is due earlier; return why it is."""
    until, looked = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < until:
        engine.check()
        time.sleep(min(POLL_SECONDS, max(until - time.monotonic(), 0)))
        if time.monotonic() - looked >= LOOK_SECONDS:
            if why := due():
                return why
            looked = time.monotonic()
    return None


def _due(
    session: Operator,
    allowed: Allowed,
    settings: ServerSettings,
    outcome: Mapping[str, Any],
    when_clips: int | None,
    soonest: float,
) -> str | None:
    """Return why a round is to begin before its time; None where nothing is.

    Parameters
    ----------
    outcome
        Of the last round. New clips count of those who were in it to the end: another would be waited for, or
        fail, again and again.
    soonest
        When, by the monotonic clock, new clips count.
    """
    here = session.here(allowed.now(settings).registry)
    if late := [name for name in here if name not in outcome["asked"]]:
        return f"{', '.join(late)} came late"
    if when_clips is None or time.monotonic() < soonest:
        return None
    try:
        new = session.announced([name for name in here if name in outcome["sites"]])
    except FederationError as error:  # one of them has just gone
        _log.warning("%s", error)
        return None
    if sum(new.values()) < when_clips:
        return None
    return f"{sum(new.values()):,} new clips have come at {', '.join(n for n in new if new[n])}"


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
