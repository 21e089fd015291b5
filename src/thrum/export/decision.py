"""From a score to a p-value and a state, as ONNX; ranked among clips of the machine's operating state."""

from __future__ import annotations

import numpy as np

from thrum.export.frontend import Front
from thrum.export.graph import Graph
from thrum.monitoring.baseline import Baseline
from thrum.monitoring.heard import SILENT_DB
from thrum.monitoring.states import OFF_DB, States, grouped_matrix

STATES = ("well", "suspicious", "unknown state", "off", "no sound")
"""What the output ``state`` numbers. Whether there is an alarm depends on the clips before."""
WELL, SUSPICIOUS, UNKNOWN, OFF, NO_SOUND = range(len(STATES))


def decide(
    graph: Graph, baseline: Baseline, front: Front, score: str, *, suspicious: float
) -> tuple[str, str, str]:
    """Return p-value, number of the state, and number of the operating state that it was ranked in."""
    calibration = baseline.calibration()
    states = baseline.states
    nearest, distance = graph.constant(0, "int64"), None
    if states is not None:
        nearest, distance = _nearest(graph, states, front, list(calibration))
    p = _p_value(graph, list(calibration.values()), score, nearest)
    strange = graph.op("LessOrEqual", p, graph.f64(suspicious))
    state = _choose(graph, strange, SUSPICIOUS, WELL)
    if states is not None and states.quietest_db is not None and distance is not None:
        reaches = graph.f64([states.reaches[name] for name in calibration])
        far = graph.op("Greater", distance, graph.op("Gather", reaches, nearest, axis=0))
        quiet = graph.op("Less", front.level_db, graph.f64(states.quietest_db - OFF_DB))
        away = _choose(graph, quiet, OFF, UNKNOWN)
        state = graph.op("Where", far, away, state)
    silent = graph.op("Less", front.level_db, graph.f64(SILENT_DB))
    return p, graph.op("Where", silent, graph.constant(NO_SOUND, "int64"), state), nearest


def _nearest(graph: Graph, states: States, front: Front, names: list[str]) -> tuple[str, str]:
    """Return the number of the state that a clip is nearest to, and how far it is from it, in dB."""
    bands = graph.cast(graph.mean(front.own, axis=0), "float64")  # (F,)
    groups = graph.op("MatMul", bands, graph.f64(grouped_matrix(128)))  # (16,)
    centres = np.stack([states.centres[name] for name in names])
    distances = graph.op(
        "Div", graph.euclidean(groups, centres), graph.f64(np.sqrt(centres.shape[1]))
    )
    nearest = graph.op("ArgMin", distances, axis=0, keepdims=0)
    return nearest, graph.op("Gather", distances, nearest, axis=0)


def _p_value(graph: Graph, known: list[np.ndarray], score: str, nearest: str) -> str:
    """Return (1 + how many left-out scores are at least as high) / (n + 1), among those of one state."""
    found = []
    for own in known:
        above = graph.constant(0.0, "float64")
        if len(own):
            higher = graph.op("GreaterOrEqual", graph.f64(own), score)
            above = graph.sum(graph.cast(higher, "float64"), axis=0)
        added = graph.op("Add", above, graph.f64(1.0))
        ranked = graph.op("Div", added, graph.f64(len(own) + 1))
        found.append(graph.op("Unsqueeze", ranked, graph.ints(0)))
    return graph.op("Gather", graph.op("Concat", *found, axis=0), nearest, axis=0)


def _choose(graph: Graph, condition: str, yes: int, no: int) -> str:
    return graph.op("Where", condition, graph.constant(yes, "int64"), graph.constant(no, "int64"))
