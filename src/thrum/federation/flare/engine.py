"""The engine's processes on one machine: started by a command, ended with it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from thrum.embedders.weights import cache_folder
from thrum.errors import FederationError
from thrum.federation.flare import settings as files
from thrum.federation.flare.kit import Kit
from thrum.federation.flare.policy import write_policy
from thrum.federation.flare.process import PROCESS

_MODULES = {
    "server": "nvflare.private.fed.app.server.server_train",
    "site": "nvflare.private.fed.app.client.client_train",
}
STOP_SECONDS = 10.0
ARRAYS_IN_ANSWERS = "NVFLARE_NP_DOWNLOAD_CHUNK_SIZE"
"""Zero has arrays travel in an answer itself. Else the engine has them fetched after it, in its own pieces,
for nearly a third more processor time (docs/deployment.md)."""
_LEFTOVERS = ("jobs", "snapshots", "transfer")
_PUT_OUT = "disabled_clients.json"
"""Whom the engine let in no more, last time; who may take part now, the list of sites says."""
_JOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Engine:
    """The engine of a server or a site, running while the context is open.

    Parameters
    ----------
    kit
        Whose engine it is. A kit runs once at a time.
    settings
        What its processes are told, see `thrum.federation.flare.settings`.
    """

    def __init__(self, kit: Kit, settings: files.SiteSettings | files.ServerSettings) -> None:
        self.kit = kit
        self.settings = settings
        self.folder = settings.out / "engine"
        self.log = self.folder / "log.txt"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._lock = _locked(self.kit)
        try:
            _tidy(self.kit.folder)
            write_policy(self.kit, log=self.log)
            self.tell(self.settings)
            self.start()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._lock is not None:
            self._lock.close()

    def tell(self, settings: files.SiteSettings | files.ServerSettings) -> None:
        """Give the processes of the next round other settings."""
        self.settings = settings
        files.write_settings(self.folder / "settings.json", settings)

    def start(self) -> None:
        """Start the process that listens or connects; it starts others for a round."""
        kit = self.kit
        kind = "server" if kit.role == "server" else "client"
        options = ["secure_train=true", f"org={kit.organisation}", "config_folder=config"]
        if kit.role == "site":
            options.append(f"uid={kit.name}")
        command = [sys.executable, "-m", PROCESS, str(os.getpid()), _MODULES[kit.role]]
        command += ["-m", str(kit.folder), "-s", f"fed_{kind}.json", "--set", *options]
        environment = os.environ | {
            files.VARIABLE: str(self.folder / "settings.json"),
            "THRUM_CACHE": str(cache_folder().parent.resolve()),  # we work in the kit's folder
            "PYTHONSAFEPATH": "1",  # nothing is imported from the kit's folder
            ARRAYS_IN_ANSWERS: "0",
            "MALLOC_ARENA_MAX": "2",  # with more, memory of past pieces stays
        }
        with (self.folder / "console.txt").open("ab") as console:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the command, which then stops us
            )

    def check(self) -> None:
        """Raise a `FederationError` where the engine has ended by itself."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise FederationError(
                f"the engine of {self.kit.name!r} ended by itself (code {code}); its last words: "
                f"{_last_line(self.folder / 'console.txt')!r}. More stands in {self.log}"
            )

    def busy(self) -> bool:
        """Whether a round's process still runs on this machine."""
        return bool(self._descendants())

    def stop(self) -> None:
        """End all processes of the engine; none is left when this returns."""
        import psutil

        if self._process is None:
            return
        family = self._descendants()
        self._process.terminate()
        for process in family:
            _ignoring_gone(process.terminate)
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        for process in alive:
            _ignoring_gone(process.kill)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _descendants(self) -> list[Any]:
        import psutil

        assert self._process is not None
        try:
            return psutil.Process(self._process.pid).children(recursive=True)  # type: ignore[no-any-return]
        except psutil.NoSuchProcess:
            return []


def _ignoring_gone(action: Callable[[], None]) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        action()


def _locked(kit: Kit) -> IO[str]:
    """Return the kit's lock, held until it is closed or this process ends."""
    lock = (kit.folder / "thrum.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise FederationError(
            f"another thrum command runs with the kit in {kit.folder}; wait for it, or end it"
        ) from error
    return lock


def _tidy(folder: Path) -> None:
    """Remove from a kit what the engine left of earlier rounds; what has arrived lies in the store."""
    for path in folder.iterdir():
        if path.is_dir() and (path.name in _LEFTOVERS or _JOB.fullmatch(path.name)):
            shutil.rmtree(path)
    (folder / _PUT_OUT).unlink(missing_ok=True)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
