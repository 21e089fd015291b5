"""FastFlow (Yu et al., 2021): affine couplings over feature maps, with their exact log-determinant."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

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


class FastFlow(nn.Module):
    """Couplings whose subnets are convolutions, with 3 × 3 and 1 × 1 kernels in turn.

    Before each coupling but the first the channels change places, in an order drawn once, so that those
    which one coupling keeps another moves. FastFlow's authors take eight steps for ResNet-18, and a
    hidden layer as wide as the subnet's input. A flow just made only permutes channels.

    Parameters
    ----------
    channels
        C of the maps, 2 at least.
    steps
        How many couplings.
    hidden_ratio
        Channels of a subnet's hidden layer over those of its input.
    """

    def __init__(self, channels: int, *, steps: int = 8, hidden_ratio: float = 1.0) -> None:
        super().__init__()
        self.channels = channels
        hidden = max(1, round(hidden_ratio * (channels // 2)))
        self.couplings = nn.ModuleList(
            AffineCoupling(channels, _subnet(channels, hidden, kernel=3 if step % 2 == 0 else 1))
            for step in range(steps)
        )
        orders = torch.stack([torch.randperm(channels) for _ in range(steps)])
        orders[:1] = torch.arange(channels)
        self.orders: Tensor
        self.register_buffer("orders", orders)  # (steps, C)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents (B, C, H, W) of maps (B, C, H, W), and the log-determinant (B,)."""
        total = maps.new_zeros(len(maps))
        for order, coupling in zip(self.orders, self.couplings, strict=True):
            maps, log_determinant = coupling(maps[:, order])
            total = total + log_determinant
        return maps, total

    def inverse(self, latents: Tensor) -> Tensor:
        """Return the maps (B, C, H, W) of which `forward` makes `latents`."""
        for order, module in zip(reversed(self.orders), reversed(self.couplings), strict=True):
            latents = cast("AffineCoupling", module).inverse(latents)[:, order.argsort()]
        return latents


def _subnet(channels: int, hidden: int, *, kernel: int) -> nn.Sequential:
    last = nn.Conv2d(hidden, 2 * (channels - channels // 2), kernel, padding=kernel // 2)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast("Tensor", last.bias))
    return nn.Sequential(
        nn.Conv2d(channels // 2, hidden, kernel, padding=kernel // 2), nn.ReLU(), last
    )
