"""FastFlow (Yu et al., 2021): affine couplings over feature maps, with their exact log-determinant."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_SCALE_BOUND = 2.0


class AffineCoupling(nn.Module):
    r"""Half of the channels moved and scaled as the other half says (Dinh et al., "RealNVP", 2017).

    .. math:: y_1 = x_1, \quad y_2 = x_2 \odot e^{s(x_1)} + t(x_1), \quad
              \log|\det \partial y / \partial x| = \textstyle\sum s(x_1)

    The log-scales are bounded by a hyperbolic tangent, without which a few steps of training suffice to
    overflow.

    Parameters
    ----------
    channels
        C, 2 at least; the first C // 2 stay as they are.
    subnet
        Any network from the first C // 2 channels to twice the others, (B, C // 2, …) to
        (B, 2 · (C - C // 2), …), the rest of the shape kept: log-scales first, then shifts. With zeros in its
        last layer the coupling begins as the identity.
    bound
        The greatest absolute log-scale.
    """

    def __init__(self, channels: int, subnet: nn.Module, *, bound: float = LOG_SCALE_BOUND) -> None:
        super().__init__()
        self.kept = channels // 2
        self.subnet = subnet
        self.bound = bound

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, C, …) of inputs (B, C, …) and the log-determinant (B,)."""
        kept, moved = inputs[:, : self.kept], inputs[:, self.kept :]
        log_scales, shifts = self._affine(kept)
        outputs = torch.cat([kept, moved * log_scales.exp() + shifts], dim=1)
        return outputs, log_scales.flatten(1).sum(dim=1)

    def inverse(self, outputs: Tensor) -> Tensor:
        """Return the inputs (B, C, …) of which `forward` makes `outputs`."""
        kept, moved = outputs[:, : self.kept], outputs[:, self.kept :]
        log_scales, shifts = self._affine(kept)
        return torch.cat([kept, (moved - shifts) * (-log_scales).exp()], dim=1)

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-scales and shifts, each (B, C - C // 2, …)."""
        raw, shifts = self.subnet(kept).chunk(2, dim=1)
        return self.bound * torch.tanh(raw / self.bound), shifts


class GlobalAffine(nn.Module):
    r"""A gain and an offset a channel, learnt, as the known implementations have after each coupling.

    .. math:: y_c = x_c \, e^{g_c} + b_c, \quad \log|\det \partial y / \partial x| = H W \textstyle\sum_c g_c

    A coupling leaves half of the channels on the scale they came with; this brings each to the latents' own.

    Parameters
    ----------
    channels
        C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of maps (B, C, H, W) and the log-determinant (B,)."""
        places = maps.shape[2] * maps.shape[3]
        return maps * self.log_gain.exp() + self.offset, places * self.log_gain.sum().expand(
            len(maps)
        )

    def inverse(self, maps: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of which `forward` makes `maps`."""
        return (maps - self.offset) * (-self.log_gain).exp()


class FastFlow(nn.Module):
    """Couplings whose subnets are convolutions, each followed by a learnt gain and offset a channel.

    Before each coupling but the first the channels change places, in an order drawn once, so that those
    which one coupling keeps another moves. For ResNet-18 FastFlow's known implementations take eight steps
    with 3 × 3 kernels only, a hidden layer as wide as the subnet's input, and maps normalised over
    channels and places, without which no two maps have one scale. A flow just made only normalises and
    permutes channels.

    Parameters
    ----------
    channels
        C of the maps, 2 at least.
    steps
        How many couplings.
    hidden_ratio
        Channels of a subnet's hidden layer over those of its input.
    kernels
        Of the couplings in turn.
    normalised
        Whether maps are brought to mean 0 and variance 1 over channels and places (layer norm). The latents'
        density is then that of the normalised maps.
    affine
        Whether there are gains and offsets.
    """

    def __init__(
        self,
        channels: int,
        *,
        steps: int = 8,
        hidden_ratio: float = 1.0,
        kernels: tuple[int, ...] = (3,),
        normalised: bool = True,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.normalised = normalised
        hidden = max(1, round(hidden_ratio * (channels // 2)))
        self.couplings = nn.ModuleList(
            AffineCoupling(channels, _subnet(channels, hidden, kernel=kernels[step % len(kernels)]))
            for step in range(steps)
        )
        self.affines = nn.ModuleList(GlobalAffine(channels) for _ in range(steps if affine else 0))
        orders = torch.stack([torch.randperm(channels) for _ in range(steps)])
        orders[:1] = torch.arange(channels)
        self.orders: Tensor
        self.register_buffer("orders", orders)  # (steps, C)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents (B, C, H, W) of maps (B, C, H, W), and the log-determinant (B,)."""
        if self.normalised:
            maps = functional.layer_norm(maps, maps.shape[1:])
        total = maps.new_zeros(len(maps))
        for step, order in enumerate(self.orders):
            maps, log_determinant = self.couplings[step](maps[:, order])
            total = total + log_determinant
            if self.affines:
                maps, log_determinant = self.affines[step](maps)
                total = total + log_determinant
        return maps, total

    def inverse(self, latents: Tensor) -> Tensor:
        """Return the maps (B, C, H, W), normalised where they are, of which `forward` makes `latents`."""
        for step in reversed(range(len(self.orders))):
            if self.affines:
                latents = cast("GlobalAffine", self.affines[step]).inverse(latents)
            coupling = cast("AffineCoupling", self.couplings[step])
            latents = coupling.inverse(latents)[:, self.orders[step].argsort()]
        return latents


def _subnet(channels: int, hidden: int, *, kernel: int) -> nn.Sequential:
    last = nn.Conv2d(hidden, 2 * (channels - channels // 2), kernel, padding=kernel // 2)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast("Tensor", last.bias))
    return nn.Sequential(
        nn.Conv2d(channels // 2, hidden, kernel, padding=kernel // 2), nn.ReLU(), last
    )
