"""What each table would need: data, disk, and hours from measured step times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from thrum.bench.sources import Source
from thrum.bench.tables import COLLABORATION, Run, Table

NOWHERE = Source("")

Costs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Need:
    """What one table needs.

    Parameters
    ----------
    table
        Its name.
    data
        What has to be fetched, and how.
    disk_bytes
        Of the recordings.
    cells
        How many trainings and scorings: runs on sources with seeds.
    cpu_hours
        Of one core, over all seeds; of those runs that were measured.
    unmeasured
        The other runs.
    """

    table: str
    data: tuple[str, ...]
    disk_bytes: float
    cells: int
    cpu_hours: float
    unmeasured: tuple[str, ...]


def key_of(run: Run) -> str:
    """Return what the cost of a run depends on, as one name."""
    told = dict(run.settings)
    if run.system == COLLABORATION:
        told["preset"] = run.preset
    words = [f"{key}={_word(value)}" for key, value in sorted(told.items())]
    return " ".join([run.system, *words])


def counts_epochs(setting: str) -> bool:
    """Whether a setting says how many epochs there are."""
    return setting == "epochs" or setting.endswith("_epochs")


def members_of(key: str) -> list[str]:
    """Return the keys of an ensemble's members, each of which is trained; nothing of a single system."""
    from thrum.systems.outlier_flow.variants import members_of

    system, _, variant = key.partition(" variant=")
    if not variant.startswith("submission"):
        return []
    return [f"{system} variant={member}" for member in members_of(variant)]


def costs() -> Costs:
    """Return what was measured: seconds a training and a test clip of 10 s cost on one core."""
    file = resources.files("thrum.bench") / "costs.json"
    found: Costs = json.loads(file.read_text(encoding="utf-8"))
    return found


def need_of(table: Table, measured: Costs) -> Need:
    """Return what `table` needs."""
    hours, cells, unmeasured = 0.0, 0, []
    for name, run in table.runs.items():
        seeds = run.seeds or table.seeds
        cells += seeds * len(table.sources_of(name))
        keys = members_of(key_of(run)) or [key_of(run)]
        if any(key not in measured for key in keys):
            unmeasured.append(name)
            continue
        for source in (table.sources[source] for source in table.sources_of(name)):
            for key in keys:
                cost, seconds = measured[key], source.clip_seconds / 10
                once = source.train_clips * cost["train_seconds"] * seconds
                once += source.test_clips * cost["test_seconds"] * seconds
                hours += seeds * once / 3600
    sources = table.sources.values()
    return Need(
        table=table.name,
        data=tuple(dict.fromkeys(source.fetch_command() for source in sources if source.fetch)),
        disk_bytes=sum(source.disk_bytes for source in sources),
        cells=cells,
        cpu_hours=hours,
        unmeasured=tuple(unmeasured),
    )


def lines_of(needs: Iterable[Need]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a Markdown table."""
    header = ["table", "data", "disk", "cells", "CPU hours, one core", "GPU hours"]
    rows = [
        [
            need.table,
            "; ".join(f"`{command}`" for command in need.data),
            f"{need.disk_bytes / 1e9:.0f} GB",
            str(need.cells),
            _hours(need),
            "not measured",
        ]
        for need in needs
    ]
    return header, rows


def _hours(need: Need) -> str:
    told = [f"{need.cpu_hours:,.0f}"] if need.cpu_hours else []
    if need.unmeasured:
        told.append(f"not measured: {', '.join(need.unmeasured)}")
    return "; ".join(told)


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return json.dumps(value).strip('"')
