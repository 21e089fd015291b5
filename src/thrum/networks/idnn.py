"""The interpolation network (Suefusa et al., ICASSP 2020, arXiv 2005.09234) and its variational form.

From the frames before and after, the one in the middle. Frames at the edge of a window, which an autoencoder
has to put together again although it knows one neighbour only, are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thrum.networks.vae import VAE, dense_layers


class IDNN(nn.Module):
    """Dense layers from all frames of a window but the middle one to that one.

    Parameters
    ----------
    frames
        T, an odd number.
    bands
        F.
    widths
        Of the layers to the bottleneck; those from it are the same in reverse.
    bottleneck
        E.
    """

    def __init__(
        self, frames: int, bands: int, *, widths: Sequence[int] = (64, 32), bottleneck: int = 16
    ) -> None:
        super().__init__()
        self.embedding_size = bottleneck
        inputs = (frames - 1) * bands
        self.layers = nn.Sequential(
            *dense_layers([inputs, *widths, bottleneck, *reversed(widths)]),
            nn.Linear(widths[0], bands),
        )

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the middle frames (B, F) of windows (B, T, F): as they are and as they are guessed."""
        surroundings, middle = without_middle(windows)
        return middle, self.layers(surroundings)


class VIDNN(nn.Module):
    """The same with a variational bottleneck; see `IDNN` and `VAE`."""

    def __init__(
        self, frames: int, bands: int, *, widths: Sequence[int] = (64, 32), bottleneck: int = 16
    ) -> None:
        super().__init__()
        self.embedding_size = bottleneck
        self.vae = VAE((frames - 1) * bands, bands, widths=widths, bottleneck=bottleneck)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return middle frames (B, F) as they are and guessed, latents' means and log-variances (B, E)."""
        surroundings, middle = without_middle(windows)
        return middle, *self.vae(surroundings)


def without_middle(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames around the middle one (B, (T - 1) · F), and that one (B, F), of (B, T, F)."""
    middle = windows.shape[1] // 2
    surroundings = torch.cat([windows[:, :middle], windows[:, middle + 1 :]], dim=1)
    return surroundings.flatten(1), windows[:, middle]
