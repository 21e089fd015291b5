"""The operator: the one who may submit a round, and sees which sites are there."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thrum import storage
from thrum.errors import FederationError
from thrum.federation.flare import policy
from thrum.federation.flare.kit import Kit
from thrum.federation.messages import Announcement, printable

_log = logging.getLogger(__name__)

LOGIN_SECONDS = 30.0
SYNC_SECONDS = 300
"""How long the sites' processes may take to start and join a round."""


class Operator:
    """An open session of the operator with the server; whatever it cannot do is a `FederationError`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._out: set[str] = set()

    def here(self, allowed: Collection[str]) -> list[str]:
        """Return which of the sites that may take part are connected, sorted; put all others out.

        A site is known by the name in its certificate. Who is put out cannot log in to the engine any more,
        until the site is allowed again.
        """
        with _ours("saying which sites are connected"):
            connected = {client.name for client in self._session.get_connected_client_list()}
            for name in connected.difference(allowed):
                self._session.disable_client(name)
                self._out.add(name)
                _log.warning("site %r is not in the list of sites, and was put out", name)
            for name in self._out.intersection(allowed):
                self._session.enable_client(name)
                self._out.remove(name)
        return sorted(connected.intersection(allowed))

    def announced(self, sites: Collection[str]) -> dict[str, int]:
        """Return how many new clips each of these sites has; without those that do not say."""
        if not sites:
            return {}
        with _ours("asking for new clips"):
            answers = self._session.report_resources("client", sorted(sites))
        found = {}
        for name, text in answers.items():
            try:
                found[name] = msgspec.json.decode(text, type=Announcement).new_clips
            except (msgspec.DecodeError, TypeError):
                _log.warning("site %r does not say how many new clips it has", name)
        return found

    def submit(self, sites: Sequence[str], *, quorum: int | None = None) -> str:
        """Submit a round over these sites, of which `quorum` (None: all) must stay; return its name."""
        with tempfile.TemporaryDirectory() as folder:
            job = Path(folder) / "thrum"
            write_job(job, sites, quorum=quorum)
            with _ours("submitting the round"):
                return str(self._session.submit_job(str(job)))

    def finished(self, job: str) -> str | None:
        """Return how a job ended; None while it waits or runs."""
        with _ours("looking after the round"):
            status = str(self._session.get_job_status(job))
        return status if status.startswith("FINISHED") else None


@contextlib.contextmanager
def _ours(what: str) -> Iterator[None]:
    """Turn whatever the engine raises (it has no common base of its errors) into an error of ours."""
    try:
        yield
    except Exception as error:
        raise FederationError(
            f"the engine failed at {what}: {type(error).__name__}: {printable(str(error))}"
        ) from error


@contextlib.contextmanager
def logged_in(kit: Kit) -> Iterator[Operator]:
    """Open a session with the operator's kit.

    Raises
    ------
    FederationError
        Where the server does not let the operator in.
    """
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            session = new_secure_session(kit.name, str(kit.folder), timeout=LOGIN_SECONDS)
    except Exception as error:  # the engine has no common base of its errors
        raise FederationError(
            f"the server at {kit.host}:{kit.port} did not let the operator {kit.name!r} in: {error}"
        ) from error
    try:
        yield Operator(session)
    finally:
        # The server may be gone already.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            session.close()


def write_job(folder: Path, sites: Sequence[str], *, quorum: int | None = None) -> None:
    """Write the job of a round: which of the installed classes to build where. It holds no code."""
    controller = {"server_obj_id": "endpoint", "sync_task_timeout": SYNC_SECONDS}
    executor = {"path": policy.EXECUTOR, "args": {"client_obj_id": "endpoint"}}
    storage.write_json(
        folder / "meta.json",
        {
            "name": folder.name,
            "resource_spec": {},
            "deploy_map": {"app": ["server", *sites]},
            "min_clients": len(sites) if quorum is None else min(quorum, len(sites)),
            "mandatory_clients": list(sites) if quorum is None else [],
        },
    )
    storage.write_json(
        folder / "app" / "config" / "config_fed_server.json",
        {
            "format_version": 2,
            "workflows": [{"id": "controller", "path": policy.CONTROLLER, "args": controller}],
            "components": [{"id": "endpoint", "path": policy.SERVER_ENDPOINT}],
        },
    )
    storage.write_json(
        folder / "app" / "config" / "config_fed_client.json",
        {
            "format_version": 2,
            "executors": [{"tasks": ["*"], "executor": executor}],
            "components": [{"id": "endpoint", "path": policy.SITE_ENDPOINT}],
        },
    )
