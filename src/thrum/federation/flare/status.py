"""How a server or a site stands, read from what its folder holds; whether it runs or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from thrum import storage
from thrum.errors import DataError
from thrum.federation.flare.history import rounds_of
from thrum.federation.flare.state import read_state
from thrum.federation.ledger import DAMAGED, Ledger, total_bytes


@dataclass(frozen=True)
class SiteStore:
    """What the server holds of a site.

    Parameters
    ----------
    name
        The site.
    machines
        The machines that it spoke for in the last round; empty before one is done.
    pieces, n_bytes
        Its pieces of embeddings, and the size on disk of these and of its statistics.
    """

    name: str
    machines: Sequence[str]
    pieces: int
    n_bytes: int


@dataclass(frozen=True)
class Status:
    """How a server or a site stands.

    Parameters
    ----------
    role
        Whose folder it is.
    state
        Of the last round: ``waiting`` before it begins, ``running``, ``done`` or ``stopped``.
    since
        When that was noted, ISO 8601, UTC; None while waiting.
    step
        The last step of the work that was noted, in words; at a server.
    error
        The last error of the round, and at a site of its own answers; None where there was none.
    protocol, algorithm
        Of the round, as the server told the site.
    in_force
        The classifiers, or the machines whose scores, came of the last round.
    refused
        What a site refused of what came down, and why.
    notes
        What a reader of the round's results must know.
    messages, n_bytes
        What has left a site so far, by its ledger; what a server holds.
    damaged
        Lines of the ledger that cannot be read.
    rounds_done, rounds_stopped
        How many rounds of a server that goes on (``--serve``) have ended so, of the last thousand.
    sites
        What a server holds of each site.
    """

    role: Literal["server", "site"]
    state: str
    since: str | None
    step: str | None
    error: str | None
    protocol: str | None
    algorithm: int | None
    in_force: Sequence[str]
    refused: Sequence[str]
    notes: Sequence[str]
    messages: int
    n_bytes: int
    damaged: int
    rounds_done: int
    rounds_stopped: int
    sites: Sequence[SiteStore]


def status_of(folder: Path) -> Status:
    """Return how the server or site stands whose folder (``--out``) this is.

    Raises
    ------
    DataError
        Where it is the folder of neither.
    """
    if (folder / "ledger.jsonl").exists():
        return _site(folder)
    if (folder / "config.toml").exists() or (folder / "pieces").is_dir():
        return _server(folder)
    raise DataError(
        f"{folder} is the folder of no server and no site: wanted the --out of thrum collaborate "
        f"server or client"
    )


def _site(folder: Path) -> Status:
    state = read_state(folder)
    entries = Ledger(folder / "ledger.jsonl").entries()
    damaged = sum(entry.what == DAMAGED for entry in entries)
    told = state.get("told") or {}
    refused = folder / "refused.json"
    errors = [state[name] for name in ("reason", "failure") if name in state]
    return Status(
        "site",
        state["state"],
        _since(folder),
        None,
        "; ".join(errors) or None,
        ".".join(map(str, told["protocol"])) if "protocol" in told else None,
        told.get("algorithm", state.get("algorithm")),
        _names(folder / "classifiers") or _names(folder / "received"),
        list(storage.read_json(refused)) if refused.exists() else [],
        [],
        len(entries) - damaged,
        total_bytes(entries),
        damaged,
        0,
        0,
        [],
    )


def _server(folder: Path) -> Status:
    state = read_state(folder)
    machines = state.get("sites", {})
    rounds = [one["state"] for one in rounds_of(folder)]
    names = {path.name for kind in ("pieces", "statistics") for path in _folders(folder / kind)}
    stores = [_store(folder, name, machines.get(name, ())) for name in sorted(names)]
    return Status(
        "server",
        state["state"],
        _since(folder),
        _last_step(folder / "log.jsonl"),
        state.get("reason"),
        None,
        None,
        _names(folder / "classifiers"),
        [],
        list(state.get("notes", ())),
        0,
        sum(store.n_bytes for store in stores),
        0,
        rounds.count("done"),
        rounds.count("stopped"),
        stores,
    )


def _store(folder: Path, name: str, machines: Sequence[str]) -> SiteStore:
    sizes = [path.stat().st_size for path in (folder / "pieces" / name).rglob("*.npy")]
    statistics = [path.stat().st_size for path in (folder / "statistics" / name).glob("*")]
    return SiteStore(name, list(machines), len(sizes), sum(sizes) + sum(statistics))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*"))


def _since(folder: Path) -> str | None:
    path = folder / "round.json"
    if not path.exists():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _last_step(path: Path) -> str | None:
    """Return the last whole line of a log, in words."""
    if not path.exists():
        return None
    for line in reversed(path.read_bytes().splitlines()):
        try:
            entry: dict[str, Any] = json.loads(line)
            return f"{entry['stage']}: {entry['done']}/{entry['total']} ({entry['time']})"
        except (ValueError, KeyError, TypeError):
            continue  # torn by a crash
    return None
