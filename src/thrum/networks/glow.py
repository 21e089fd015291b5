"""Glow (Kingma and Dhariwal, NeurIPS 2018) over log-mel spectrograms, with its exact log-determinant."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from thrum.errors import ConfigError
from thrum.networks.fastflow import AffineCoupling


class Glow(nn.Module):
    """Levels of steps; after each level but the last, half of the channels are latents already.

    A level begins by taking 2 × 2 values of a map for four channels at one place. Before the first one, every
    mel band is brought to mean 0 and variance 1 by a normalisation like that of the steps: bands differ by
    tens of dB, and after the squeeze a channel holds many of them. (Ours; images have no such axis.) All
    latents are to be independent, of mean 0 and variance 1, also those of the lower levels, whose
    distribution the authors' code has the rest predict.

    Parameters
    ----------
    frames, bands
        T and F of the spectrograms, multiples of 2 to the power of `levels`.
    levels
        How many.
    steps
        In each level.
    hidden
        Channels of the two hidden layers of each coupling's network.
    """

    def __init__(
        self, frames: int, bands: int, *, levels: int = 3, steps: int = 32, hidden: int = 512
    ) -> None:
        super().__init__()
        factor = 2**levels
        if frames % factor or bands % factor:
            raise ConfigError(
                f"{levels} levels want frames and bands in multiples of {factor}, got {frames} and "
                f"{bands}: set levels or stack_frames"
            )
        self.frames, self.bands = frames, bands
        self.band_norm = ActNorm(bands)
        self.levels = nn.ModuleList()
        channels = 1
        for _ in range(levels):
            channels *= 4
            self.levels.append(nn.ModuleList(Step(channels, hidden) for _ in range(steps)))
            channels //= 2

    def forward(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents (B, T · F) of spectrograms (B, T, F), and the log-determinant (B,)."""
        maps, total = self.band_norm(spectrograms.transpose(1, 2))  # (B, F, T)
        maps = maps[:, None]  # (B, 1, F, T)
        latents: list[Tensor] = []
        for number, level in enumerate(self.levels):
            maps = functional.pixel_unshuffle(maps, 2)  # (B, 4 C, H / 2, W / 2)
            for step in cast("nn.ModuleList", level):
                maps, log_determinant = step(maps)
                total = total + log_determinant
            if number + 1 < len(self.levels):
                done, maps = maps.chunk(2, dim=1)
                latents.append(done.flatten(1))
        latents.append(maps.flatten(1))
        return torch.cat(latents, dim=1), total

    def inverse(self, latents: Tensor) -> Tensor:
        """Return the spectrograms (B, T, F) of which `forward` makes `latents`."""
        shapes, height, width, channels = [], self.bands, self.frames, 1
        for _ in self.levels:
            height, width, channels = height // 2, width // 2, channels * 4
            shapes.append((channels // 2, height, width))
            channels //= 2
        # The last level splits nothing off: its second half lies where a next level's latents would.
        sizes = [math.prod(shape) for shape in [*shapes, shapes[-1]]]
        parts = list(latents.split(sizes, dim=1))  # type: ignore[no-untyped-call]
        maps = parts.pop().unflatten(1, shapes[-1])
        for level, shape in zip(reversed(self.levels), reversed(shapes), strict=True):
            maps = torch.cat([parts.pop().unflatten(1, shape), maps], dim=1)
            for step in reversed(cast("nn.ModuleList", level)):
                maps = cast("Step", step).inverse(maps)
            maps = functional.pixel_shuffle(maps, 2)
        return self.band_norm.inverse(maps[:, 0]).transpose(1, 2)


class ActNorm(nn.Module):
    """Each channel moved and scaled; at first so that the first batch has mean 0 and variance 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shifts = nn.Parameter(torch.zeros(channels))
        self.log_scales = nn.Parameter(torch.zeros(channels))
        self.begun: Tensor
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, C, …) of maps (B, C, …), and the log-determinant (B,)."""
        if self.training and not self.begun:
            self._begin(maps.detach())
        shifts, log_scales = self._broadcast(maps)
        log_determinant = self.log_scales.sum() * maps[0, 0].numel()
        return (maps + shifts) * log_scales.exp(), log_determinant.expand(len(maps))

    def inverse(self, maps: Tensor) -> Tensor:
        """Return the maps (B, C, …) of which `forward` makes these."""
        shifts, log_scales = self._broadcast(maps)
        return maps * (-log_scales).exp() - shifts

    @torch.no_grad()
    def _begin(self, maps: Tensor) -> None:
        values = maps.transpose(0, 1).flatten(1)  # (C, …)
        self.shifts.copy_(-values.mean(dim=1))
        self.log_scales.copy_(-values.std(dim=1, correction=0).clamp(min=1e-3).log())
        self.begun.fill_(True)

    def _broadcast(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (maps.ndim - 2))
        return self.shifts.reshape(shape), self.log_scales.reshape(shape)


class InvertibleConvolution(nn.Module):
    """A square matrix over the channels, at first a rotation drawn at random."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, C, H, W) of maps (B, C, H, W), and the log-determinant (B,)."""
        log_determinant = torch.linalg.slogdet(self.weight)[1] * maps[0, 0].numel()
        return _mixed(maps, self.weight), log_determinant.expand(len(maps))

    def inverse(self, maps: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of which `forward` makes these."""
        return _mixed(maps, torch.linalg.inv(self.weight))


class Step(nn.Module):
    """A normalisation, an invertible convolution, an affine coupling (figure 2a)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.convolution = InvertibleConvolution(channels)
        self.coupling = AffineCoupling(channels, _subnet(channels, hidden))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, C, H, W) of maps (B, C, H, W), and the log-determinant (B,)."""
        maps, of_norm = self.norm(maps)
        maps, of_convolution = self.convolution(maps)
        maps, of_coupling = self.coupling(maps)
        return maps, of_norm + of_convolution + of_coupling

    def inverse(self, maps: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of which `forward` makes these."""
        return self.norm.inverse(self.convolution.inverse(self.coupling.inverse(maps)))


def _mixed(maps: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(maps, weight[:, :, None, None])


def _subnet(channels: int, hidden: int) -> nn.Sequential:
    last = nn.Conv2d(hidden, channels, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast("Tensor", last.bias))
    return nn.Sequential(
        nn.Conv2d(channels // 2, hidden, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(),
        last,
    )
