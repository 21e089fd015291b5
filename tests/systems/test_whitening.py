from __future__ import annotations

import numpy as np
import pytest
import torch

from thrum.systems.embedding_sharing import whitening
from thrum.systems.embedding_sharing.whitening import Whitening

RANDOM = np.random.default_rng(0)
MIXING = RANDOM.normal(size=(6, 6))


def mapped(module: Whitening, vectors: np.ndarray) -> np.ndarray:
    return module(torch.from_numpy(vectors.astype(np.float32))).numpy()


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    values, axes = np.linalg.eigh(matrix)
    return (axes / np.sqrt(values)) @ axes.T


def test_within_classes_by_the_formula() -> None:
    classes = [RANDOM.normal(size=(200, 6)) @ MIXING + offset for offset in (0.0, 50.0)]
    residuals = np.concatenate([own - own.mean(axis=0) for own in classes])
    covariance = residuals.T @ residuals / len(residuals)
    shrunk = covariance + 0.1 * np.trace(covariance) / 6 * np.eye(6)
    vectors = RANDOM.normal(size=(5, 6)) * 10
    wanted = (vectors - np.concatenate(classes).mean(axis=0)) @ inverse_root(shrunk)
    np.testing.assert_allclose(mapped(Whitening(6).fit_within(classes), vectors), wanted, rtol=1e-3)


def test_fewer_vectors_than_dimensions_give_the_same_map() -> None:
    vectors = RANDOM.normal(size=(20, 64))
    covariance = np.cov(vectors.T, bias=True)
    shrunk = covariance + 0.1 * np.trace(covariance) / 64 * np.eye(64)
    new = RANDOM.normal(size=(4, 64))
    wanted = (new - vectors.mean(axis=0)) @ inverse_root(shrunk)
    np.testing.assert_allclose(mapped(Whitening(64).fit_within([vectors]), new), wanted, atol=1e-3)


def test_only_the_leading_axes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "AXES", 3)
    scales = np.array([100.0, 50.0, 20.0, 0.01, 0.01, 0.01])
    vectors = RANDOM.normal(size=(500, 6)) * scales
    module = Whitening(6).fit_within([vectors])
    assert module.axes.shape == (6, 3)
    deviations = mapped(module, vectors).std(axis=0)
    assert (deviations[:3] > 0.3).all()
    assert (deviations[:3] < 1.1).all()
    assert (deviations[3:] < 0.1).all()


def test_unit_scale_and_constant_vectors() -> None:
    vectors = RANDOM.normal(size=(300, 6)) * 7
    module = Whitening(6).fit_within([vectors]).scale_to_unit(vectors)
    assert mapped(module, vectors).std() == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(mapped(Whitening(3).fit_within([np.ones((4, 3))]), np.ones((2, 3)))).all()
    assert np.isfinite(mapped(Whitening(3).fit_variances(np.ones((4, 3))), np.ones((2, 3)))).all()
