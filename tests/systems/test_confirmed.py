"""Clips that came after training: places stay right as some go and others come, none is its own neighbour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thrum.detectors.knn import KNN
from thrum.systems.confirmed import Confirmed


def test_none_is_its_own_neighbour_whatever_went_and_came() -> None:
    random = np.random.default_rng(0)
    train, back, came = (
        random.normal(size=(6, 3)),
        random.normal(size=(4, 3)),
        random.normal(size=(5, 3)),
    )
    reference, confirmed = Confirmed.held_back(back).changed(train, added=[came[:3]])
    reference, confirmed = confirmed.changed(
        reference, dropped=[1, 5]
    )  # one held back, and came[1]
    reference, confirmed = confirmed.changed(reference, added=[came[3:]])
    known = np.concatenate([back[[0, 2, 3]], came[[0, 2]], came[3:]])
    np.testing.assert_array_equal(confirmed.parts[0], known)
    np.testing.assert_array_equal(reference, np.concatenate([train, came[[0, 2]], came[3:]]))

    def score(vectors: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return KNN(neighbours=1).fit(vectors).anomaly_score(confirmed.parts[0][rows])

    found = confirmed.left_out(reference, score)
    for own, value in zip(known, found, strict=True):
        distances = np.linalg.norm(reference - own, axis=1)
        np.testing.assert_allclose(value, distances[distances > 0].min(), rtol=1e-6)
    again = Confirmed.from_tensors(confirmed.tensors())
    np.testing.assert_array_equal(again.left_out(reference, score), found)
