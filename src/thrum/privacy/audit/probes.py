"""What attackers learn with: linear maps, which on these embeddings do as well as networks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thrum.privacy.audit.material import Material

Values = NDArray[Any]
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of what the inputs' products have on average; chosen on machines that were left out."""
FOLDS = 3
STEADY = 0.1
"""Of the mean variance, added to each input's: one that hardly moved among known machines is not blown up
where it moves on others (many of YAMNet's do)."""


class Ridge:
    """A penalised linear map from inputs (N, P) to outputs (N, Q).

    The penalty is the one that serves machines best that it was not fitted on.
    """

    def fit(self, X: Values, Y: Values, machines: Values) -> Self:
        """Learn from rows of several machines (N,)."""
        X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
        variances = X.var(axis=0)
        self._centre = X.mean(axis=0)
        self._scale = np.sqrt(variances + STEADY * variances.mean() + 1e-18)
        self._mean = Y.mean(axis=0)
        Z, residuals = (X - self._centre) / self._scale, Y - self._mean
        left_out = np.unique(machines, return_inverse=True)[1] % FOLDS == 0
        penalty = PENALTIES[2]
        if left_out.any() and not left_out.all():
            seen = _Spectrum(Z[~left_out], residuals[~left_out])
            errors = [
                np.square(residuals[left_out] - Z[left_out] @ seen.weights(one)).sum()
                for one in PENALTIES
            ]
            penalty = PENALTIES[int(np.argmin(errors))]
        self._weights = _Spectrum(Z, residuals).weights(penalty)
        return self

    def __call__(self, X: Values) -> NDArray[np.float64]:
        """Return guesses (N, Q)."""
        return np.asarray(
            (np.asarray(X, np.float64) - self._centre) / self._scale @ self._weights + self._mean
        )


class _Spectrum:
    """The products of inputs, taken apart once for all penalties; of rows where these are fewer."""

    def __init__(self, Z: Values, Y: Values) -> None:
        if len(Z) < Z.shape[1]:
            self._squares, places = np.linalg.eigh(Z @ Z.T)
            self._axes, self._products = Z.T @ places, places.T @ Y
        else:
            self._squares, self._axes = np.linalg.eigh(Z.T @ Z)
            self._products = self._axes.T @ (Z.T @ Y)
        self._mean_square = float(np.square(Z).sum()) / Z.shape[1]

    def weights(self, penalty: float) -> NDArray[np.float64]:
        added = penalty * max(self._mean_square, 1e-12)
        inverse = 1 / (np.maximum(self._squares, 0.0) + added)
        return np.asarray(self._axes @ (inverse[:, None] * self._products))


class Classes:
    """`Ridge` onto indicators: which of several classes a row is of."""

    def fit(self, X: Values, labels: Values, machines: Values) -> Self:
        """Learn rows (N, P) and their classes (N,)."""
        self.classes_, places = np.unique(labels, return_inverse=True)
        self._ridge = Ridge().fit(X, np.eye(len(self.classes_))[places], machines)
        return self

    def scores(self, X: Values) -> NDArray[np.float64]:
        """Return how much speaks for each class (N, C)."""
        return self._ridge(X)

    def __call__(self, X: Values) -> Values:
        """Return the likeliest class (N,)."""
        return np.asarray(self.classes_[self.scores(X).argmax(axis=1)])


def clip_means(released: Material) -> NDArray[np.float64]:
    """Return the mean (B, D) of what was released of each clip."""
    return np.stack([own.astype(np.float64).mean(axis=0) for own in released.vectors])


def within_whitening(auxiliary: Material) -> NDArray[np.float64]:
    """Return what makes clips' means vary alike in all directions within the attacker's machines, (D, D)."""
    means, machines = clip_means(auxiliary), auxiliary.machines
    normal = np.array([sample.label != "anomaly" for sample in auxiliary.samples])
    residuals = np.concatenate(
        [
            means[rows] - means[rows].mean(axis=0)
            for machine in np.unique(machines)
            if len(rows := np.flatnonzero((machines == machine) & normal))
        ]
    )
    variances, axes = np.linalg.eigh(residuals.T @ residuals / len(residuals))
    shrunk = np.maximum(variances, 0.0) + max(0.1 * float(variances.mean()), 1e-12)
    return np.asarray((axes / np.sqrt(shrunk)) @ axes.T)


def between(at: NDArray[np.float64], vectors: Any, seconds: Any) -> NDArray[np.float64]:
    """Return vectors (T, K) at `seconds` (C,), in proportion between those that there are, (C, K)."""
    if len(at) == 1:
        return np.repeat(np.asarray(vectors, np.float64), len(seconds), axis=0)
    place = np.clip(np.interp(seconds, at, np.arange(len(at))), 0, len(at) - 1)
    low = np.minimum(place.astype(int), len(at) - 2)
    share = (place - low)[:, None]
    return np.asarray((1 - share) * vectors[low] + share * vectors[low + 1])


def clip_features(released: Material) -> NDArray[np.float64]:
    """Return what an attacker sees of each clip (B, P): mean, spread and movement of what was released."""
    if _still(released):
        return clip_means(released)
    rows = []
    for own in released.vectors:
        vectors = own.astype(np.float64)
        moved = np.abs(np.diff(vectors, axis=0)).mean(axis=0) if len(vectors) > 1 else 0.0
        rows.append(
            np.concatenate(
                [vectors.mean(axis=0), vectors.std(axis=0), moved * np.ones(vectors.shape[1])]
            )
        )
    return np.stack(rows)


def _still(released: Material) -> bool:
    """Whether nothing moves in what was released: one vector a clip."""
    return all(len(own) == 1 for own in released.vectors)
