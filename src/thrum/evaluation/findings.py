"""Every number of a report, computed once: what its page draws and its JSON twin holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrum.evaluation import plots, table
from thrum.evaluation.metrics import decision_quality
from thrum.evaluation.table import Result

if TYPE_CHECKING:
    from thrum.evaluation.report import EmbeddingMaps, Report
    from thrum.types import Clip, Scores

SCHEMA = 1
STRANGEST = 5
SHOWN = STRANGEST + 1
"""The strangest clips and a typical one to compare them with."""

MAX_MAP_POINTS = 1200
FALSE_ALARM_RATES = (0.01, 0.05, 0.1, 0.2)
NOTICEABLE = 0.005
"""A smaller difference of two AUCs is no difference to speak of."""

MachineKey = tuple[str, str]
Json = dict[str, Any]


def describe(report: Report) -> Json:
    """Return all numbers and texts of a report, as JSON knows them."""
    results = table.results_of(report.scores, seed=report.seed)
    tested = _rows(report.scores)
    trained = _rows(report.training_scores) if report.training_scores else {}
    keys = sorted({*tested, *trained})
    return {
        "schema": SCHEMA,
        "title": report.title,
        "created": report.created,
        "seed": report.seed,
        "facts": dict(report.facts),
        "methods": {method: plots.method_name(method) for method in report.scores.columns},
        "selected": report.scores.selected,
        "baseline": report.baseline,
        "summary": _summary(report, results),
        "results": [asdict(result) for result in results],
        "machines": [
            _machine(report, number, key, tested.get(key, []), trained.get(key, []))
            for number, key in enumerate(keys)
        ],
        "maps": _maps(report.maps, keys, seed=report.seed) if report.maps else None,
        "curves": asdict(report.curves) if report.curves else None,
        "departures": [asdict(row) for row in report.departures],
        "given_away": report.given_away,
        "settings": dict(report.settings),
        "versions": dict(report.versions),
    }


def _rows(scores: Scores) -> dict[MachineKey, list[int]]:
    rows: dict[MachineKey, list[int]] = {}
    for row, clip in enumerate(scores.clips):
        rows.setdefault(clip.machine_key, []).append(row)
    return rows


def _summary(report: Report, results: Sequence[Result]) -> Json:
    """Return the means of each method, and what joining changed for whom."""
    means = [item for item in table.summary(results) if item.machine is None]
    auc = {item.method: item.auc for item in means}
    selected, baseline = report.scores.selected, report.baseline
    after = {(r.machine, r.machine_id): r.auc for r in results if r.method == selected}
    before = {(r.machine, r.machine_id): r.auc for r in results if r.method == baseline}
    changes: list[Json] = [
        {"machine": key[0], "machine_id": key[1], "before": old, "after": new, "gain": new - old}
        for key, new in after.items()
        if new is not None and (old := before.get(key)) is not None
    ]
    changes.sort(key=lambda change: change["gain"])
    accuracies = list(report.id_accuracy.values())
    return {
        "means": [{"method": item.method, "auc": item.auc, "pauc": item.pauc} for item in means],
        "gain": _gain(auc[selected], auc.get(baseline) if baseline else None),
        "id_accuracy": float(np.mean(accuracies)) if accuracies else None,
        "n_machine_ids": len(after),
        "n_with_auc": sum(value is not None for value in after.values()),
        "better": [change for change in changes if change["gain"] > NOTICEABLE],
        "worse": [change for change in changes if change["gain"] < -NOTICEABLE],
    }


def _gain(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _machine(
    report: Report, number: int, key: MachineKey, tested: list[int], trained: list[int]
) -> Json:
    clips = [report.scores.clips[row] for row in tested]
    labels = np.array([clip.label or "unlabelled" for clip in clips], dtype=str)
    training = report.training_scores
    threshold = report.thresholds.get(key)
    methods = {
        method: _method(
            labels,
            column[tested],
            training.columns[method][trained] if training else np.empty(0),
            threshold if method == report.scores.selected else None,
        )
        for method, column in report.scores.columns.items()
    }
    scores = report.scores.columns[report.scores.selected][tested]
    return {
        "number": number,
        "machine": key[0],
        "machine_id": key[1],
        "n_train": len(trained),
        "n_normal": int((labels == "normal").sum()),
        "n_anomaly": int((labels == "anomaly").sum()),
        "n_unlabelled": int((labels == "unlabelled").sum()),
        "id_accuracy": report.id_accuracy.get(key),
        "threshold": threshold,
        "decisions": _decisions(report, key, labels, scores),
        "clips": [clip.name for clip in clips],
        "labels": labels.tolist(),
        "methods": methods,
        "shown": [
            {
                "row": tested[place],
                "name": clips[place].name,
                "label": str(labels[place]),
                "score": float(scores[place]),
                "standardised": standardised(methods[report.scores.selected], scores[place]),
                "alarm": None if threshold is None else bool(scores[place] >= threshold),
                "typical": typical,
            }
            for place, typical in _worth_showing(labels, scores)
        ],
    }


def _decisions(
    report: Report, key: MachineKey, labels: NDArray[np.str_], scores: NDArray[np.float64]
) -> list[Json]:
    """Return what each way to set a threshold decides on clips with a label, where there are both kinds."""
    known = labels != "unlabelled"
    anomalous = labels[known] == "anomaly"
    if anomalous.all() or not anomalous.any():
        return []
    rows = []
    for name, thresholds in report.calibrations.items():
        if key not in thresholds:
            continue
        alarmed = scores[known] >= thresholds[key]
        quality = decision_quality(anomalous, alarmed)
        rows.append(
            {
                "calibration": name,
                "threshold": thresholds[key],
                **quality._asdict(),
                "false_alarm_rate": float(alarmed[~anomalous].mean()),
            }
        )
    return rows


def standardised(method: Json, score: float) -> float:
    """Return a score in the standard deviations that `method` is shown in."""
    return float((score - method["centre"]) / method["scale"])


def _method(
    labels: NDArray[np.str_],
    scores: NDArray[np.float64],
    training: NDArray[np.float64],
    threshold: float | None,
) -> Json:
    """Return one method's scores of one machine, its ROC curve and its histogram."""
    deviations = len(training) >= 2
    method: Json = {
        "scores": scores.tolist(),
        "training_scores": training.tolist(),
        "unit": "deviations" if deviations else "score",
        "centre": float(training.mean()) if deviations else 0.0,
        "scale": (float(training.std()) or 1.0) if deviations else 1.0,
        "roc": None,
        "hit_rates": None,
        "histogram": None,
    }
    if len(scores):
        method["histogram"] = _histogram(method, labels, scores, threshold)
    labelled = labels != "unlabelled"
    is_anomaly = labels[labelled] == "anomaly"
    if is_anomaly.any() and not is_anomaly.all():
        corners = plots.roc_curve(is_anomaly, scores[labelled])
        method["roc"] = corners.round(5).tolist()
        method["hit_rates"] = {
            str(rate): plots.hit_rate_at(corners, rate) for rate in FALSE_ALARM_RATES
        }
    return method


