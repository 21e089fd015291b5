"""What each way of learning together sends, in bytes: counted from what its messages hold.

Only what carries the learning is counted: frames in float16, as sites store and send them; weights,
statistics of layers, activations and gradients in float32. Greetings, checksums and envelopes are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from thrum.errors import ConfigError
from thrum.systems.embedding_sharing.batches import Batches
from thrum.systems.embedding_sharing.classifier import IDClassifier, Member
from thrum.systems.embedding_sharing.fedavg import rounds_of
from thrum.systems.embedding_sharing.fitting import seen_by
from thrum.systems.embedding_sharing.pool import FramePool
from thrum.systems.embedding_sharing.split import client_layer


@dataclass(frozen=True)
class Traffic:
    """Bytes of one site, mean over the sites of a pool.

    Parameters
    ----------
    up
        What it sends: to the server, and in split learning to the next client.
    down
        What it is sent.
    """

    up: float
    down: float


def traffic(pool: FramePool, classifier: IDClassifier) -> Traffic:
    """Return what a site of `pool` sends and is sent until it has a classifier trained as this one."""
    config, sites = classifier.config, len(pool.keys)
    model = sum(_bytes(member) for member in classifier.members)
    if config.training == "pooled":
        return Traffic(sum(2 * frames.size for frames in pool.frames) / sites, model)
    if config.training not in ("fedavg", "split"):
        raise ConfigError(f"training {config.training!r} is a control: nobody sends anything")
    up = down = 0.0
    for number, member in enumerate(classifier.members):
        steps = Batches(member, classifier.shape, config, pool, seen_by(pool, config, number)).steps
        learnt = _bytes(member.network) + _bytes(member.loss)
        if config.training == "fedavg":
            up += rounds_of(config, steps) * learnt
            down += rounds_of(config, steps) * learnt
            continue
        turns = config.epochs * steps / config.local_steps / sites
        layer = client_layer(member.network)
        activations = 4 * config.batch_size * _activations(member, layer, classifier)
        up += turns * (config.local_steps * activations + _bytes(layer))
        down += turns * (config.local_steps * activations + _bytes(layer))
    # The second moments that whiten frames and clips, up; what they come to, down with the model.
    moments = 2 * 4 * len(classifier.members) * pool.dimensions * (pool.dimensions + 3) // 2
    return Traffic(up + moments, down + model)


def _bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


@torch.inference_mode()
def _activations(member: Member, layer: nn.Module, classifier: IDClassifier) -> int:
    """Return how many numbers the client's layer makes of one input."""
    inputs = torch.zeros(1, classifier.shape.frames, classifier.shape.dimensions)
    image = inputs[:, None] if classifier.config.form == "image" else inputs.transpose(1, 2)
    out: torch.Tensor = layer(image)
    return out.numel()
