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

DEVICES = {"cpu": "CPU hours, one core", "cuda": "GPU hours"}

Costs = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What was measured: by `key_of` a run, then by device."""


@dataclass(frozen=True)
class Hours:
    """What all cells of a table take on one kind of device.

    Parameters
    ----------
    hours
        Over all seeds, of those runs that were measured.
    unmeasured
        The other runs.
    """

    hours: float
    unmeasured: tuple[str, ...]


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
    hours
        What they take, by device: ``cpu``, one core, and ``cuda``.
    """

    table: str
    data: tuple[str, ...]
    disk_bytes: float
    cells: int
    hours: Mapping[str, Hours]


def key_of(run: Run) -> str:
    """Return what the cost of a clip depends on, as one name."""
    told = {key: value for key, value in run.settings.items() if key != "targets"}
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
    """Return what ``benchmarks/table_costs.py`` measured, seconds a training and a test clip of 10 s."""
    file = resources.files("thrum.bench") / "costs.json"
    found: Costs = json.loads(file.read_text(encoding="utf-8"))
    return found


def processors(measured: Costs) -> dict[str, list[str]]:
    """Return by device on which processors the costs were measured."""
    return {
        device: sorted({one[device]["processor"] for one in measured.values() if device in one})
        for device in DEVICES
    }


def reckoned(measured: Costs) -> dict[str, str]:
    """Return the runs whose costs no command measured, and how they were come by."""
    return {
        run: cost["reckoned"]
        for run, by_device in measured.items()
        for cost in by_device.values()
        if "reckoned" in cost
    }


def need_of(table: Table, measured: Costs) -> Need:
    """Return what `table` needs."""
    sources = table.sources.values()
    return Need(
        table=table.name,
        data=tuple(dict.fromkeys(source.fetch_command() for source in sources if source.fetch)),
        disk_bytes=sum(source.disk_bytes for source in sources),
        cells=sum(
            _seeds(table, run) * len(table.sources_of(name)) for name, run in table.runs.items()
        ),
        hours={device: _hours(table, measured, device) for device in DEVICES},
    )


def lines_of(needs: Iterable[Need]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a Markdown table."""
    header = ["table", "data", "recordings", "cells", *DEVICES.values()]
    rows = [
        [
            need.table,
            "; ".join(f"`{command}`" for command in need.data),
            f"{need.disk_bytes / 1e9:.0f} GB",
            str(need.cells),
            *(told(hours) for hours in need.hours.values()),
        ]
        for need in needs
    ]
    return header, rows


def told(hours: Hours) -> str:
    """Return hours in words; those of runs that were not measured are missing, and named."""
    if not hours.hours:
        return "not measured"
    missing = f"; not measured: {', '.join(hours.unmeasured)}" if hours.unmeasured else ""
    return f"{hours.hours:,.0f}{missing}"


def _hours(table: Table, measured: Costs, device: str) -> Hours:
    hours, unmeasured = 0.0, []
    for name, run in table.runs.items():
        keys = members_of(key_of(run)) or [key_of(run)]
        if any(device not in measured.get(key, {}) for key in keys):
            unmeasured.append(name)
            continue
        for source in (table.sources[source] for source in table.sources_of(name)):
            for cost in (measured[key][device] for key in keys):
                train_clips = run.train_clips or source.train_clips
                once = train_clips * cost["train_seconds"]
                once += source.test_clips * cost["test_seconds"]
                hours += _seeds(table, run) * once * source.clip_seconds / 10 / 3600
    return Hours(hours, tuple(unmeasured))


def _seeds(table: Table, run: Run) -> int:
    return run.seeds or table.seeds


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return json.dumps(value).strip('"')
