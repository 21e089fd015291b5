"""One plain training loop: seed, device, optimiser, progress, checkpoint, resume.

Every epoch draws its randomness from ``(seed, epoch)`` alone, so that a run that was killed and resumed
ends with the very weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from thrum import storage
from thrum.errors import StorageError, ThrumError, UsageError
from thrum.types import Progress

Batch = TypeVar("Batch")


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
    optimizer: torch.optim.Optimizer,
    epochs: int,
    seed: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
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
        augmentation.
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
    checkpoint
        A file to keep the state in, at most every `checkpoint_seconds`, so that a killed run goes on from
        there. None keeps nothing.
    fingerprint
        What the training depends on; a checkpoint of another fingerprint is not resumed but replaced.
    progress, stage
        Told after each epoch, under the name `stage`.

    Raises
    ------
    ThrumError
        Where the loss is no longer finite.
    """
    losses = _resume(checkpoint, fingerprint, model, optimizer, scheduler) if checkpoint else []
    saved_at = time.monotonic()
    for epoch in range(len(losses), epochs):
        own_seed = epoch_seed(seed, epoch)
        torch.manual_seed(own_seed)  # dropout and the like
        model.train()
        total, count = 0.0, 0
        for batch in batches(epoch, np.random.default_rng(own_seed)):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total, count = total + loss.item(), count + 1
        losses.append(total / max(count, 1))
        if not np.isfinite(losses[-1]):
            raise ThrumError(
                f"{stage}: the loss is {losses[-1]} in epoch {epoch + 1}; lower the learning rate"
            )
        if progress is not None:
            progress(stage, epoch + 1, epochs)
        last = epoch + 1 == epochs
        if checkpoint and (last or time.monotonic() - saved_at > checkpoint_seconds):
            _save(checkpoint, fingerprint, model, optimizer, scheduler, losses)
            saved_at = time.monotonic()
    model.eval()
    return losses


def _save(
    path: Path,
    fingerprint: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    losses: list[float],
) -> None:
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    plain: dict[str, dict[str, Any]] = {}
    state = optimizer.state_dict()
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    description = {
        "fingerprint": fingerprint,
        "losses": losses,
        "optimizer_values": plain,
        "optimizer_groups": state["param_groups"],
        "scheduler": scheduler.state_dict() if scheduler else None,
    }
    storage.save_tensors(path, tensors, description)


def _resume(
    path: Path,
    fingerprint: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
) -> list[float]:
    """Bring model, optimiser and schedule to the checkpoint's state; return its losses."""
    if not path.exists():
        return []
    try:
        tensors, description = storage.load_tensors(path)
    except StorageError:
        return []  # an unreadable checkpoint costs time, nothing else
    if description.get("fingerprint") != fingerprint:
        return []
    model.load_state_dict(
        {key.removeprefix("model."): t for key, t in tensors.items() if key.startswith("model.")}
    )
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in description["optimizer_values"].items()
    }
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": description["optimizer_groups"]})
    if scheduler is not None:
        scheduler.load_state_dict(description["scheduler"])
    losses: list[float] = description["losses"]
    return losses
