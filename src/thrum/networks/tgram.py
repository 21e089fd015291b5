"""TgramNet (Liu et al., ICASSP 2022): a spectrogram-like map that is learnt from the waveform."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thrum.features.framing import pad_to_length

BLOCKS = 3
LEAK = 0.2


class TgramNet(nn.Module):
    """A strided convolution with a kernel as long as an STFT window, then three convolutional blocks.

    Kernel, stride and padding are those of the log-mel spectrogram, so that frame t of one lies on
    frame t of the other.

    Parameters
    ----------
    bands
        F, as many as the log-mel spectrogram has.
    kernel, hop
        In samples: the STFT's window and hop.
    """

    def __init__(self, bands: int = 128, *, kernel: int = 1024, hop: int = 512) -> None:
        super().__init__()
        self.bands = bands
        self.kernel = kernel
        self.filters = nn.Conv1d(1, bands, kernel, hop, padding=kernel // 2, bias=False)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    TimeNorm(bands),
                    nn.LeakyReLU(LEAK),
                    nn.Conv1d(bands, bands, 3, padding=1, bias=False),
                )
                for _ in range(BLOCKS)
            )
        )

    def forward(self, audio: Tensor) -> Tensor:
        """Return maps (B, F, T) of audio (B, S): T = 1 + max(S, kernel) // hop."""
        audio = pad_to_length(audio, self.kernel)
        maps: Tensor = self.blocks(self.filters(audio[:, None]))  # (B, F, T)
        return maps


class TimeNorm(nn.Module):
    """Layer normalisation over time, each band by itself, with a gain and an offset for each band.

    The authors' code normalises over its 313 frames, with a gain and an offset for each of them, which
    ties the network to clips of 10 s. One a band instead lets clips be of any length.

    Parameters
    ----------
    bands
        F.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(bands, 1))
        self.offset = nn.Parameter(torch.zeros(bands, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, F, T), each band with mean 0 and variance 1 over time, scaled and moved."""
        return functional.layer_norm(maps, maps.shape[-1:]) * self.gain + self.offset
