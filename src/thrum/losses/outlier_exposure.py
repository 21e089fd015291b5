"""Normal clips against pseudo-anomalous ones: binary cross-entropy (outlier exposure)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class OutlierExposure(nn.Module):
    r"""A logistic classifier of what is normal, one for each of K notions of it.

    .. math:: L = -\frac{1}{B K} \sum_{i,k} y_{ik} \log a_{ik} + (1 - y_{ik}) \log (1 - a_{ik})

    with :math:`a = \sigma(W x + b)`: 1 for the normal clips of the target, 0 for those of other machines,
    which stand in for anomalies.

    Parameters
    ----------
    embedding_size
        D.
    targets
        K: 1 for one machine type against all others.
    """

    def __init__(self, embedding_size: int, targets: int = 1) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_size, targets)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Return the log-odds (B, K) that embeddings (B, D) are of each target."""
        logits: Tensor = self.classifier(embeddings)
        return logits

    def forward(self, embeddings: Tensor, normal: Tensor) -> Tensor:
        """Return the mean loss of embeddings (B, D).

        `normal` (B, K) is 1 where a row is a normal clip of the target and 0 where it is not; parts in
        between are taken too.
        """
        return functional.binary_cross_entropy_with_logits(
            self.logits(embeddings), normal.to(embeddings.dtype)
        )
