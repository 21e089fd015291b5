"""What the figures are made of: ROC curves, histograms, maps of embeddings, and the headline chart.

The report draws its figures itself from what these functions return, so that a figure and its
numbers cannot differ. Only `save_headline` draws, for pages that want a picture as a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import EvaluationError
from thrum.evaluation.table import Result, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

METHOD_NAMES = {
    "local_logmel": "Local, log-mel",
    "local": "Local",
    "local_whitened": "Local, whitened",
    "collaborative": "Collaborative",
    "fused": "Fused",
    "centralised": "Centralised",
    "selected": "Selected",
}
"""What the methods of `results.csv` are called in a figure."""

METHOD_COLOURS = {
    "local_logmel": "#bcc4cd",
    "local": "#7b8794",
    "local_whitened": "#4a5561",
    "collaborative": "#2470b3",
    "fused": "#d9730d",
    "centralised": "#ffffff",
}
"""Greys for what a site does alone; blue and orange, which every eye tells apart, for together; hollow for
the bound that gives up privacy."""

_OTHER_COLOURS = ("#2a9187", "#8a5fb0", "#a08a00", "#b3476b")
_INK = "#1b1f24"

MAX_ROC_POINTS = 200
BINS = 36
FAR_DEVIATIONS = 12.0
"""Where a histogram ends and its last bin takes the rest: an anomaly 200 deviations out would otherwise
squeeze everything else into one bin."""


def method_name(method: str) -> str:
    """Return what a method is called in a figure; one that is not known keeps its name."""
    return METHOD_NAMES.get(method, method)


def roc_curve(is_anomaly: NDArray[np.bool_], scores: Floats) -> Floats:
    """Return the corners of a ROC curve as (K, 2): false and true positive rate, from (0, 0) to (1, 1).

    Clips with the same score are passed together, in one slanted step. At most `MAX_ROC_POINTS`
    corners are kept, evenly.
    """
    levels, level = np.unique(-scores, return_inverse=True)  # most anomalous first
    hits = np.bincount(level, weights=is_anomaly, minlength=len(levels))  # (L,)
    alarms = np.bincount(level, weights=~is_anomaly, minlength=len(levels))
    turns = hits[1:] * alarms[:-1] != hits[:-1] * alarms[1:]
    counts = np.stack([np.cumsum(alarms), np.cumsum(hits)], axis=1)[np.append(turns, True)]
    corners: Floats = np.concatenate([[[0.0, 0.0]], counts / counts[-1]])
    if len(corners) > MAX_ROC_POINTS:
        corners = corners[np.linspace(0, len(corners) - 1, MAX_ROC_POINTS).round().astype(int)]
    return corners


def hit_rate_at(corners: Floats, false_alarm_rate: float) -> float:
    """Return the true positive rate that a ROC curve (K, 2) reaches at a false positive rate."""
    last = int(np.searchsorted(corners[:, 0], false_alarm_rate, side="right"))
    if last == len(corners):
        return float(corners[-1, 1])
    (x0, y0), (x1, y1) = corners[last - 1], corners[last]
    return float(y0 + (y1 - y0) * (false_alarm_rate - x0) / (x1 - x0))


def histogram_edges(scores: Floats, *, far: float | None = None) -> Floats:
    """Return bin edges (`BINS` + 1,) that hold all `scores`; beyond ±`far` the outer bins take the rest."""
    low, high = float(scores.min()), float(scores.max())
    if far is not None:
        low, high = max(low, -far), min(high, far)
    if low >= high:  # all scores equal, or all of them far out
        low, high = low - 0.5, max(low, high) + 0.5
    return np.linspace(low, high, BINS + 1)


def histogram(scores: Floats, edges: Floats) -> NDArray[np.int64]:
    """Return how many scores lie in each bin; what lies outside counts in the outer bins."""
    return np.histogram(np.clip(scores, edges[0], edges[-1]), bins=edges)[0]


def ticks(low: float, high: float, *, at_most: int = 6) -> list[float]:
    """Return round values in [low, high]: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def project(embeddings: NDArray[np.floating], *, seed: int) -> Floats:
    """Return a map (N, 2) in [0, 1] of embeddings (N, D) in which neighbours stay neighbours.

    t-SNE (van der Maaten and Hinton, 2008) on the first 50 principal components, begun at the first
    two; of fewer than ten clips these two themselves.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # One thread: the same map everywhere, and twenty times faster where cores are busy.
    with threadpool_limits(1):
        points = _principal_components(np.asarray(embeddings, dtype=np.float64))  # (N, ≤ 50)
        if len(points) >= 10 and points.any():
            model = TSNE(
                perplexity=min(30.0, (len(points) - 1) / 3),
                init=1e-4 * points[:, :2] / points[:, 0].std(),  # (N, 2), as its `init="pca"`
                max_iter=500,
                random_state=seed,
            )
            points = model.fit_transform(points / points[:, 0].std())
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    scaled: Floats = (points[:, :2] - low) / np.where(high > low, high - low, 1.0)
    return scaled


def _principal_components(values: Floats, *, at_most: int = 50) -> Floats:
    """Return the principal components (N, at least 2) of values (N, D), by way of their (N, N) products."""
    centred = values - values.mean(axis=0)
    variances, directions = np.linalg.eigh(centred @ centred.T)  # ascending
    components = (directions * np.sqrt(np.maximum(variances, 0)))[:, ::-1][:, :at_most]
    return np.pad(components, [(0, 0), (0, max(2 - components.shape[1], 0))])


def label_places(points: Floats, groups: NDArray[np.int_]) -> list[tuple[int, float, float]]:
    """Return ``(group, x, y)`` for the name of each group on a map (N, 2) in [0, 1].

    A name stands over the middle of its group, 0.2 wide and 0.045 high; higher where another is in
    its way.
    """
    anchors = []
    for group in np.unique(groups):
        xs, ys = points[groups == group].T
        rise = min(np.quantile(ys, 0.95) - np.median(ys) + 0.03, 0.1)
        anchors.append((int(group), np.median(xs), np.median(ys) + rise))
    placed: list[tuple[int, float, float]] = []
    for group, x, y in sorted(anchors, key=lambda anchor: anchor[2]):
        for _, other_x, other_y in placed:
            if abs(x - other_x) < 0.2 and y - other_y < 0.045:
                y = other_y + 0.045
        placed.append((group, round(float(np.clip(x, 0.1, 0.9)), 4), round(float(y), 4)))
    return placed


def save_headline(path: Path, results: Sequence[Result], *, title: str = "") -> None:
    """Draw the AUC of each machine ID and method, and their mean, as a PNG or SVG file.

    Bars begin at 0.5, which is what chance reaches. Several seeds are averaged.

    Parameters
    ----------
    path
        Ends in ``.png`` or ``.svg``.
    results
        As in ``results.csv``; machines without an AUC are left out.
    title
        Stands above the chart.

    Raises
    ------
    EvaluationError
        Where no machine has an AUC, or the suffix is another.
    """
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise EvaluationError(f"cannot draw {path}: the suffix must be .png or .svg")
    groups = _groups([result for result in results if result.auc is not None])
    methods = list(dict.fromkeys(method for _, values in groups for method in values))
    settings: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "thrum",
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": "#5c6673",
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(max(6.4, 0.95 * len(groups) + 1.6), 3.6), layout="constrained")
        _draw_groups(figure.add_subplot(), groups, methods, title)
        with storage.replacing(path) as temporary:
            metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
            figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)


def _groups(results: list[Result]) -> list[tuple[str, dict[str, float]]]:
    """Return the AUC by method of the mean and, where they can be told apart, of each machine ID."""
    if not results:
        raise EvaluationError("no machine has an AUC: there is nothing to draw")
    overall = {
        item.method: item.auc
        for item in summary(results)
        if item.machine is None and item.auc is not None
    }
    by_machine: dict[str, list[Result]] = {}
    for result in results:
        by_machine.setdefault(f"{result.machine}\n{result.machine_id}", []).append(result)
    if not 2 <= len(by_machine) <= 24:
        return [("mean" if len(by_machine) > 1 else next(iter(by_machine)), overall)]
    groups = [(f"mean of\n{len(by_machine)} machines", overall)]
    for name, chosen in by_machine.items():
        means = {
            item.method: item.auc
            for item in summary(chosen)
            if item.machine is None and item.auc is not None
        }
        groups.append((name, means))
    return groups


def _draw_groups(
    axes: Axes, groups: list[tuple[str, dict[str, float]]], methods: list[str], title: str
) -> None:
    width = 0.8 / len(methods)
    others = iter(_OTHER_COLOURS * len(methods))
    for place, method in enumerate(methods):
        shown = [
            (group, values[method]) for group, (_, values) in enumerate(groups) if method in values
        ]
        positions = [group + (place - (len(methods) - 1) / 2) * width for group, _ in shown]
        axes.bar(
            positions,
            [value - 0.5 for _, value in shown],
            width * 0.88,
            bottom=0.5,
            color=METHOD_COLOURS.get(method) or next(others),
            edgecolor=_INK if method == "centralised" else "none",
            linewidth=0.8,
            label=method_name(method),
        )
        dark = method in ("local", "local_whitened", "collaborative", "fused")
        for position, (_, value) in zip(positions, shown, strict=True):
            inside = value > 0.6
            axes.text(
                position,
                value - 0.012 if inside else max(value, 0.5) + 0.012,
                f"{value:.3f}",
                color="white" if inside and dark else _INK,
                fontsize=7,
                rotation="vertical",
                horizontalalignment="center",
                verticalalignment="top" if inside else "bottom",
            )
    lowest = min(min(values.values()) for _, values in groups)
    axes.set_ylim(min(0.5, math.floor(lowest * 10) / 10), 1.0)
    axes.axhline(0.5, color=_INK, linewidth=0.8)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups])
    axes.set_ylabel("AUC (0.5 is chance)")
    axes.grid(axis="y", color="#e3e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=28)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(methods), frameon=False,
        handlelength=0.9, handleheight=0.9, columnspacing=1.4, borderpad=0.2,
    )  # fmt: skip
