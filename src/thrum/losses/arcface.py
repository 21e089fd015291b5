"""Additive angular margin softmax (ArcFace; Deng et al., CVPR 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class ArcFace(nn.Module):
    """Softmax over the cosines to one anchor a class, the true class's angle made larger by a margin.

    .. math:: L = -\\log \\frac{e^{s\\cos(\\theta_y + m)}}{e^{s\\cos(\\theta_y + m)}
              + \\sum_{j \\ne y} e^{s\\cos\\theta_j}}

    Where :math:`\\theta_y + m` exceeds :math:`\\pi` the cosine would rise again and reward being wrong;
    there the penalty goes on as the straight line :math:`\\cos\\theta_y - m\\sin m`, as the authors do.

    Parameters
    ----------
    embedding_size
        D.
    classes
        The number of classes, K.
    scale
        s, the radius.
    margin
        m, in radians.
    """

    def __init__(
        self, embedding_size: int, classes: int, *, scale: float = 30.0, margin: float = 0.5
    ) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.empty(classes, embedding_size))
        nn.init.xavier_uniform_(self.anchors)
        self.scale = scale
        self.margin = margin

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return the cosines (B, K) of embeddings (B, D) to the anchors of the classes."""
        return functional.linear(functional.normalize(embeddings), functional.normalize(self.anchors))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return s times the cosines (B, K), with the margin put on each row's own class.

        Labels (B,) are class indices.
        """
        cosines = self.cosines(embeddings)  # (B, K)
        own = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)  # (B, 1)
        sines = (1 - own.square()).sqrt()
        with_margin = own * math.cos(self.margin) - sines * math.sin(self.margin)  # cos(θ + m)
        beyond = own - self.margin * math.sin(self.margin)
        own = torch.where(own > math.cos(math.pi - self.margin), with_margin, beyond)
        return self.scale * cosines.scatter(1, labels[:, None], own)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of embeddings (B, D) with class indices (B,)."""
        return functional.cross_entropy(self.logits(embeddings, labels), labels)
