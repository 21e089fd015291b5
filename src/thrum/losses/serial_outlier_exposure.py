"""What Serial-OE adds to outlier exposure: sections of normal clips, and a classifier of the norm."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from thrum.losses.outlier_exposure import OutlierExposure


class NormOutlierExposure(OutlierExposure):
    """Outlier exposure whose log-odds are an affine function of the embedding's Euclidean norm.

    g_machine of the first Serial-OE (Kuroyanagi et al., EUSIPCO 2022), as Fujimura et al. (DCASE 2023,
    section 2) recall it.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Return the log-odds (B, 1) that embeddings (B, D) are of the target."""
        return super().logits(embeddings.norm(dim=1, keepdim=True))


class SectionExposure(nn.Module):
    r"""Which section of the target machine a normal clip is of; pseudo-anomalous clips do not count.

    .. math:: L = -\frac{1}{K \sum_i t_i} \sum_{i,k} t_i \left( y_{ik} \log a_{ik}
              + (1 - y_{ik}) \log (1 - a_{ik}) \right)

    Eq. 3 of Fujimura et al. (DCASE 2023, technical report). Eq. 8, of attributes, is `OutlierExposure` with
    K targets: there pseudo-anomalous clips count, as being of none.

    Parameters
    ----------
    embedding_size
        D.
    sections
        K.
    """

    def __init__(self, embedding_size: int, sections: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_size, sections)

    def forward(self, embeddings: Tensor, sections: Tensor, target: Tensor) -> Tensor:
        """Return the loss of embeddings (B, D); 0 where no clip is of the target.

        Parameters
        ----------
        sections
            y (B, K), one-hot or the part of each section.
        target
            t (B,), 1 for clips of the target machine and 0 for others, or the target's part.
        """
        entropies = functional.binary_cross_entropy_with_logits(
            self.classifier(embeddings), sections, reduction="none"
        )  # (B, K)
        return (target * entropies.mean(dim=1)).sum() / target.sum().clamp(min=1e-6)
