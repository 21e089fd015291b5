"""A round, as the machine of the server and that of a site live it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from thrum import config, storage
from thrum.datasets import Cutting, learnable, open_dataset
from thrum.embedders import create_embedder
from thrum.errors import FederationError
from thrum.evaluation.table import Result, write_results, write_scores
from thrum.federation.flare.allowed import Allowed
from thrum.federation.flare.engine import Engine
from thrum.federation.flare.kit import Kit, reachable, require_free_port
from thrum.federation.flare.operator import Operator, logged_in
from thrum.federation.flare.settings import ServerSettings, SiteSettings
from thrum.federation.flare.state import LogReader, clear_state, read_state
from thrum.federation.inprocess import notes_of, site_results
from thrum.federation.ledger import Entry, total_bytes
from thrum.federation.site import Site
from thrum.types import Dataset, Progress

Tell = Callable[[str], None]
POLL_SECONDS = 0.5
START_SECONDS = 60.0
LINGER_SECONDS = 30.0
"""How long the engine may take to put a finished round away before it is stopped."""
TELL_AGAIN_SECONDS = 60.0


def own_dataset(settings: SiteSettings) -> Dataset:
    """Return the site's own recordings, as they are now."""
    return learnable(
        open_dataset(
            settings.data,
            layout=settings.layout,
            labels=settings.labels,
            normal=settings.normal,
            anomaly=settings.anomaly,
            cutting=Cutting(settings.clip_seconds, settings.hop_seconds),
        )
    )


def open_site(settings: SiteSettings, *, progress: Progress | None = None) -> Site:
    """Return the site: its own recordings, its own embedder, its own folder."""
    dataset = own_dataset(settings)
    embedder = "precomputed" if dataset.holds == "features" else settings.embedder
    return Site(
        settings.name,
        dataset.clips,
        create_embedder(embedder),
        settings.out,
        device=settings.device,
        algorithm=settings.algorithm,
        sharing=settings.sharing,
        releases=settings.releases,
        progress=progress,
    )


def serve(
    server: Kit,
    operator: Kit,
    settings: ServerSettings,
    *,
    wait_seconds: float,
    tell: Tell,
    progress: Progress,
) -> dict[str, Any]:
    """Run one round as the server: start the engine, wait for the sites, submit and follow.

    Returns
    -------
    dict
        ``asked``, the sites that were here when it began; ``sites`` with the machines of each that took part
        to the end; ``classifiers`` by name, ``alone``: machines that had nothing to be told apart from, and
        ``notes``: what a reader of the results must know.

    Raises
    ------
    FederationError
        Where sites do not come within `wait_seconds`, or the round stops; run again to go on.
    """
    with listening(server, operator, settings, tell=tell) as (engine, session):
        return one_round(
            engine, session, settings, wait_seconds=wait_seconds, tell=tell, progress=progress
        )


@contextmanager
def listening(
    server: Kit, operator: Kit, settings: ServerSettings, *, tell: Tell
) -> Iterator[tuple[Engine, Operator]]:
    """Run the server's engine, and the operator's session with it, while the context is open."""
    for kit in (server, operator):
        if warning := kit.warning():
            tell(warning)
    require_free_port(operator)
    storage.private_folder(settings.out)
    storage.write_text(settings.out / "config.toml", config.to_toml(settings))
    clear_state(settings.out)
    with Engine(server, settings) as engine:
        if not _wait(lambda: reachable(operator), engine, START_SECONDS):
            raise FederationError(
                f"the engine does not answer at {operator.host}:{operator.port}: does that name "
                f"lead to this machine? It wrote {engine.log}"
            )
        tell(f"the server listens at {operator.host}:{operator.port}")
        with logged_in(operator) as session:
            yield engine, session


def one_round(
    engine: Engine,
    session: Operator,
    settings: ServerSettings,
    *,
    wait_seconds: float,
    tell: Tell,
    progress: Progress,
) -> dict[str, Any]:
    """Wait for the sites, submit a round and follow it; see `serve`."""
    clear_state(settings.out)
    log = LogReader(settings.out, progress)
    allowed = Allowed(settings.sites_file)
    here = _wait_for_sites(session, settings, allowed, engine, wait_seconds, tell)
    engine.tell(allowed.now(settings))
    job = session.submit(here, quorum=settings.quorum)
    tell("the round begins")
    ended = _follow(settings, session, job, engine, log)
    state = read_state(settings.out)
    if state["state"] != "done":
        reason = state.get("reason", f"the engine ended it ({ended}); its logs lie in {engine.log}")
        raise FederationError(f"the round stopped: {reason}. What has arrived is kept: run again")
    return {"asked": here} | {key: value for key, value in state.items() if key != "state"}


def take_part(
    kit: Kit, settings: SiteSettings, *, tell: Tell, progress: Progress
) -> tuple[list[Result], list[str]]:
    """Take part in one round as a site: embed, answer the server, score one's own machines.

    A round that stops is waited for again: the server keeps what has arrived. ``scores`` and
    ``results.csv`` in the site's folder hold the outcome; it goes nowhere else.

    Returns
    -------
    results, notes
        A result for each machine ID and method, and what a reader of them must know.

    Raises
    ------
    FederationError
        Where the server's name is not known, or server and site do not trust each other's certificates.
    """
    if warning := kit.warning():
        tell(warning)
    reachable(kit)  # what is wrong with the kit is to be said before hours of embedding
    site = open_site(settings, progress=progress)
    site.prepare()
    clear_state(settings.out)
    wait_for_server(kit, tell)
    with Engine(kit, settings) as engine:
        seed = await_end(engine, site, settings, tell)
        outcome = conclude(site, settings, seed=seed)
        _wait(lambda: not engine.busy(), engine, LINGER_SECONDS)
    return outcome


