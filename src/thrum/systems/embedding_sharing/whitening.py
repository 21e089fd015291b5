"""What embeddings vary by within machines, taken out.

Frames and clips of one machine differ by load, distance, noise: variation that says nothing of which
machine it is and little of whether it is well. Measured in the pool of all sites it is known far better
than from one site's few clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Vectors = NDArray[np.floating[Any]]

AXES = 256  # directions whitened singly; the rest, with hardly any variance, share one scale
SHRINKAGE = 0.1
MANY_DIMENSIONS = 2048  # beyond, a covariance is measured on so many vectors at most:
SAMPLE = 4096


class Whitening(nn.Module):
    r"""An affine map after which vectors have about unit covariance.

    .. math:: x \\mapsto (C + \\lambda I)^{-1/2} (x - \\mu)

    kept as :math:`b\\,x + V (a - b) V^\\top x` with the `AXES` leading directions :math:`V` of
    :math:`C`, so that 6144 dimensions weigh 6 MB and not 150.

    Parameters
    ----------
    dimensions
        D.
    """

    mean: Tensor
    axes: Tensor
    gains: Tensor
    rest: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("axes", torch.zeros(dimensions, min(dimensions, AXES)))
        self.register_buffer("gains", torch.zeros(min(dimensions, AXES)))
        self.register_buffer("rest", torch.ones(dimensions))

    def forward(self, x: Tensor) -> Tensor:
        """Map vectors (…, D)."""
        x = x - self.mean
        return x * self.rest + (x @ self.axes * self.gains) @ self.axes.T

    def fit_variances(self, vectors: Vectors) -> Self:
        """Only scale each dimension of vectors (N, D) to unit variance."""
        deviation = vectors.std(axis=0, dtype=np.float64)
        self._set(vectors.mean(axis=0), 1 / (deviation + 0.1 * deviation.mean() + 1e-6))
        return self

    def fit_within(self, classes: Sequence[Vectors]) -> Self:
        """Whiten by the covariance that vectors (N, D) have within their classes, pooled.

        `SHRINKAGE` of the mean variance is added to every direction (λ), so that those with hardly any
        variance are not blown up to noise.
        """
        residuals = np.concatenate([own - own.mean(axis=0, dtype=np.float64) for own in classes])
        mean = np.concatenate(list(classes)).mean(axis=0, dtype=np.float64)
        axes, variances, total = _principal(residuals)
        shrunk = SHRINKAGE * total / len(mean)
        self._set_spectrum(mean, axes, variances, max(shrunk, 1e-12))
        return self

    def scale_to_unit(self, vectors: Vectors) -> Self:
        """Scale all outputs by one number, so that `vectors` (N, D) come out with deviation one."""
        with torch.inference_mode():
            inputs = torch.from_numpy(np.asarray(vectors, np.float32)).to(self.mean.device)
            deviation = float(self(inputs).std())
        gain = 1 / max(deviation, 1e-12)
        self.rest.mul_(gain)
        self.gains.mul_(gain)
        return self

    def _set_spectrum(self, mean: Vectors, axes: Vectors, variances: Vectors, floor: float) -> None:
        rest = 1 / math.sqrt(floor)
        self._set(mean, np.full(len(mean), rest))
        gains = 1 / np.sqrt(variances + floor) - rest
        self.axes[:, : axes.shape[1]] = torch.from_numpy(axes)
        self.gains[: axes.shape[1]] = torch.from_numpy(gains)

    def _set(self, mean: Vectors, rest: Vectors) -> None:
        self.axes.zero_()
        self.gains.zero_()
        self.mean.copy_(torch.from_numpy(np.asarray(mean)))
        self.rest.copy_(torch.from_numpy(np.asarray(rest)))


def _principal(residuals: Vectors) -> tuple[Vectors, Vectors, float]:
    """Return the leading directions (D, R) of centred rows (N, D), their variances, and the sum of all."""
    if len(residuals) > SAMPLE and residuals.shape[1] > MANY_DIMENSIONS:
        residuals = residuals[np.linspace(0, len(residuals) - 1, SAMPLE).astype(int)]
    rows = residuals.astype(np.float64)
    count, dimensions = rows.shape
    total = float(np.square(rows).sum() / count)
    if dimensions <= count:
        variances, axes = np.linalg.eigh(rows.T @ rows / count)
    else:  # fewer rows than dimensions: the same from the rows' products
        variances, weights = np.linalg.eigh(rows @ rows.T / count)
        there = variances > variances.max() * 1e-10
        variances = variances[there]
        axes = rows.T @ weights[:, there] / np.sqrt(variances * count)
    leading = slice(max(0, len(variances) - AXES), None)
    return axes[:, leading], np.maximum(variances[leading], 0.0), total
