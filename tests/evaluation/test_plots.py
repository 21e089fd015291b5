from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from thrum.evaluation import plots


def draws(seed: int, *, n: int = 300, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    is_anomaly = generator.random(n) < 0.4
    scores = generator.normal(size=n) + is_anomaly
    if levels is not None:
        scores = np.round(scores * levels) / levels
    return is_anomaly, scores


@pytest.mark.parametrize("levels", [None, 2])
def test_roc_curve_is_scikit_learns_without_the_corners_that_are_none(levels: int | None) -> None:
    is_anomaly, scores = draws(1, n=120, levels=levels)
    corners = plots.roc_curve(is_anomaly, scores)
    rates = np.stack(sklearn_metrics.roc_curve(is_anomaly, scores)[:2], axis=1)
    assert {tuple(corner) for corner in corners} <= {tuple(rate) for rate in rates}
    area = np.trapezoid(corners[:, 1], corners[:, 0])
    assert area == pytest.approx(sklearn_metrics.roc_auc_score(is_anomaly, scores), abs=1e-12)
    steps = np.diff(corners, axis=0)
    crossed = steps[1:, 0] * steps[:-1, 1] - steps[:-1, 0] * steps[1:, 1]
    assert np.abs(crossed).min() > 0


def test_roc_curve_of_equal_scores_is_the_diagonal() -> None:
    corners = plots.roc_curve(np.array([True, False, False]), np.ones(3))
    np.testing.assert_array_equal(corners, [[0, 0], [1, 1]])


def test_roc_curve_keeps_its_ends_and_area_when_it_is_thinned() -> None:
    is_anomaly, scores = draws(2, n=4000)
    corners = plots.roc_curve(is_anomaly, scores)
    assert len(corners) == plots.MAX_ROC_POINTS
    np.testing.assert_array_equal(corners[[0, -1]], [[0, 0], [1, 1]])
    area = np.trapezoid(corners[:, 1], corners[:, 0])
    assert area == pytest.approx(sklearn_metrics.roc_auc_score(is_anomaly, scores), abs=2e-3)


def test_hit_rate_is_read_off_the_curve() -> None:
    corners = np.array([[0, 0], [0, 0.4], [0.2, 0.4], [0.2, 0.8], [1, 1]])
    assert plots.hit_rate_at(corners, 0.1) == pytest.approx(0.4)
    assert plots.hit_rate_at(corners, 0.2) == pytest.approx(0.8)
    assert plots.hit_rate_at(corners, 0.6) == pytest.approx(0.9)
    assert plots.hit_rate_at(corners, 1.0) == 1.0


def test_histogram_counts_every_score_and_gathers_the_far_ones_in_the_outer_bins() -> None:
    scores = np.array([-50.0, -1.0, 0.0, 0.5, 40.0, 300.0])
    edges = plots.histogram_edges(scores, far=12.0)
    counts = plots.histogram(scores, edges)
    assert (edges[0], edges[-1], len(edges)) == (-12.0, 12.0, plots.BINS + 1)
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 6)


@pytest.mark.parametrize("value", [0.0, 3.0, 400.0, -400.0])
def test_histogram_of_equal_scores_has_one_bin_with_all(value: float) -> None:
    scores = np.full(7, value)
    counts = plots.histogram(scores, plots.histogram_edges(scores, far=12.0))
    assert sorted(counts)[-2:] == [0, 7]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-2.3, 7.9, [-2.0, 0.0, 2.0, 4.0, 6.0]),
        (0.00011, 0.00032, [0.00015, 0.0002, 0.00025, 0.0003]),
        (-12.0, 12.0, [-10.0, -5.0, 0.0, 5.0, 10.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert plots.ticks(low, high) == pytest.approx(expected)


def test_map_keeps_neighbours_and_follows_the_seed() -> None:
    generator = np.random.default_rng(3)
    group = np.repeat(np.arange(4), 30)
    embeddings = 6 * generator.normal(size=(4, 20))[group] + generator.normal(size=(120, 20))
    points = plots.project(embeddings, seed=5)
    np.testing.assert_array_equal(points, plots.project(embeddings, seed=5))
    assert (points.min(axis=0) == 0).all()
    assert (points.max(axis=0) == 1).all()
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (5, 1), (30, 1)])
def test_map_of_very_little(shape: tuple[int, int]) -> None:
    points = plots.project(np.random.default_rng(0).normal(size=shape), seed=0)
    assert points.shape == (shape[0], 2)
    assert ((points >= 0) & (points <= 1)).all()


def test_map_of_few_clips_is_their_principal_components() -> None:
    line = np.outer(np.array([0.0, 1.0, 4.0]), np.array([3.0, 4.0, 0.0]))
    along = plots.project(line, seed=0)[:, 0]
    assert sorted([along[1], 1 - along[1]]) == pytest.approx([0.25, 0.75])


def test_map_of_equal_embeddings_is_one_point() -> None:
    np.testing.assert_array_equal(plots.project(np.ones((20, 8)), seed=0), np.zeros((20, 2)))


def test_names_on_a_map_do_not_cover_each_other() -> None:
    generator = np.random.default_rng(4)
    points, groups = generator.random((200, 2)) * 0.3, np.repeat(np.arange(10), 20)
    places = plots.label_places(points, groups)
    assert sorted(group for group, _, _ in places) == list(range(10))
    for i, (_, x, y) in enumerate(places):
        for _, other_x, other_y in places[:i]:
            assert abs(x - other_x) >= 0.2 - 1e-3 or abs(y - other_y) >= 0.045 - 1e-3
