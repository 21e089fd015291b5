"""Who may take part at this moment: the operator's list of sites, read again whenever it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock

from thrum.errors import ConfigError, FederationError
from thrum.federation.flare.settings import ServerSettings, read_registry


class Allowed:
    """The sites of the operator's file, asked for at every message: who is struck off gets no other.

    Parameters
    ----------
    path
        The TOML file of `read_registry`; None allows whoever the engine lets in.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = Lock()
        self._read_at: tuple[int, int, int] | None = None
        self._sites: Mapping[str, tuple[str, ...]] = {}

    def sites(self) -> Mapping[str, tuple[str, ...]]:
        """Return each site and the machines that it may speak for.

        Raises
        ------
        ConfigError
            Where the file is missing or malformed: then nobody is allowed.
        """
        if self.path is None:
            return {}
        with self._lock:
            try:
                now = self.path.stat()
            except OSError as error:
                raise ConfigError(
                    f"the list of sites {self.path} cannot be read ({error.strerror}): nobody takes part "
                    f"until it can"
                ) from error
            stamp = (now.st_mtime_ns, now.st_size, now.st_ino)
            if stamp != self._read_at:
                self._sites, self._read_at = read_registry(self.path), stamp
            return self._sites

    def now(self, settings: ServerSettings) -> ServerSettings:
        """Return settings with the list of sites as it is now."""
        return settings if self.path is None else replace(settings, registry=dict(self.sites()))

    def require(self, site: str) -> None:
        """Raise a `FederationError` where a site is not, or no longer, in the list."""
        if self.path is not None and site not in self.sites():
            raise FederationError(
                f"site {site!r} is not in {self.path}, or no longer: it is asked nothing and told nothing"
            )
