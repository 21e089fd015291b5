"""The optimiser of the ID classifier and how its learning rate goes."""

from __future__ import annotations

import math
from typing import Any

import torch

from thrum.systems.embedding_sharing.classifier import Member
from thrum.systems.embedding_sharing.config import Config
from thrum.training import uncompiled


def adamw(member: Member, config: Config) -> torch.optim.Optimizer:
    """Return AdamW (section V-B) over what a member learns; anchors have directions only, so no decay."""
    groups: list[dict[str, Any]] = [
        {"params": list(member.network.parameters())},
        {"params": list(member.loss.parameters()), "weight_decay": 0.0},
    ]
    return uncompiled(torch.optim.AdamW)(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay
    )


def scheduled(
    optimizer: torch.optim.Optimizer, config: Config, *, steps: int
) -> torch.optim.lr_scheduler.LambdaLR | None:
    """Return what changes the rate of `optimizer` over `steps`; None where it is constant."""
    if config.schedule == "constant":
        return None
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps))


def rate_factor(step: int, steps: int) -> float:
    """Return the part of the learning rate at a step: a tenth of warming up, then half a cosine."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
