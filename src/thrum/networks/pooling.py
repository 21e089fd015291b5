"""From the frames of a clip to one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-6


class AttentiveStatistics(nn.Module):
    r"""Mean and deviation over time, each frame weighted by attention (Okabe et al., Interspeech 2018).

    .. math:: e_t = v^\top \tanh(W h_t + b), \quad \alpha = \mathrm{softmax}(e), \quad
              \mu = \sum_t \alpha_t h_t, \quad \sigma^2 = \sum_t \alpha_t h_t^2 - \mu^2

    Parameters
    ----------
    size
        D, of the frames.
    hidden
        Units of the attention; Okabe et al. have 64 for 1500 dimensions.
    """

    def __init__(self, size: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.embedding_size = 2 * size
        self.attention = nn.Sequential(
            nn.Linear(size, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 1, bias=False),  # a bias would be the same for all frames
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the statistics (B, 2 D) of frames (B, T, D), T ≥ 1 free: mean, then deviation."""
        weights = self.attention(frames).softmax(dim=1)  # (B, T, 1)
        mean = (weights * frames).sum(dim=1)  # (B, D)
        # Not the difference of squares, which loses all digits where the frames hardly vary.
        variance = (weights * (frames - mean[:, None]).square()).sum(dim=1)  # (B, D)
        deviation = (variance + VARIANCE_FLOOR).sqrt()  # the floor keeps the gradient finite
        return torch.cat([mean, deviation], dim=1)
