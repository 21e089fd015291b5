"""CNN14 and Wavegram-Logmel-CNN14 of PANNs (Kong et al., 2020, sections IV-A and IV-C, table I).

The names of modules are those of the published checkpoints (qiuqiangkong/audioset_tagging_cnn, MIT).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 527
EMBEDDING_SIZE = 2048
MEL_BANDS = 64
BLOCK_CHANNELS = (64, 128, 256, 512, 1024, EMBEDDING_SIZE)
WAVEGRAM_CHANNELS = (64, 128, 128)
WAVEGRAM_BANDS = 32


class Cnn14(nn.Module):
    """Log-mel spectra (N, T, 64) in dB to embeddings (N, 2048); `fc_audioset` gives logits."""

    embedding_size = EMBEDDING_SIZE

    def __init__(self, *, further_channels: int = 0) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        channels = 1
        for number, wider in enumerate(BLOCK_CHANNELS, start=1):
            self.add_module(f"conv_block{number}", ConvBlock(channels, wider))
            channels = wider + (further_channels if number == 1 else 0)
        self.fc1 = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        self.fc_audioset = nn.Linear(EMBEDDING_SIZE, CLASSES)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return embeddings (N, 2048)."""
        return self._body(self._first_block(log_mel))

    def _first_block(self, log_mel: Tensor) -> Tensor:
        # bn0 normalises each mel band: bands take the place of channels.
        x = self.bn0(log_mel.transpose(1, 2).unsqueeze(2))  # (N, 64, 1, T)
        x = self.get_submodule("conv_block1")(x.permute(0, 2, 3, 1))  # (N, 64, T, 64)
        return F.avg_pool2d(x, 2)  # (N, 64, T/2, 32)

    def _body(self, x: Tensor) -> Tensor:
        for number in range(2, len(BLOCK_CHANNELS)):
            x = F.avg_pool2d(self.get_submodule(f"conv_block{number}")(x), 2)
        x = self.get_submodule(f"conv_block{len(BLOCK_CHANNELS)}")(x)  # (N, 2048, T/32, 2)
        x = x.mean(dim=3)  # (N, 2048, T/32)
        x = x.amax(dim=2) + x.mean(dim=2)  # (N, 2048)
        embedding: Tensor = self.fc1(x).relu_()  # (N, 2048)
        return embedding


class WavegramLogmelCnn14(Cnn14):
    """CNN14 that sees, beside log-mel spectra, a time-frequency map learnt from the waveform."""

    def __init__(self) -> None:
        super().__init__(further_channels=BLOCK_CHANNELS[0])
        first, second, third = WAVEGRAM_CHANNELS
        self.pre_conv0 = nn.Conv1d(1, first, kernel_size=11, stride=5, padding=5, bias=False)
        self.pre_bn0 = nn.BatchNorm1d(first)
        self.pre_block1 = WaveBlock(first, first)
        self.pre_block2 = WaveBlock(first, second)
        self.pre_block3 = WaveBlock(second, third)
        self.pre_block4 = ConvBlock(third // WAVEGRAM_BANDS, BLOCK_CHANNELS[0])

    def forward(self, log_mel: Tensor, waveform: Tensor) -> Tensor:  # type: ignore[override]
        """Return embeddings (N, 2048) of log-mel (N, T, 64) and the waveform (N, S) at 32 kHz.

        Both maps must be equally long: floor(S / 320) even.
        """
        x = torch.cat([self._first_block(log_mel), self.wavegram(waveform)], dim=1)
        return self._body(x)

    def wavegram(self, waveform: Tensor) -> Tensor:
        """Return the wavegram (N, 64, T/2, 32) of waveforms (N, S)."""
        x = self.pre_bn0(self.pre_conv0(waveform.unsqueeze(1))).relu_()  # (N, 64, S/5)
        for block in (self.pre_block1, self.pre_block2, self.pre_block3):
            x = F.max_pool1d(block(x), 4)  # (N, C, ·/4)
        # Not by `len`, which an exported model would keep for batches of every size.
        x = x.unflatten(1, (-1, WAVEGRAM_BANDS)).transpose(2, 3)  # (N, 4, S/320, 32)
        return F.avg_pool2d(self.pre_block4(x), (2, 1))  # (N, 64, T/2, 32)


class ConvBlock(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation and ReLU."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wider, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.conv2 = nn.Conv2d(wider, wider, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wider)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, wider, H, W) of (N, channels, H, W)."""
        x = self.bn1(self.conv1(x)).relu_()
        wider: Tensor = self.bn2(self.conv2(x)).relu_()
        return wider


class WaveBlock(nn.Module):
    """Two convolutions over time, the second dilated, with batch normalisation and ReLU."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, wider, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm1d(wider)
        self.conv2 = nn.Conv1d(wider, wider, kernel_size=3, padding=2, dilation=2, bias=False)
        self.bn2 = nn.BatchNorm1d(wider)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, wider, S) of (N, channels, S)."""
        x = self.bn1(self.conv1(x)).relu_()
        wider: Tensor = self.bn2(self.conv2(x)).relu_()
        return wider
