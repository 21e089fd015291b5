"""Additive angular margin softmax (ArcFace; Deng et al., CVPR 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class ArcFace(nn.Module):
    r"""Softmax over the cosines to one anchor a class, the true class's angle made larger by a margin.

    .. math:: L = -\log \frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)}
              + \sum_{j \ne y} e^{s\cos\theta_j}}

    Where :math:`\theta_y + m` exceeds :math:`\pi` the cosine would rise again and reward being wrong;
    there the penalty goes on as the straight line :math:`\cos\theta_y - m\sin m`, as the authors do.

    Soft targets (B, K), as mixup makes them, give every class its part of the margin and of the loss.

    Parameters
    ----------
    embedding_size
        D.
    classes
        The number of classes, K.
    scale
        s, the radius.
    margin
        m, in radians; may be changed while training.
    """

    def __init__(
        self, embedding_size: int, classes: int, *, scale: float = 30.0, margin: float = 0.5
    ) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.randn(classes, embedding_size))
        self.scale = scale
        self.margin = margin

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return the cosines (B, K) of embeddings (B, D) to the anchors of the classes."""
        return functional.linear(
            functional.normalize(embeddings), functional.normalize(self.anchors)
        )

    def logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return s times the cosines (B, K), with the margin put on each row's own class.

        Targets are class indices (B,), or the part of each class (B, K).
        """
        cosines = self.cosines(embeddings).clamp(-1 + 1e-6, 1 - 1e-6)  # (B, K)
        margins = self.margin * self._parts(targets)  # (B, K)
        sines = (1 - cosines.square()).sqrt()
        with_margin = cosines * margins.cos() - sines * margins.sin()  # cos(θ + m)
        beyond = cosines - margins * margins.sin()
        return self.scale * torch.where(cosines > (math.pi - margins).cos(), with_margin, beyond)

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of embeddings (B, D) with class indices (B,) or parts (B, K)."""
        return functional.cross_entropy(self.logits(embeddings, targets), targets)

    def _parts(self, targets: Tensor) -> Tensor:
        if targets.ndim == 2:
            return targets
        return functional.one_hot(targets, len(self.anchors)).to(self.anchors.dtype)
