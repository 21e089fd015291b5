"""Who may ask for scores, what about, and each question once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from thrum.errors import ProtocolError, ThrumError
from thrum.federation.messages import VERSION, understood
from thrum.federation.result_messages import ScoresMessage
from thrum.federation.scoring.kept import KeptNetworks, NewestNetworks
from thrum.federation.scoring.messages import decoded_question
from thrum.federation.scoring.signing import require_signed

WINDOW_SECONDS = 300.0
"""By how much a site's clock may differ; as long a question is remembered."""
SLACK_SECONDS = 3.0
"""By how much a site's clock may be behind in the first minutes of the service."""
MOST_REMEMBERED = 100_000
"""Questions within the window, of all sites: beyond that, none is answered until some are older."""


class Admission:
    """Answers the questions of sites, each once, of their own machines alone.

    Parameters
    ----------
    kept
        What scores.
    clock
        Seconds since 1970.
    require_allowed
        Raises a `ThrumError` where a site may take part no more; asked at every question.
    """

    def __init__(
        self,
        kept: KeptNetworks | NewestNetworks,
        *,
        clock: Callable[[], float],
        require_allowed: Callable[[str], None] = lambda site: None,
    ) -> None:
        self.kept = kept
        self._clock = clock
        self._require_allowed = require_allowed
        self._began = clock()
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = Lock()

    def answer(
        self, body: bytes, signature: bytes, *, site: str, certificate: bytes
    ) -> ScoresMessage:
        """Answer a question of the peer whose certificate (DER) names `site`.

        Raises
        ------
        ProtocolError
            Where it is not signed by that certificate's key, not understood, of another site's, too old,
            said before, of a machine that is not the site's, or where the site may take part no more.
        """
        require_signed(body, signature, certificate)
        question = decoded_question(body)
        if question.site != site:
            raise ProtocolError(f"{site!r} asks in the name of {question.site!r}")
        try:
            self._require_allowed(site)
        except ThrumError as error:
            raise ProtocolError(str(error)) from error
        if not understood(question.protocol):
            raise ProtocolError(
                f"site {site!r} speaks another version of the protocol than {VERSION[0]}.{VERSION[1]}"
            )
        self._require_new(site, question.nonce, question.time)
        return self.kept.scores(site, question.key, question.clips())

    def _require_new(self, site: str, nonce: str, time: float) -> None:
        now = self._clock()
        if abs(now - time) > WINDOW_SECONDS:
            raise ProtocolError(
                f"site {site!r} asks {now - time:.0f} s late, within {WINDOW_SECONDS:.0f} s is wanted: set "
                f"its clock, or this one"
            )
        if time < self._began - SLACK_SECONDS:
            # What was said before this process began is not remembered, and could be said again.
            raise ProtocolError(f"site {site!r} asked before this service began: ask again")
        with self._lock:
            self._seen = {
                each: at for each, at in self._seen.items() if now - at <= 2 * WINDOW_SECONDS
            }
            if (site, nonce) in self._seen:
                raise ProtocolError(f"site {site!r} says again what it has said before")
            if len(self._seen) >= MOST_REMEMBERED:
                raise ProtocolError("too many questions in a short time: ask later")
            self._seen[site, nonce] = now
