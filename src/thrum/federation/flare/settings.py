"""What a command hands to the engine's processes on its own machine: a file, named by a variable.

Nothing of it travels: the server never sends a path to a site, nor a site to the server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from thrum import config, storage
from thrum.errors import ConfigError, UsageError
from thrum.federation.members import Limits
from thrum.federation.messages import Algorithm, MachineKey, Sharing, checked_name
from thrum.federation.releasing import Releases
from thrum.federation.server import WHITENING_FROM
from thrum.systems.embedding_sharing import Config

VARIABLE = "THRUM_ROUND_SETTINGS"
S = TypeVar("S")


@dataclass(frozen=True)
class SiteSettings:
    """Where a site's recordings are and what embeds them.

    Parameters
    ----------
    name
        The site, as its certificate names it.
    data
        The folder of recordings.
    out
        The site's own folder: embeddings, ledger, what came down, scores.
    embedder
        The name of the embedder; features are taken as they are.
    layout
        The dataset's reader; None finds it out.
    device
        ``auto``, ``cpu`` or ``cuda``: where the site embeds and scores.
    algorithm
        What the site allows. 1: no embedding of a test clip leaves it. 2: they may.
    sharing
        What the site allows. ``statistics``: no embedding leaves it. ``embeddings``: they may.
    labels, normal, anomaly
        What says which recordings are normal, as `thrum.open_dataset` has it.
    releases
        In which form what it shares leaves.
    clip_seconds, hop_seconds
        How long recordings become clips, as `thrum.datasets.Cutting` has them.
    """

    name: str
    data: Path
    out: Path
    embedder: str = "modulation"
    layout: str | None = None
    device: str = "auto"
    algorithm: Algorithm = 1
    sharing: Sharing = "statistics"
    labels: Path | None = None
    normal: tuple[str, ...] = ()
    anomaly: tuple[str, ...] = ()
    clip_seconds: float | None = None
    hop_seconds: float | None = None
    releases: Releases = field(default_factory=Releases)


@dataclass(frozen=True)
class ServerSettings:
    """A round, as the server runs it.

    Parameters
    ----------
    out
        The server's store: pieces, checkpoints, classifiers.
    registry
        For each site the machines that it may speak for, as ``machine/machine_id``.
    algorithm
        1: the classifier goes down. 2: the test embeddings come up and the scores go down.
    sharing
        What the round is about: ``statistics``, or ``embeddings`` and the ID classifier.
    seed, device, per_machine_type, config
        As `thrum.federation.server.Server` has them.
    answer_seconds
        How long a site may take to answer one question, its transfer included.
    limits
        What one site may send.
    quorum
        How many sites must be left where some do not come or fail; None wants all.
    release
        The chain of mechanisms that all sites must release by; None takes theirs.
    whitening_from
        As `thrum.federation.server.Server` has it.
    sites_file
        Where `registry` was read. It is read again before each round and before each message: who is struck
        off takes part no more. None has the registry stand.
    """

    out: Path
    registry: dict[str, tuple[str, ...]]
    algorithm: Algorithm = 1
    sharing: Sharing = "statistics"
    seed: int = 0
    device: str = "auto"
    per_machine_type: bool = False
    config: Config = field(default_factory=Config)
    answer_seconds: float = 600.0
    limits: Limits = field(default_factory=Limits)
    quorum: int | None = None
    release: str | None = None
    whitening_from: int = WHITENING_FROM
    sites_file: Path | None = None

    def __post_init__(self) -> None:
        self.config.require_shareable()
        if self.quorum is not None and not 1 <= self.quorum <= len(self.registry):
            raise ConfigError(
                f"a quorum of {self.quorum} was asked for, wanted 1 to {len(self.registry)}, the sites"
            )

    @property
    def keys(self) -> dict[str, list[MachineKey]]:
        """The registry with its machines as keys."""
        return {
            site: [_machine_key(text, site) for text in machines]
            for site, machines in self.registry.items()
        }


def write_settings(path: Path, settings: SiteSettings | ServerSettings) -> None:
    """Write settings where the engine's processes will read them."""
    storage.write_json(path, config.to_mapping(settings))


def read_settings(kind: type[S]) -> S:
    """Read, in a process of the engine, what the command that started it wrote."""
    path = Path(os.environ[VARIABLE])
    return config.from_mapping(kind, storage.read_json(path), where=str(path))


def sites_file_of(folder: Path) -> Path | None:
    """Return the list of sites of the last round in a server's store; None where it names none."""
    path = folder / "config.toml"
    found = config.read_toml(path).get("sites_file") if path.exists() else None
    return Path(found) if isinstance(found, str) else None


def read_registry(path: Path) -> dict[str, tuple[str, ...]]:
    """Read which sites take part and which machines each may speak for.

    ::

        [sites]
        north = ["fan/id_00"]
        south = ["fan/id_02", "pump/id_00"]

    Raises
    ------
    ConfigError
        Where the file is missing or malformed, or a machine is registered to two sites.
    """
    sites = config.read_toml(path).get("sites")
    if not isinstance(sites, Mapping) or not sites:
        raise ConfigError(f'{path}: wanted a table [sites] with lines as north = ["fan/id_00"]')
    owner: dict[MachineKey, str] = {}
    for site, machines in sites.items():
        if not isinstance(machines, list) or not machines:
            raise ConfigError(f'{path}: {site} = {machines!r}, wanted a list such as ["fan/id_00"]')
        for text in machines:
            key = _machine_key(text, site)
            if key in owner:
                raise ConfigError(f"{path}: {text} is registered to {owner[key]} and to {site}")
            owner[key] = site
    return {site: tuple(machines) for site, machines in sites.items()}


def _machine_key(text: object, site: str) -> MachineKey:
    machine, separator, machine_id = str(text).partition("/")
    if not separator:
        raise UsageError(f"{site}: {text!r} is no machine; wanted machine/machine_id, as fan/id_00")
    return checked_name(machine), checked_name(machine_id)
