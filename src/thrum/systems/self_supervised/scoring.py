"""Anomaly scores from what the classifier makes of a clip: eqs. 6 and 7."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from thrum.detectors.knn import KNN

Vectors = NDArray[np.floating[Any]]


def posterior_scores(logits: Vectors, section: int) -> NDArray[np.float64]:
    """Return log((1 - p)/p) (B,), p the posterior of `section`, from logits (B, K) (eq. 6).

    Straight from the logits, for p is 1 in floating point long before the score stops telling clips
    apart: the others' log-sum-exp less the section's own logit.
    """
    logits = np.asarray(logits, np.float64)
    others = np.delete(logits, section, axis=1)  # (B, K - 1)
    return np.asarray(logsumexp(others, axis=1) - logits[:, section])


def distance_scores(train: Vectors, test: Vectors, *, neighbours: int) -> NDArray[np.float64]:
    """Return the cosine distance (B,) of test embeddings (B, E) to the nearest of the section's (N, E).

    With one neighbour this is eq. 7, 1 - max cos; with k the mean over the k nearest.
    """
    detector = KNN(neighbours=neighbours, metric="cosine").fit(train)
    # One by one: a distance's last digits would depend on the clips beside.
    return np.array([detector.anomaly_score(one[None])[0] for one in test])
