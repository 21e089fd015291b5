"""One plain training loop: seed, device, optimiser, progress, checkpoint, resume.

Every epoch draws its randomness from ``(seed, epoch)`` alone, and a checkpoint within one keeps the state
of PyTorch's generators, so that a run that was killed and resumed ends with the very weights of one that
was not.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thrum import storage
from thrum.errors import StorageError, ThrumError, UsageError
from thrum.types import Progress

Batch = TypeVar("Batch")
Kind = TypeVar("Kind", bound=Optimizer)
_log = logging.getLogger(__name__)


def uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return an optimiser's class without PyTorch's compiler, which the first of a process would import.

    That is over two seconds of processor time, though nothing is compiled. What `kind` does is the same, to
    the bit: its methods are taken as they stand below the decorators that call the compiler.
    """
    methods = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    found = {name: inspect.unwrap(getattr(kind, name)) for name in methods}
    found["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), found)


@dataclass
class Steps:
    """How many steps of their optimisers trainings took, all together."""

    taken: int = 0


_counted: ContextVar[Steps | None] = ContextVar("steps that are counted", default=None)


@contextmanager
def counting_steps() -> Iterator[Steps]:
    """Count the optimisers' steps of every `train` in the block, those before a resumed one's kill too."""
    token = _counted.set(Steps())
    try:
        yield _counted.get() or Steps()
    finally:
        _counted.reset(token)


def device_of(name: str) -> torch.device:
    """Return the device called `name`: ``auto`` takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called {name!r}; say auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was asked for, but PyTorch sees no GPU; say cpu or auto")
    return device


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's randomness."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def train(
    model: nn.Module,
    *,
    batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    loss_of: Callable[[Batch], Tensor],
    optimizer: Optimizer,
    epochs: int,
    seed: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    validate: Callable[[], float] | None = None,
    averaging: float = 0.0,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 20.0,
    fingerprint: str = "",
    progress: Progress | None = None,
    stage: str = "training",
) -> list[float]:
    """Train `model` and return the mean loss of each epoch.

    Parameters
    ----------
    model
        Trained in place; left in evaluation mode. Everything the loss learns must be part of it.
    batches
        The batches of an epoch, from its number (from 0) and a generator that decides their order and
        augmentation. A resumed run draws those that are done once more, but not their losses.
    loss_of
        The loss of one batch, a scalar.
    optimizer
        Over the parameters of `model`.
    epochs
        How many times to go over the data.
    seed
        Decides everything random.
    scheduler
        Stepped after each batch.
    validate
        The loss of what is held out, asked for after each epoch with the model in evaluation mode; the model
        ends as it was when that was lowest. None ends with the last epoch.
    averaging
        The decay β of the running mean of weights and buffers over steps, β m + (1 - β) w, that the model
        ends with; in the first steps it is lower, (1 + n) / (10 + n), so that the beginning is forgotten. 0
        ends with the weights themselves. Where there is `validate`, that decides.
    checkpoint
        A file to keep the state in, between two batches, at most every `checkpoint_seconds` (more
        where writing takes more than a second), and at the end, so that a killed run goes on from there.
        None keeps nothing. Files of versions that kept whole epochs alone are understood.
    fingerprint
        What the training depends on; a checkpoint of another fingerprint is not resumed but replaced.
    progress, stage
        Told after each epoch, under the name `stage`.

    Raises
    ------
    ThrumError
        Where the loss is no longer finite.
    """
    kept = checkpoint and _Checkpoint(checkpoint, fingerprint, model, optimizer, scheduler)
    done = kept.load() if kept else _Done()
    saved_at, saving_seconds = time.monotonic(), 0.0
    for epoch in range(len(done.losses), epochs):
        own_seed = epoch_seed(seed, epoch)
        torch.manual_seed(own_seed)  # dropout and the like
        model.train()
        left = iter(batches(epoch, np.random.default_rng(own_seed)))
        if done.batches:
            for _ in islice(left, done.batches):
                pass
            _set_generators(model, done.generators)
        for batch in left:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            value = loss.item()
            if not np.isfinite(value):
                raise ThrumError(
                    f"{stage}: the loss is {value} in epoch {epoch + 1}; lower the learning rate"
                )
            done.batches, done.total = done.batches + 1, done.total + value
            done.steps += 1
            if averaging:
                done.average_over(model, averaging)
            started = time.monotonic()
            # The state of a large network is a gigabyte: writing it may take a twentieth of the time.
            if kept and started - saved_at > checkpoint_seconds * max(1.0, saving_seconds):
                kept.save(done)
                saved_at = time.monotonic()
                saving_seconds = saved_at - started
        losses = [*done.losses, done.total / max(done.batches, 1)]
        done = _Done(losses, steps=done.steps, best=done.best, mean=done.mean)
        if validate is not None:
            model.eval()
            done.keep_best(model, validate())
        if progress is not None:
            progress(stage, epoch + 1, epochs)
        if kept and epoch + 1 == epochs:
            kept.save(done)
    if ending := done.best.tensors or done.mean:
        model.load_state_dict(ending)
    model.eval()
    if (counted := _counted.get()) is not None:
        counted.taken += done.steps
    return done.losses


@dataclass
class _Best:
    """The model as it was when the loss of what is held out was lowest."""

    loss: float = float("inf")
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class _Done:
    """How far a training is: the mean loss of each whole epoch, and its place within the next."""

    losses: list[float] = field(default_factory=list)
    batches: int = 0
    total: float = 0.0  # the sum of these batches' losses
    steps: int = 0  # of the optimiser, since the beginning
    generators: dict[str, Tensor] = field(default_factory=dict)  # after them, read from a file
    best: _Best = field(default_factory=_Best)
    mean: dict[str, Tensor] = field(default_factory=dict)  # of weights and buffers, where averaged

    @torch.no_grad()
    def average_over(self, model: nn.Module, decay: float) -> None:
        """Move the mean towards what the model is after a step."""
        own = model.state_dict()
        if not self.mean:
            self.mean = {name: value.detach().clone() for name, value in own.items()}
            return
        share = 1 - min(decay, (1 + self.steps) / (10 + self.steps))
        for name, value in own.items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, share)
            else:
                self.mean[name].copy_(value)

    def keep_best(self, model: nn.Module, loss: float) -> None:
        """Keep what the model is now, if nothing was better."""
        if loss < self.best.loss:
            state = {name: value.detach().clone() for name, value in model.state_dict().items()}
            self.best = _Best(loss, state)


@dataclass(frozen=True)
class _Checkpoint:
    """The file that the state of a training is kept in."""

    path: Path
    fingerprint: str
    model: nn.Module
    optimizer: Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None

    def save(self, done: _Done) -> None:
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        for kind, generator in _generators(self.model).items():
            tensors[f"generator.{kind}"] = generator
        for key, value in done.best.tensors.items():
            tensors[f"best.{key}"] = value
        for key, value in done.mean.items():
            tensors[f"mean.{key}"] = value
        plain: dict[str, dict[str, Any]] = {}
        state = self.optimizer.state_dict()
        for index, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
                else:
                    plain.setdefault(str(index), {})[key] = value
        description = {
            "fingerprint": self.fingerprint,
            "losses": done.losses,
            "batches": done.batches,
            "total": done.total,
            "steps": done.steps,
            "best": done.best.loss if done.best.tensors else None,
            "optimizer_values": plain,
            "optimizer_groups": state["param_groups"],
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
        }
        storage.save_tensors(self.path, tensors, description)

    def load(self) -> _Done:
        """Bring model, optimiser and schedule to the state that is kept; return how far it is."""
        if not self.path.exists():
            return _Done()
        try:
            tensors, description = storage.load_tensors(self.path)
        except StorageError as error:  # it costs time, nothing else
            _log.warning("%s; training begins anew", error)
            return _Done()
        if description.get("fingerprint") != self.fingerprint:
            return _Done()
        self.model.load_state_dict(storage.under(tensors, "model"))
        state: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in description["optimizer_values"].items()
        }
        for name, tensor in storage.under(tensors, "optimizer").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        groups = description["optimizer_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(description["scheduler"])
        return _Done(
            description["losses"],
            description.get("batches", 0),
            description.get("total", 0.0),
            description.get("steps", 0),
            storage.under(tensors, "generator"),
            _Best(description["best"], storage.under(tensors, "best"))
            if description.get("best") is not None
            else _Best(),
            storage.under(tensors, "mean"),
        )


def _generators(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of the generators that `model` draws from, by kind of device."""
    states = {"cpu": torch.get_rng_state()}
    device = next(model.parameters()).device
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_generators(model: nn.Module, states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    device = next(model.parameters()).device
    if device.type == "cuda" and "cuda" in states:  # not where it ran on a CPU so far
        torch.cuda.set_rng_state(states["cuda"], device)
