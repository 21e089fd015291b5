"""The rounds that a server has run, one after another: ``rounds.jsonl`` in its folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MOST_READ = 1000


def note_round(folder: Path, *, began: str, state: str, **details: Any) -> None:
    """Append a round that has ended to ``rounds.jsonl``."""
    line = {"began": began, "ended": now(), "state": state, **details}
    with (folder / "rounds.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def rounds_of(folder: Path) -> list[dict[str, Any]]:
    """Return the last rounds that have ended, oldest first; lines torn by a crash are left out."""
    path = folder / "rounds.jsonl"
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[-MOST_READ:]:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and {"began", "ended", "state"} <= set(one):
            found.append(one)
    return found


def now() -> str:
    """Return the time as it is noted: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
