"""Federated averaging (McMahan et al., 2017) and FedProx (Li et al., 2020) of the ID classifier.

The sites of the embedding-sharing paper, one machine ID each, have the same frames and the same network,
but no frame leaves a site: in every round each trains the server's weights on its own clips, and the server
averages what they send back, layers of batch normalisation and their statistics included. The work is that
of the pooled training: as many steps, and the sites' batches are together as large as one of its. What
whitens the frames is measured on the pool, as if the sites had sent their second moments. Server and sites
run in this process.

To the training loop a round is one step of gradient descent at rate one, whose gradient is what the mean of
the sites' weights moved by (Reddi et al., 2021): it ends at that mean.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.systems.embedding_sharing.batches import Batch, Batches, loss_of, set_margin
from thrum.systems.embedding_sharing.classifier import Member, Shape
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.optimising import rate_factor
from thrum.systems.embedding_sharing.pool import FramePool
from thrum.training import uncompiled

Round = tuple[int, int]
"""Its number, and the seed of what the sites draw in it."""


class Averaging:
    """How one member is trained by sites that share weights alone.

    Parameters
    ----------
    member
        The network, whose whitening is measured already.
    shape, config
        Of its inputs, and how it is trained.
    pool
        The embeddings of all sites; one machine ID is one site.
    clips
        Those clips of the pool that the member sees.
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
        self.local = copy.deepcopy(member)
        self.sites = sites_of(member, shape, config, pool, clips)
        weights = np.array([site.weight for site in self.sites])
        self.shares = [float(share) for share in weights / weights.sum()]
        self.batch_size = local_batch_size(config, len(self.sites))
        steps = Batches(member, shape, config, pool, clips).steps
        self.rounds = rounds_of(config, steps)
        self.epochs = min(config.epochs, self.rounds)
        self.optimizer = uncompiled(torch.optim.SGD)(member.parameters(), lr=1.0)
        self.scheduler = None

    def batches(self, epoch: int, random: np.random.Generator) -> Iterator[Round]:
        """Yield the rounds of an epoch."""
        for number in np.array_split(np.arange(self.rounds), self.epochs)[epoch]:
            yield int(number), int(random.integers(1 << 62))

    def loss(self, one: Round) -> Tensor:
        """Return the mean loss at the sites in a round; its gradient is what their mean moved by."""
        number, seed = one
        random = np.random.default_rng(seed)
        set_margin(self.local, self.config, self.config.epochs * number / self.rounds)
        rate = self.config.local_learning_rate
        if self.config.schedule == "cosine":
            rate *= rate_factor(number, self.rounds)
        before = [parameter.detach().clone() for parameter in self.member.parameters()]
        moved = [torch.zeros_like(own) for own in before]
        buffers: dict[str, Tensor] = {}
        total = 0.0
        for site, share in zip(self.sites, self.shares, strict=True):
            drawn = [site.drawn(self.batch_size, random) for _ in range(self.config.local_steps)]
            self.local.load_state_dict(self.member.state_dict())
            total += share * descend(self.local, drawn, rate=rate, proximal=self.config.proximal)
            for way, start, end in zip(moved, before, self.local.parameters(), strict=True):
                way += share * (start - end.detach())
            for name, value in self.local.network.named_buffers():
                buffers[name] = buffers.get(name, 0) + share * value.double()
        for name, buffer in self.member.network.named_buffers():
            buffer.copy_(buffers[name])
        pairs = zip(self.member.parameters(), moved, strict=True)
        inner = torch.stack([(parameter * way).sum() for parameter, way in pairs]).sum()
        return inner - inner.detach() + total

    def finish(self) -> None:
        """Nothing is left to do."""


def descend(member: Member, batches: Sequence[Batch], *, rate: float, proximal: float) -> float:
    """Train one site's copy by a step of gradient descent a batch; return its mean loss.

    With `proximal` μ, FedProx's μ/2 · |w − w_server|² is added to each loss.
    """
    member.train()
    start = [parameter.detach().clone() for parameter in member.parameters()]
    optimizer = uncompiled(torch.optim.SGD)(member.parameters(), lr=rate)
    total = 0.0
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(member, batch)
        total += loss.item() / len(batches)
        if proximal:
            pairs = zip(member.parameters(), start, strict=True)
            drift = torch.stack([(own - before).square().sum() for own, before in pairs]).sum()
            loss = loss + proximal / 2 * drift
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return total


def sites_of(
    member: Member, shape: Shape, config: Config, pool: FramePool, clips: NDArray[np.int64]
) -> list[Batches]:
    """Return the batches of each machine ID that has some of `clips`."""
    labels = pool.labels[clips]
    return [
        Batches(member, shape, config, pool, clips[labels == label]) for label in np.unique(labels)
    ]


def local_batch_size(config: Config, sites: int) -> int:
    """Return how many inputs a site's batch has: its part of a pooled one, at least two."""
    return max(2, config.batch_size // sites)


def rounds_of(config: Config, steps: int) -> int:
    """Return how many rounds there are, where an epoch of the pooled training has `steps`."""
    return math.ceil(config.epochs * steps / config.local_steps)
