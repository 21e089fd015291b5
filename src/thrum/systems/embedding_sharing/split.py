"""Split learning (Vepakomma et al., 2018) of the ID classifier, the clients in turn.

The embedder is frozen, so the first layer that can learn is the first of the ID classifier: it is the
client's, the rest is the server's. A client sends what its layer makes of a batch, and the IDs; the server
trains and sends the gradient back; then the client hands its layer on to the next one. Each update thus
comes from one client, one machine: this is what section IV-B of the embedding-sharing paper holds its own
form against. Server and clients run in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thrum.networks.mobilefacenet import MobileFaceNet
from thrum.systems.embedding_sharing.batches import Batches, loss_of, set_margin
from thrum.systems.embedding_sharing.classifier import Member, Shape
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.fedavg import sites_of
from thrum.systems.embedding_sharing.optimising import adamw, scheduled
from thrum.systems.embedding_sharing.pool import FramePool

Step = tuple[float, int, int]
"""How many epochs are done, which client is next, and the seed of what it draws."""


class Splitting:
    """How one member is trained by clients in turn; the parameters are those of `Averaging`.

    Attributes
    ----------
    link
        What went over the cut, in bytes.
    """

    def __init__(
        self,
        member: Member,
        shape: Shape,
        config: Config,
        pool: FramePool,
        clips: NDArray[np.int64],
    ) -> None:
        self.member, self.config = member, config
        self.clients = sites_of(member, shape, config, pool, clips)
        self.steps = Batches(member, shape, config, pool, clips).steps
        self.epochs = config.epochs
        self.optimizer = adamw(member, config)
        self.scheduler = scheduled(self.optimizer, config, steps=self.steps * self.epochs)
        self.link = Link()
        self._hook = client_layer(member.network).register_forward_hook(self.link.over)

    def batches(self, epoch: int, random: np.random.Generator) -> Iterator[Step]:
        """Yield the steps of an epoch: some at one client, then as many at the next."""
        for step in range(epoch * self.steps, (epoch + 1) * self.steps):
            client = step // self.config.local_steps % len(self.clients)
            yield step / self.steps, client, int(random.integers(1 << 62))

    def loss(self, step: Step) -> Tensor:
        """Return the loss of one client's batch."""
        epoch, client, seed = step
        set_margin(self.member, self.config, epoch)
        random = np.random.default_rng(seed)
        return loss_of(self.member, self.clients[client].drawn(self.config.batch_size, random))

    def finish(self) -> None:
        """Take the link away: from now on the network is in one place."""
        self._hook.remove()


def client_layer(network: nn.Module) -> nn.Module:
    """Return the part of a network that the clients keep: the first layer that can learn."""
    layer = network.features[0] if isinstance(network, MobileFaceNet) else network.project
    assert isinstance(layer, nn.Module)
    return layer


class Link:
    """What lies between client and server: activations go up, their gradients come down."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0

    def over(self, layer: nn.Module, inputs: Any, outputs: Tensor) -> Tensor | None:
        """Send a client's outputs to the server; as a hook of its layer."""
        if not outputs.requires_grad:  # nothing is trained: no one is asked
            return None
        sent: Tensor = _Cut.apply(outputs, self)  # type: ignore[no-untyped-call]
        return sent


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, outputs: Tensor, link: Link) -> Tensor:
        context.link = link
        link.sent_bytes += outputs.numel() * outputs.element_size()
        return outputs.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        context.link.received_bytes += gradient.numel() * gradient.element_size()
        return gradient, None
