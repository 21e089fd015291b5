"""What the engine's job processes run: a site that answers, a server that asks.

The engine builds these two classes from the job's description, without arguments; all they know
they read from the settings of their own machine. Over the wire goes one question at a time, by
name, out of `thrum.federation.protocol.QUESTIONS`. Who asks and who answers is what the
certificates say: neither name is part of a message.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from nvflare.collab import CollabCallError, collab

from thrum import storage
from thrum.errors import FederationError, ProtocolError, ThrumError
from thrum.federation.flare.allowed import Allowed
from thrum.federation.flare.announcing import note_taken
from thrum.federation.flare.rounds import open_site
from thrum.federation.flare.settings import ServerSettings, SiteSettings, read_settings
from thrum.federation.flare.state import ProgressLog, write_state
from thrum.federation.inprocess import notes_of
from thrum.federation.ledger import Ledger
from thrum.federation.messages import Conclusion, Failure, Message, parse, plain, printable
from thrum.federation.protocol import QUESTIONS, answer
from thrum.federation.roll import PARALLEL_SITES
from thrum.federation.server import Server
from thrum.federation.site import Site

ATTEMPTS = 3
PAUSE_SECONDS = 2.0  # before the second attempt; doubled before the third
PRESENT_SECONDS = 20.0
"""How long a site may take to say that it is there; asked where it has answered nothing for so long."""
FAREWELL_SECONDS = 30.0
SERVER = "server"
"""How the engine calls the server, whatever its certificate says."""

_log = logging.getLogger(__name__)


class SiteEndpoint:
    """Answers the server from the site's own folder, and nobody else."""

    def __init__(self) -> None:
        self._site: Site | None = None
        self._failure: dict[str, str] = {}

    @collab.init
    def begin(self) -> None:
        """Note that a round has begun."""
        self._note("running")

    @collab.publish
    def present(self) -> dict:  # type: ignore[type-arg]
        """Say that the site still takes part in the round."""
        return {}

    @collab.publish
    def answer(self, question: str, arguments: dict) -> dict:  # type: ignore[type-arg]
        """Answer one question; where that fails, say what kind of error it was and no more.

        The reason may name files, so it stays at the site: in the engine's log and in
        ``round.json``, for the command that a person looks at.
        """
        if not _asked_by_the_server():
            return {}
        try:
            site = self._opened()
            before = site.told
            given = {"answer": answer(site, question, arguments)}
            if site.told is not before:
                self._note("running")
            return given
        except Exception as error:  # noqa: BLE001 - let through, it would carry its traceback away
            asked = question if str(question) in QUESTIONS else "an unknown question"
            _log.exception("%s could not be answered", asked)
            return self._failed(asked, error)

    @collab.publish
    def conclude(self, state: str, outcome: dict) -> dict:  # type: ignore[type-arg]
        """Hear how the round ended; what is no such message is no end."""
        if not _asked_by_the_server():
            return {}
        try:
            told = {**outcome, "state": state}
            end = parse(Conclusion, told, what="what the server says of the end of the round")
        except (ProtocolError, TypeError):
            _log.exception("the end of the round was not understood")
            return {}
        if end.state == "done":
            self._end()
            self._note("done", seed=end.seed, algorithm=end.algorithm)
        else:
            self._note(
                "stopped",
                reason=f"the server stopped the round ({end.kind}; its operator sees why)",
            )
        return {}

    def _end(self) -> None:
        """Close the round at the site; without a signature, too, what it brought is in force."""
        if self._site is None:
            return
        self._site.brought.end()
        clips = [clip for own in self._site.machines.values() for clip in own]
        try:
            note_taken(self._site.folder, clips)
        except ThrumError:  # they count as new once more
            _log.exception("the clips of the round could not be noted")
        try:
            self._site.sign()
        except ThrumError as error:
            _log.exception("the ledger could not be signed")
            self._failure = {"failure": f"signing the ledger: {error}"}

    def _opened(self) -> Site:
        if self._site is None:
            settings = read_settings(SiteSettings)
            if collab.site_name != settings.name:
                raise FederationError(
                    f"this is site {collab.site_name!r}, its settings are of {settings.name!r}"
                )
            site = open_site(settings)
            site.prepare()  # what has been recorded since the last round is not embedded yet
            self._site = site
        return self._site

    def _failed(self, question: str, error: Exception) -> Message:
        """Return the kind of an error, noted and in the ledger; nothing at all where that fails too."""
        kind = type(error).__name__
        self._failure = {"failure": f"{question}: {kind}: {error}"}
        content = kind.encode()
        try:
            Ledger(read_settings(SiteSettings).out / "ledger.jsonl").record(
                "failure",
                f"{question}: {kind}",
                clips=0,
                n_bytes=len(content),
                sha256=storage.sha256_bytes(content),
            )
            self._note("running")
        except (ThrumError, OSError):
            _log.exception("the failure could not be noted, so the server learns nothing of it")
            return {}
        return {"failed": kind}

    def _note(self, state: str, **details: Any) -> None:
        told = self._site.told if self._site else None
        if told is not None:
            details["told"] = {"protocol": list(told.protocol), "algorithm": told.algorithm}
        write_state(read_settings(SiteSettings).out, state, **details, **self._failure)


