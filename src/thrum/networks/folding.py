"""Batch normalisation folded into the convolution before it: the same function, one pass less."""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold, in place, each batch normalisation that follows a convolution; returns the network.

    The network must be in evaluation mode, and its modules registered in the order in which they are
    applied: a convolution and, next to it in the same module, its normalisation.
    """
    for module in network.modules():
        children = list(module.named_children())
        for (name, first), (next_name, second) in itertools.pairwise(children):
            if isinstance(first, _CONVOLUTIONS) and isinstance(second, _NORMS):
                module.register_module(name, fuse_conv_bn_eval(first, second))
                module.register_module(next_name, nn.Identity())
    return network
