"""Group normalisation (Wu and He, 2018) in the place of batch normalisation.

It normalises every input by itself. Where a batch holds one class alone, as at a site with one machine, batch
normalisation takes out what the class's inputs have in common, which is what tells it from others, and
leaves statistics of one class behind. Hsieh et al. (2020) show this to be what breaks training on
divided data, and group normalisation to be the remedy.
"""

from __future__ import annotations

from torch import nn

GROUPS = 8  # of channels, at most


def with_group_norm(network: nn.Module) -> nn.Module:
    """Replace each layer of batch normalisation within `network`; return the network itself."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                channels = layer.num_features
                groups = next(n for n in range(min(GROUPS, channels), 0, -1) if channels % n == 0)
                setattr(parent, name, nn.GroupNorm(groups, channels))
    return network