class RemoteSite:
    """The server's stand-in for a site; carries each question over the network.

    Parameters
    ----------
    name
        The site, as its certificate names it.
    proxy
        The engine's handle.
    answer_seconds
        How long one answer may take, its transfer included.
    allowed
        Who may take part; looked at before each message.
    """

    def __init__(
        self, name: str, proxy: Any, *, answer_seconds: float, allowed: Allowed | None = None
    ) -> None:
        self.name = name
        self._proxy = proxy
        self._answer_seconds = answer_seconds
        self._allowed = allowed or Allowed(None)
        self._heard = -math.inf

    def describe(
        self, protocol: Sequence[int], algorithm: int, sharing: str = "embeddings"
    ) -> Message:
        """Ask which machines the site has and which embedder it uses."""
        return self._ask("describe", protocol=list(protocol), algorithm=algorithm, sharing=sharing)

    def manifest(self, split: str) -> Message:
        """Ask which pieces of embeddings there are."""
        return self._ask("manifest", split=split)

    def chunk(self, split: str, fingerprint: str) -> Message:
        """Ask for one piece."""
        return self._ask("chunk", split=split, fingerprint=fingerprint)

    def statistics(self) -> Message:
        """Ask how the clips of each machine vary."""
        return self._ask("statistics")

    def mask_keys(self) -> Message:
        """Ask for keys for a secret sum."""
        return self._ask("mask_keys")

    def mask_shares(self, peers: Sequence[Message], place: int, needed: int) -> Message:
        """Ask for parts of the site's secrets, sealed for the others."""
        return self._ask("mask_shares", peers=list(peers), place=place, needed=needed)

    def mask_values(self, boxes: Sequence[str]) -> Message:
        """Ask for what the site adds, masked."""
        return self._ask("mask_values", boxes=list(boxes))

    def unmask(self, present: Sequence[int]) -> Message:
        """Ask for the site's parts of the others' secrets."""
        return self._ask("unmask", present=list(present))

    def accept_total(self, total: Message) -> Message:
        """Send down the sum over all sites."""
        return self._ask("accept_total", total=total)

    def accept_pools(self, pools: Message) -> Message:
        """Send down how the clips of others vary."""
        return self._ask("accept_pools", pools=pools)

    def accept_classifier(self, state: Message, description: Message) -> Message:
        """Send the ID classifier down."""
        return self._ask("accept_classifier", state=state, description=description)

    def accept_scores(self, scores: Message) -> Message:
        """Send scores down."""
        return self._ask("accept_scores", scores=scores)

    def conclude(self, state: str, outcome: Message) -> None:
        """Say how the round ended."""
        self._allowed.require(self.name)
        self._proxy(timeout=FAREWELL_SECONDS).conclude(state=state, outcome=outcome)

    def _ask(self, question: str, **arguments: Any) -> Message:
        """Ask, again where the network failed: every question may be asked twice."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            self._allowed.require(self.name)
            try:
                if (
                    time.monotonic() - self._heard > PRESENT_SECONDS
                ):  # who is lost is found out soon
                    self._proxy(timeout=PRESENT_SECONDS).present()
                reply = self._proxy(timeout=self._answer_seconds).answer(
                    question=question, arguments=arguments
                )
                self._heard = time.monotonic()
                break
            except CollabCallError as error:
                _log.warning("site %r, %s, attempt %d: %s", self.name, question, attempt + 1, error)
                failure = error
                self._heard = -math.inf
        else:
            raise FederationError(
                f"site {self.name!r} was lost: {question!r} failed {ATTEMPTS} times, at last because "
                f"{failure.cause}; see that thrum collaborate client runs there"
            ) from failure
        if isinstance(reply, dict) and "answer" in reply:
            given: Message = reply["answer"]
            return given
        try:
            kind = parse(Failure, reply, what="a failure").failed
        except ProtocolError:
            kind = "it does not say of what kind"
        raise FederationError(
            f"site {self.name!r} could not answer {question!r} ({kind}); the reason is shown there"
        )


class ServerEndpoint:
    """Runs a round over the sites of the job."""

    @collab.main
    def run(self) -> None:
        """Run the round; whatever becomes of it, note it and tell the sites."""
        settings = read_settings(ServerSettings)
        allowed = Allowed(settings.sites_file)
        sites = {
            proxy.name: RemoteSite(
                proxy.name, proxy, answer_seconds=settings.answer_seconds, allowed=allowed
            )
            for proxy in collab.clients
        }
        try:
            outcome = _collaborate(settings, sites)
        except Exception as error:
            reason = str(error) if isinstance(error, ThrumError) else type(error).__name__
            with suppress(
                ThrumError
            ):  # where the disk is full, the engine still says that it ended
                write_state(settings.out, "stopped", reason=reason)
            _farewell(sites, Conclusion("stopped", kind=type(error).__name__))
            if not isinstance(error, ThrumError):
                raise
        else:
            _farewell(sites, Conclusion("done", settings.seed, settings.algorithm))
            write_state(settings.out, "done", **outcome)


def _collaborate(settings: ServerSettings, sites: dict[str, RemoteSite]) -> dict[str, Any]:
    strangers = sorted(set(sites) - set(settings.registry))
    least = len(settings.registry) if settings.quorum is None else settings.quorum
    if strangers or len(sites) < least:
        raise FederationError(
            f"the round's sites are not the registered ones: {strangers or sorted(sites)}"
        )
    server = Server(
        settings.out,
        config=settings.config,
        seed=settings.seed,
        device=settings.device,
        per_machine_type=settings.per_machine_type,
        registry=settings.keys,
        limits=settings.limits,
        quorum=settings.quorum,
        release=settings.release,
        whitening_from=settings.whitening_from,
        progress=ProgressLog(settings.out),
    )
    outcome = server.collaborate(sites, algorithm=settings.algorithm, sharing=settings.sharing)
    return {
        "sites": {
            member.name: ["/".join(key) for key in member.machines] for member in outcome.members
        },
        "classifiers": list(outcome.classifiers),
        "alone": ["/".join(key) for key in outcome.alone],
        "notes": [
            *notes_of(
                outcome.alone,
                sharing=settings.sharing,
                embedder=str(outcome.members[0].description.embedder.get("class")),
                chain=printable(outcome.members[0].description.release),
            ),
            *outcome.notes,
        ],
    }


def _farewell(sites: dict[str, RemoteSite], end: Conclusion) -> None:
    """Tell every site how the round ended: of an error no more than its kind.

    Its text may name the server's folders, or other sites.
    """
    outcome = plain(end)
    state = outcome.pop("state")

    def tell(site: RemoteSite) -> None:
        try:
            site.conclude(state, outcome)
        except (CollabCallError, ThrumError) as error:
            _log.warning("site %r was not told that the round is %s: %s", site.name, state, error)

    with ThreadPoolExecutor(PARALLEL_SITES) as executor:
        list(executor.map(tell, sites.values()))


def _asked_by_the_server() -> bool:
    """Whether it is the server that asks; the engine lets sites call each other.

    Nobody else is answered, with no error either: it would carry its traceback away.
    """
    if collab.caller != SERVER:
        _log.warning("%r asked; only the server is answered", collab.caller)
        return False
    return True
