from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thrum import training
from thrum.errors import ThrumError, UsageError

X = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])


class KilledError(Exception):  # what a kill is to a process
    pass


def fit(
    epochs: int, *, checkpoint: Path | None = None, stop_after: int | None = None, seed: int = 0
):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=4 * 12)

    def batches(epoch: int, random: np.random.Generator) -> Iterator[Tensor]:
        if epoch == stop_after:
            raise KilledError
        yield from torch.from_numpy(random.permutation(64)).split(16)

    def loss_of(rows: Tensor) -> Tensor:
        return (model(X[rows])[:, 0] - Y[rows]).square().mean()

    losses = training.train(
        model,
        batches=batches,
        loss_of=loss_of,
        optimizer=optimizer,
        scheduler=scheduler,
        epochs=epochs,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_seconds=0.0,
        fingerprint="this",
    )
    return model, losses


def test_the_loss_falls_and_the_model_ends_in_evaluation_mode() -> None:
    model, losses = fit(12)
    assert losses[-1] < 0.5 * losses[0]
    assert not model.training


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, losses = fit(12)
    with pytest.raises(KilledError):
        fit(12, checkpoint=tmp_path / "c.safetensors", stop_after=7)
    resumed, resumed_losses = fit(12, checkpoint=tmp_path / "c.safetensors")
    assert resumed_losses == losses
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_seed_decides_all() -> None:
    assert fit(2)[1] == fit(2)[1]
    assert fit(2)[1] != fit(2, seed=1)[1]


def test_a_checkpoint_of_something_else_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    _, losses = fit(3, checkpoint=path)
    path.write_bytes(b"torn by a crash")
    assert fit(3, checkpoint=path)[1] == losses
    content, description = training.storage.load_tensors(path)
    training.storage.save_tensors(path, content, description | {"fingerprint": "that"})
    fit(1, checkpoint=path)
    _, description = training.storage.load_tensors(path)
    assert description["fingerprint"] == "this"


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(ThrumError, match="the loss is nan in epoch 1; lower the learning rate"):
        training.train(
            model,
            batches=lambda *_: [torch.tensor([[float("nan")]])],
            loss_of=lambda batch: model(batch).sum(),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            epochs=1,
            seed=0,
        )


def test_devices() -> None:
    assert training.device_of("cpu").type == "cpu"
    with pytest.raises(UsageError, match="no device is called 'tpu9'"):
        training.device_of("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="PyTorch sees no GPU"):
            training.device_of("cuda")
