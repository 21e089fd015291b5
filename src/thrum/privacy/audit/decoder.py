"""What attackers learn with beside linear maps: a small network."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thrum.privacy.audit.probes import FOLDS, STEADY
from thrum.training import uncompiled

Values = NDArray[Any]
HIDDEN = 256
EPOCHS = 20
BATCH = 256
FEWEST_STEPS = 10
"""Of an epoch: few rows are gone over as often as many."""
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2


class NetworkDecoder:
    """Networks of one hidden layer from inputs (N, P) to outputs (N, Q); their guesses are averaged.

    Each leaves other machines out, and is kept as it was after the epoch that served these best.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Values, Y: Values, machines: Values) -> Self:
        """Learn from rows of several machines (N,)."""
        X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
        variances = X.var(axis=0)
        self._centre = X.mean(axis=0)
        self._scale = np.sqrt(variances + STEADY * variances.mean() + 1e-18)
        self._mean, self._spread = Y.mean(axis=0), float(Y.std()) + 1e-12
        inputs = self._inputs(X)
        outputs = torch.from_numpy(((Y - self._mean) / self._spread).astype(np.float32))
        fold = np.unique(machines, return_inverse=True)[1] % FOLDS
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._networks = [
                _trained(inputs, outputs, torch.from_numpy(fold == left_out))
                for left_out in np.unique(fold)
            ]
        return self

    def __call__(self, X: Values) -> NDArray[np.float64]:
        """Return guesses (N, Q)."""
        with torch.inference_mode():
            guesses = [network(self._inputs(X)).numpy() for network in self._networks]
        return np.asarray(np.mean(guesses, axis=0) * self._spread + self._mean, np.float64)

    def _inputs(self, X: Values) -> torch.Tensor:
        scaled = (np.asarray(X, np.float64) - self._centre) / self._scale
        return torch.from_numpy(scaled.astype(np.float32))


def _trained(inputs: torch.Tensor, outputs: torch.Tensor, left_out: torch.Tensor) -> nn.Module:
    """Return a network (N, P) -> (N, Q) that was trained on all rows but those left out (N,)."""
    network = nn.Sequential(
        nn.Linear(inputs.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs.shape[1])
    )
    if left_out.all():  # one machine: nothing to choose an epoch by
        left_out = torch.zeros_like(left_out)
    rows = torch.nonzero(~left_out)[:, 0]
    optimizer = uncompiled(torch.optim.AdamW)(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    best, kept = float("inf"), network.state_dict()
    for _ in range(EPOCHS):
        size = max(1, min(BATCH, len(rows) // FEWEST_STEPS))
        for chosen in rows[torch.randperm(len(rows))].split(size):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.mse_loss(network(inputs[chosen]), outputs[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        judged = left_out if left_out.any() else ~left_out
        with torch.inference_mode():
            error = float(nn.functional.mse_loss(network(inputs[judged]), outputs[judged]))
        if error < best:
            best = error
            kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return network