def await_end(
    engine: Engine,
    site: Site,
    settings: SiteSettings,
    tell: Tell,
    *,
    before: Callable[[], None] = lambda: None,
) -> int:
    """Wait until a round is done, telling what leaves the site; return the round's seed.

    Parameters
    ----------
    before
        Is called again and again until it begins.
    """
    told, sent = read_state(settings.out), len(site.ledger.entries())
    while told["state"] != "done":
        time.sleep(POLL_SECONDS)
        engine.check()
        state, entries = read_state(settings.out), site.ledger.entries()
        if state["state"] == "waiting":
            before()
        if len(entries) > sent:
            tell(_left(entries[sent:]))
        if state != told:
            tell(_told(state))
        told, sent = state, len(entries)
    return int(told["seed"])


def conclude(site: Site, settings: SiteSettings, *, seed: int) -> tuple[list[Result], list[str]]:
    """Score the site's machines with what a round has brought, and write the results; see `take_part`."""
    scores = site.score()
    shutil.rmtree(settings.out / "scores", ignore_errors=True)  # of an earlier round
    for own in scores:
        write_scores(settings.out / "scores", own.test)
    results = [row for own in scores for row in site_results(own, seed)]
    write_results(settings.out / "results.csv", results)
    refused = [
        f"refused what the server sent: {text}; what an earlier round brought, if one did, stays in force"
        for text in site.refused
    ]
    without = [own.key for own in scores if "pool" not in own.scores]
    notes = notes_of(
        [] if refused else without,
        sharing=settings.sharing,
        embedder=type(site.embedder).__qualname__,
        chain=site.releasing.chain.told,
    )
    return results, [*refused, *notes]


def _follow(
    settings: ServerSettings, session: Operator, job: str, engine: Engine, log: LogReader
) -> str | None:
    """Report a round until the engine has put it away; return how the engine saw it end."""
    ended = None
    while read_state(settings.out)["state"] == "waiting" and ended is None:
        time.sleep(POLL_SECONDS)
        engine.check()
        log.poll()
        ended = session.finished(job)
    log.poll()
    _wait(lambda: session.finished(job) is not None, engine, LINGER_SECONDS)
    return session.finished(job)


def _wait_for_sites(
    session: Operator,
    settings: ServerSettings,
    allowed: Allowed,
    engine: Engine,
    wait_seconds: float,
    tell: Tell,
) -> list[str]:
    """Wait until all who may take part are here, or the time is over and a quorum is; return who is."""
    here: list[str] = []
    missing: list[str] | None = None

    def complete() -> bool:
        nonlocal here, missing
        names = sorted(allowed.now(settings).registry)  # who is struck off is waited for no more
        here = session.here(names)
        now_missing = [name for name in names if name not in here]
        if now_missing and now_missing != missing:
            tell(f"{len(here)} of {len(names)} sites are here; waiting for {_list(now_missing)}")
        missing = now_missing
        return not missing

    if not _wait(complete, engine, wait_seconds):
        late = missing or []
        if settings.quorum is None or len(here) < settings.quorum:
            raise FederationError(
                f"{_list(late)} did not come within {wait_seconds:g} s: start thrum "
                f"collaborate client there, or wait longer with --wait"
            )
        tell(
            f"{_list(late)} did not come; the round begins without, with a quorum of "
            f"{settings.quorum}"
        )
    return here


def wait_for_server(kit: Kit, tell: Tell) -> None:
    """Wait until something answers where the kit says the server is."""
    told = -TELL_AGAIN_SECONDS
    while not reachable(kit):
        if time.monotonic() - told >= TELL_AGAIN_SECONDS:
            tell(f"no server at {kit.host}:{kit.port} yet; waiting for it (Ctrl-C ends)")
            told = time.monotonic()
        time.sleep(POLL_SECONDS)
    tell(
        f"the server at {kit.host}:{kit.port} is here; waiting for the round to begin (Ctrl-C ends)"
    )


def _wait(condition: Callable[[], bool], engine: Engine, seconds: float) -> bool:
    """Wait until `condition` holds, at most `seconds`; return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        engine.check()
        time.sleep(POLL_SECONDS)
    return True


def _told(state: dict[str, Any]) -> str:
    line = {
        "waiting": "waiting for the round to begin",
        "running": _running(state.get("told")),
        "stopped": f"{state.get('reason')}; waiting for the server to go on (Ctrl-C ends)",
        "done": "the round is done",
    }[state["state"]]
    return f"{line}. Here failed {state['failure']}" if "failure" in state else line


def _running(told: dict[str, Any] | None) -> str:
    if told is None:
        return "the round runs"
    version = ".".join(map(str, told["protocol"]))
    return (
        f"the round runs: Algorithm {told['algorithm']}, as the server says in protocol {version}"
    )


def _left(entries: list[Entry]) -> str:
    clips, n_bytes = sum(entry.clips for entry in entries), total_bytes(entries)
    what = ", ".join(dict.fromkeys(entry.what for entry in entries))
    return f"left this site: {what} ({clips} clips, {n_bytes:,} bytes)"


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
