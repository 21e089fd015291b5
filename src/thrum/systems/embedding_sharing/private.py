r"""Networks of which each clip is a secret: DP-SGD (Abadi et al., 2016), by opacus.

A step takes every clip with the same chance, by itself (Poisson sampling); each clip's gradient is brought to
length `clip_norm` at most, and noise of :math:`\sigma` times that is added to their sum. What this costs is
counted by Rényi orders (Mironov, 2017; Mironov, Talwar and Zhang, 2019), as opacus does.

What is protected is one clip: whoever has the networks can hardly tell whether it was trained on or left
blank. How many clips a machine has, and that it takes part, is not.
"""

from __future__ import annotations

import importlib.util
import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from thrum.errors import UsageError
from thrum.systems.embedding_sharing.batches import Batch, Batches, set_margin
from thrum.systems.embedding_sharing.classifier import Member, Shape
from thrum.systems.embedding_sharing.config import Config
from thrum.systems.embedding_sharing.optimising import adamw, scheduled
from thrum.systems.embedding_sharing.pool import FramePool

ORDERS = (1.25, 1.5, 1.75, *range(2, 65), 80, 96, 128, 192, 256, 512, 1024)
"""Rényi orders: opacus' fractional ones take minutes where ε is large and give 2 % less noise there."""
PRECISION = 1e-3
"""Of ε, by which less may be spent than is allowed."""


@dataclass(frozen=True)
class Cost:
    """What training cost each clip.

    Parameters
    ----------
    noise_multiplier
        σ, of `clip_norm`.
    sample_rate
        The chance of a clip to be in a step.
    steps
        Those that can see one clip, of all networks together.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int


def require_opacus(config: Config) -> None:
    """Raise a `UsageError` where training is to be private and opacus is not installed."""
    if config.dp_epsilon is not None and importlib.util.find_spec("opacus") is None:
        raise UsageError(
            f"dp_epsilon is {config.dp_epsilon:g}, and networks are trained so by the package opacus, which "
            f"is missing: pip install 'thrum[dp]'"
        )


def cost_of(config: Config, pool: FramePool) -> Cost:
    """Return the least noise with which all networks together cost a clip `dp_epsilon`.

    A clip is seen by all networks but one; by all, where its machine has no other.
    """
    from opacus.accountants.utils import get_noise_multiplier

    assert config.dp_epsilon is not None
    counts = np.bincount(pool.labels)
    shared = config.members > 1 and counts.min() > 1
    networks = config.members - 1 if shared else config.members
    fewest = len(pool) - (int(np.ceil(counts / config.members).sum()) if shared else 0)
    rate = min(1.0, config.batch_size / fewest)
    steps = networks * steps_of(config, len(pool)) * config.epochs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order")  # still a bound
        sigma = get_noise_multiplier(
            target_epsilon=config.dp_epsilon,
            target_delta=config.dp_delta,
            sample_rate=rate,
            steps=steps,
            accountant="rdp",
            epsilon_tolerance=PRECISION * config.dp_epsilon,
            alphas=ORDERS,
        )
    return Cost(sigma, rate, steps)


def epsilon_of(costs: Sequence[Cost], delta: float) -> float:
    """Return what several trainings cost a clip together, as ε."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(one.noise_multiplier, one.sample_rate, one.steps) for one in costs]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order")
        return float(accountant.get_epsilon(delta=delta, alphas=ORDERS))


def steps_of(config: Config, clips: int) -> int:
    """Return the steps of an epoch: one pass over the clips of all machines."""
    return max(1, round(clips / config.batch_size))


class Private:
    """How one member is trained so that each clip stays a secret.

    Parameters
    ----------
    member, shape, config, pool, clips
        Those of `thrum.systems.embedding_sharing.fitting.Pooled`.
    cost
        Of all members together.
    """

    def __init__(
        self,
        member: Member,
        shape: Shape,
        config: Config,
        pool: FramePool,
        clips: NDArray[np.int64],
        *,
        cost: Cost,
    ) -> None:
        from opacus.optimizers import DPOptimizer

        self.member = member
        self.config = config
        self.epochs = config.epochs
        self.cost = cost
        self._drawn = Batches(member, shape, config, pool, clips)
        self._steps = steps_of(config, len(pool))
        plain = adamw(member, config)
        self.optimizer: torch.optim.Optimizer = DPOptimizer(
            plain,
            noise_multiplier=cost.noise_multiplier,
            max_grad_norm=config.clip_norm,
            expected_batch_size=cost.sample_rate * len(clips),
        )
        self.scheduler = scheduled(plain, config, steps=self._steps * config.epochs)

    @staticmethod
    def seed() -> int:
        """Return a seed that nobody knows: who knew the noise could take it off."""
        return secrets.randbits(62)

    def batches(self, epoch: int, random: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch: every clip by chance, so that some are empty."""
        set_margin(self.member, self.config, epoch)
        for _ in range(self._steps):
            drawn = random.random(len(self._drawn.frames)) < self.cost.sample_rate
            yield self._drawn.of_clips(np.flatnonzero(drawn), random)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch; each clip's own gradient is left where opacus looks for it."""
        network, anchors = self.member.network, self.member.loss
        named = [dict(network.named_parameters()), dict(anchors.named_parameters())]
        device = anchors.anchors.device
        inputs, targets = (tensor.to(device) for tensor in batch)

        def of_one(parameters: list[dict[str, Tensor]], x: Tensor, target: Tensor) -> Tensor:
            embedded = functional_call(network, parameters[0], (x[None],))
            found: Tensor = functional_call(anchors, parameters[1], (embedded, target[None]))
            return found

        losses = torch.zeros(1, device=device)
        if len(inputs):
            detached = [{name: own.detach() for name, own in one.items()} for one in named]
            each = vmap(grad_and_value(of_one), in_dims=(None, 0, 0))
            gradients, losses = each(detached, inputs, targets)
        for place, own in enumerate(named):
            for name, parameter in own.items():
                parameter.grad_sample = (  # type: ignore[attr-defined]
                    gradients[place][name]
                    if len(inputs)
                    else parameter.new_zeros((0, *parameter.shape))
                )
        # What `thrum.training.train` goes back through: nothing, the gradients are there.
        return losses.mean().requires_grad_()

    def finish(self) -> None:
        """Forget the gradients of single clips."""
        for parameter in self.member.parameters():
            parameter.grad_sample = parameter.summed_grad = None  # type: ignore[attr-defined]