def _histogram(
    method: Json, labels: NDArray[np.str_], scores: NDArray[np.float64], threshold: float | None
) -> Json:
    shown = (scores - method["centre"]) / method["scale"]
    mark = None if threshold is None else standardised(method, threshold)
    within, far = shown, plots.FAR_DEVIATIONS if method["unit"] == "deviations" else None
    if mark is not None:
        within, far = np.append(shown, mark), far and max(far, 1.1 * abs(mark))
    edges = plots.histogram_edges(within, far=far)
    return {
        "edges": edges.round(6).tolist(),
        "ticks": plots.ticks(edges[0], edges[-1]),
        "threshold": mark,
        "beyond": [bool(shown.min() < edges[0]), bool(shown.max() > edges[-1])],
        "counts": {
            label: plots.histogram(shown[labels == label], edges).tolist()
            for label in ("normal", "anomaly", "unlabelled")
            if (labels == label).any()
        },
    }


def _worth_showing(labels: NDArray[np.str_], scores: NDArray[np.float64]) -> list[tuple[int, bool]]:
    """Return the places of the strangest clips, strangest first, and of a typical one.

    Each place comes with whether it is the typical one: the middle of the normal clips by score (of
    all, where none is known to be normal), or the next below it that is not among the strangest.
    """
    strangest = np.argsort(-scores, kind="stable")[:STRANGEST].tolist()
    normal = np.flatnonzero(labels == "normal")
    candidates = normal if len(normal) else np.arange(len(scores))
    ascending = candidates[np.argsort(scores[candidates], kind="stable")].tolist()
    lower_half = ascending[: len(ascending) // 2 + 1]
    typical = [place for place in reversed(lower_half) if place not in strangest][:1]
    return [(place, False) for place in strangest] + [(place, True) for place in typical]


def _maps(maps: EmbeddingMaps, keys: Sequence[MachineKey], *, seed: int) -> Json:
    """Return the maps of all stages for the same clips: `MAX_MAP_POINTS` drawn by the seed, or all."""
    chosen = np.arange(len(maps.clips))
    if len(chosen) > MAX_MAP_POINTS:
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(chosen, MAX_MAP_POINTS, replace=False))
    clips = [maps.clips[row] for row in chosen.tolist()]
    numbers = {key: number for number, key in enumerate(keys)}
    machines = np.array([numbers[clip.machine_key] for clip in clips])
    kinds = np.array([_kind(clip) for clip in clips])
    healthy = kinds != "anomaly"
    stages = {}
    for caption, embeddings in maps.stages.items():
        points = plots.project(embeddings[chosen], seed=seed)
        stages[caption] = {
            "points": points.round(4).tolist(),
            "names": plots.label_places(points[healthy], machines[healthy]),
        }
    return {
        "n_clips": len(maps.clips),
        "clips": [clip.name for clip in clips],
        "machines": machines.tolist(),
        "kinds": kinds.tolist(),
        "stages": stages,
    }


def _kind(clip: Clip) -> str:
    if clip.label == "anomaly":
        return "anomaly"
    if clip.split == "train":
        return "training"
    return clip.label or "unlabelled"
