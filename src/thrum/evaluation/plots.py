"""What the figures are made of: ROC curves, histograms and maps of embeddings.

The report draws its figures itself from what these functions return, so that a figure and its
numbers cannot differ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass

Floats = NDArray[np.float64]

METHOD_NAMES = {
    "local": "Local",
    "local_whitened": "Local, whitened",
    "pool": "Pool",
    "statistics": "Statistics",
    "network": "Network",
    "fused": "Fused",
    "selected": "Selected",
}
"""What the methods of `results.csv` are called in a figure."""

MAX_ROC_POINTS = 200
RESOLUTION = 1e-9
"""Of the values themselves, below which a range of them is none."""
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
    if high - low <= RESOLUTION * max(
        abs(low), abs(high)
    ):  # equal but for rounding, or all far out
        wide = max(0.5, 0.05 * max(abs(low), abs(high)))
        low, high = low - wide, max(low, high) + wide
    return np.linspace(low, high, BINS + 1)


def histogram(scores: Floats, edges: Floats) -> NDArray[np.int64]:
    """Return how many scores lie in each bin; what lies outside counts in the outer bins."""
    return np.histogram(np.clip(scores, edges[0], edges[-1]), bins=edges)[0]


def ticks(low: float, high: float, *, at_most: int = 6) -> list[float]:
    """Return round values in [low, high]: steps of 1, 2 or 5 times a power of ten."""
    if not high - low > RESOLUTION * max(abs(low), abs(high)):
        return [low]
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
