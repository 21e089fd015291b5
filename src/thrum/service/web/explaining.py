"""What is strange in a clip, worked out when somebody asks, and kept."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from thrum import storage
from thrum.errors import ThrumError
from thrum.monitoring import page
from thrum.sentences import coded, said
from thrum.service.running import Service
from thrum.service.store import views
from thrum.types import Clip

_ONE_AT_A_TIME = threading.Lock()
"""It takes some seconds of processor time, and judging goes first."""


def file_of(service: Service, number: int) -> Path:
    """Return where the explanation of a clip is kept."""
    return service.folder / "explanations" / f"{int(number)}.json"


def known(service: Service, number: int) -> dict[str, Any] | None:
    """Return the explanation of a clip, where there is one."""
    path = file_of(service, number)
    try:
        told: dict[str, Any] = storage.read_json(path)
    except ThrumError:
        return None
    return told if "said" in told else None  # an earlier version kept it in English alone


def explain(service: Service, number: int) -> dict[str, Any] | str:
    """Return the explanation of a clip, or why there is none."""
    with _ONE_AT_A_TIME:
        told = known(service, number)
        if told is not None:
            return told
        with service.database.reading() as connection:
            row = views.clip(connection, number)
        if row is None or row["path"] is None or row["machine"] not in service.watched:
            return "no_audio"
        monitor = service.watched[row["machine"]].monitor
        path = service.audio / row["path"]
        try:
            found = monitor.explain(
                Clip(path, *monitor.key, "test", channel=row["channel"], name=f"clip {number}")
            )
            pictures = page.pictures(found)
        except ThrumError as error:
            return said(error)
        near = found.nearest
        told = {
            **found.to_json(),
            "said": [coded(found.place), *(coded(each.words) for each in found.different)],
            "patches": page.patches(found),
            "picture": pictures[0]["address"],
            "normal_picture": pictures[1]["address"] if len(pictures) > 1 else "",
            "nearest_normal_clip": {"name": near.name, "path": near.path},
        }
        storage.write_json(file_of(service, number), told)
        return told
