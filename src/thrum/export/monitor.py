"""A monitor as one ONNX file: samples in; score, p-value and state out; what a person must know beside."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import thrum
from thrum import config as configs
from thrum import storage
from thrum.datasets.taking import LONGER, Taking
from thrum.embedders.base import Embedder, create_embedder
from thrum.errors import DataError, UsageError
from thrum.export.decision import STATES, decide
from thrum.export.embedders import exported
from thrum.export.frontend import SAMPLES, front
from thrum.export.graph import OPSET, Graph
from thrum.export.scores import score
from thrum.monitoring.alarms import highest_level
from thrum.monitoring.monitor import SHORTEST_SECONDS, Monitor

FORMAT = 1
"""Of what is told in the file; raised when an older ``thrum-edge`` could no longer read it."""
TOLD = "thrum"
"""The name under which it is told."""


def export_monitor(
    monitor: Monitor, path: Path, *, embedder: Embedder | None = None
) -> dict[str, Any]:
    """Write a monitor to `path`; return what is told in the file.

    Parameters
    ----------
    embedder
        That of the monitor's system where its network computes in 8 bits (`thrum.export.int8`).

    Raises
    ------
    UsageError
        Where its system, embedder or alarm settings cannot be exported; each is named.
    DataError
        Where it was learnt from features, not from sound.
    """
    if monitor.alarms.tail:
        raise UsageError(
            "alarms by a tail model (--tail) cannot be exported: leave it out, for what it assumes is "
            "no promise"
        )
    taking = monitor.takings.get(monitor.name)
    if taking is None:
        raise DataError(
            f"{monitor.name} was learnt from features, or by a version that did not say how sound was read: "
            f"train on recordings"
        )
    graph = Graph()
    name = monitor.system.config.embedder
    known = exported(name)
    _require_short(taking, known.longest_seconds)
    begun = front(graph, fewest_samples=known.fewest_samples)
    frames = known.frames(graph, begun, embedder or create_embedder(name))
    found = score(graph, monitor.system, monitor.key, frames)
    suspicious = monitor.alarms.suspicious
    p, state, operating = decide(graph, monitor.baseline, begun, found, suspicious=suspicious)
    graph.output("score", found, "float64")
    graph.output("p_value", p, "float64")
    graph.output("state", state, "int64")
    graph.output("operating_state", operating, "int64")
    graph.output("level_db", begun.level_db, "float64")
    told = _told(monitor) | {"network": "float32" if embedder is None else "int8"}
    model = graph.model("monitor", inputs=SAMPLES, told={TOLD: json.dumps(told)})
    storage.write_bytes(path, model.SerializeToString())
    return told


def _require_short(taking: Taking, longest_seconds: float | None) -> None:
    """Raise a `UsageError` where clips may come that are longer than an embedder takes at a time."""
    longest = LONGER * taking.longest_seconds
    if longest_seconds is not None and longest > longest_seconds:
        raise UsageError(
            f"clips of up to {longest:g} s cannot be exported with this embedder, which takes "
            f"{longest_seconds:g} s at a time: train with --clip-seconds {int(longest_seconds / LONGER)}"
        )


def _told(monitor: Monitor) -> dict[str, Any]:
    calibration, alarms = monitor.baseline.calibration(), monitor.alarms
    taking = monitor.takings[monitor.name]
    x, y = (alarms.x, alarms.y) if alarms.rule == "x of y" else (1, 1)
    return {
        "format": FORMAT,
        "opset": OPSET,
        "machine": monitor.name,
        "thrum": thrum.__version__,
        "system": monitor.system.name,
        "config": configs.to_mapping(monitor.system.config),
        "baseline_version": monitor.history.current,
        "sample_rate": Embedder.sample_rate,
        "channel": taking.channel,
        "channels": list(taking.channels),
        "seconds": taking.seconds,
        "longest_seconds": taking.longest_seconds,
        "hop_seconds": taking.hop_seconds,
        "shortest_seconds": SHORTEST_SECONDS,
        "states": list(STATES),
        "operating_states": list(calibration),
        "promises": monitor.promises,
        "alarms": {key: value for key, value in asdict(alarms).items() if key != "tail"},
        # What an alarm needs: it ranks clips among these, and adds those that were well.
        "left_out_scores": {name: own.tolist() for name, own in calibration.items()},
        "levels": {
            name: highest_level(x, y, alarms.between_false_alarms, len(own))
            for name, own in calibration.items()
        },
    }
