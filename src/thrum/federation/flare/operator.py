"""The operator: the one who may submit a round, and sees which sites are there."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thrum import storage
from thrum.errors import FederationError
from thrum.federation.flare import policy
from thrum.federation.flare.kit import Kit

LOGIN_SECONDS = 30.0
SYNC_SECONDS = 300
"""How long the sites' processes may take to start and join a round."""


class Operator:
    """An open session of the operator with the server."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def connected(self) -> set[str]:
        """Return the names of the sites that are connected, as their certificates have them."""
        return {client.name for client in self._session.get_connected_client_list()}

    def submit(self, sites: Sequence[str], *, quorum: int | None = None) -> str:
        """Submit a round over these sites, of which `quorum` (None: all) must stay; return its name."""
        with tempfile.TemporaryDirectory() as folder:
            job = Path(folder) / "thrum"
            write_job(job, sites, quorum=quorum)
            return str(self._session.submit_job(str(job)))

    def finished(self, job: str) -> str | None:
        """Return how a job ended; None while it waits or runs."""
        status = str(self._session.get_job_status(job))
        return status if status.startswith("FINISHED") else None


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
        with contextlib.redirect_stdout(io.StringIO()):
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
