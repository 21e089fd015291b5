"""How far a round has come: what the engine's processes tell the command on their machine.

``round.json`` is how it stands, ``{"state": "running" | "done" | "stopped", ...}``; absent before it
begins. ``log.jsonl`` has a line for each step of the work.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thrum import storage
from thrum.types import Progress

LINE_SECONDS = 0.2


def write_state(folder: Path, state: str, **details: Any) -> None:
    """Note how the round stands."""
    storage.write_json(folder / "round.json", {"state": state, **details})


def read_state(folder: Path) -> dict[str, Any]:
    """Return how the round stands; ``{"state": "waiting"}`` before it begins."""
    path = folder / "round.json"
    if not path.exists():
        return {"state": "waiting"}
    state: dict[str, Any] = storage.read_json(path)
    return state


def clear_state(folder: Path) -> None:
    """Forget an earlier round; its log stays."""
    (folder / "round.json").unlink(missing_ok=True)


class ProgressLog:
    """A `Progress` that appends to ``log.jsonl``; five lines a second of each stage at most."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.jsonl"
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Append a line."""
        now = time.monotonic()
        with self._lock:
            if done < total and now - self._told.get(stage, -LINE_SECONDS) < LINE_SECONDS:
                return
            self._told[stage] = now
            line = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "stage": stage,
                "done": done,
                "total": total,
            }
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


class LogReader:
    """Hands the lines that a log has grown by to a `Progress`; starts at the log's present end."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._path = folder / "log.jsonl"
        self._progress = progress
        self._position = self._path.stat().st_size if self._path.exists() else 0

    def poll(self) -> None:
        """Report the whole lines that have come since the last time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                entry = json.loads(line)
                self._progress(entry["stage"], entry["done"], entry["total"])
