"""The batch-hard triplet loss (Hermans et al., 2017, eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BatchHardTriplet(nn.Module):
    r"""For each clip of a batch, its farthest fellow against its nearest stranger.

    .. math:: L = \frac{1}{B} \sum_a \ln\left(1 + e^{\max_{y_p = y_a} d(a, p)
              - \min_{y_n \ne y_a} d(a, n)}\right)

    with d the Euclidean distance, not squared; with a margin m the softplus becomes
    :math:`\max(0, m + \ldots)`.

    Parameters
    ----------
    margin
        m; None takes the softplus, the authors' "soft margin", which goes on pulling a class together
        when it is already apart from the others and has nothing to be tuned.
    """

    def __init__(self, *, margin: float | None = None) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of embeddings (B, D) with classes (B,), two different ones at least."""
        if bool((labels == labels[0]).all()):
            raise ValueError(f"a triplet wants two classes in a batch, got only {labels[0].item()}")
        distances = torch.cdist(
            embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist"
        )  # (B, B), exact on the diagonal
        same = labels[:, None] == labels[None, :]
        farthest = distances.where(same, -torch.inf).amax(dim=1)  # (B,)
        nearest = distances.where(~same, torch.inf).amin(dim=1)  # (B,)
        if self.margin is None:
            return functional.softplus(farthest - nearest).mean()
        return functional.relu(self.margin + farthest - nearest).mean()
