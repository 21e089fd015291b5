from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thrum import training
from thrum.errors import ThrumError, UsageError

X = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])


Place = tuple[int, int]  # an epoch, a batch in it
BATCHES = 4  # an epoch


class KilledError(Exception):  # what a kill is to a process
    pass


def fit(
    epochs: int,
    *,
    checkpoint: Path | None = None,
    seconds: float = 0.0,
    killed_at: Place | None = None,
    seen: list[Place] | None = None,
    seed: int = 0,
    optimizer: str = "AdamW",
    device: str = "cpu",
    held_out: list[float] | None = None,
    averaging: float = 0.0,
    after_steps: list[dict[str, Tensor]] | None = None,
    uncompiled: bool = False,
):
    """Train a small model; `seen` gets the place of each loss that is computed."""
    torch.manual_seed(1)
    layers = nn.Linear(5, 8), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.Linear(8, 1)
    model = nn.Sequential(*layers).to(device)
    settings = {"momentum": 0.9} if optimizer == "SGD" else {}
    kind = getattr(torch.optim, optimizer)
    stepped = (training.uncompiled(kind) if uncompiled else kind)(
        model.parameters(), lr=0.01, **settings
    )

    def batches(epoch: int, random: np.random.Generator) -> Iterator[tuple[Place, Tensor, Tensor]]:
        for number, rows in enumerate(torch.from_numpy(random.permutation(64)).split(16)):
            yield (epoch, number), rows, 0.01 * torch.randn(16, 5)  # PyTorch's generator plays in

    def loss_of(batch: tuple[Place, Tensor, Tensor]) -> Tensor:
        place, rows, noise = batch
        if seen is not None:
            seen.append(place)
        if place == killed_at:
            raise KilledError
        if after_steps is not None:
            after_steps.append({n: v.clone() for n, v in model.state_dict().items()})
        outputs = model((X[rows] + noise).to(device))[:, 0]
        return (outputs - Y[rows].to(device)).square().mean()

    def validate() -> float:
        assert not model.training
        assert held_out is not None
        weight = model[0].weight.detach().sum().item()
        told.append(weight)
        return held_out[len(told) - 1] if len(held_out) > 1 else abs(weight - held_out[0])

    told: list[float] = []
    losses = training.train(
        model,
        batches=batches,
        loss_of=loss_of,
        optimizer=stepped,
        scheduler=torch.optim.lr_scheduler.OneCycleLR(stepped, 0.01, total_steps=BATCHES * 12),
        epochs=epochs,
        seed=seed,
        validate=validate if held_out is not None else None,
        averaging=averaging,
        checkpoint=checkpoint,
        checkpoint_seconds=seconds,
        fingerprint="this",
    )
    return model, losses


def assert_same(model: nn.Module, other: nn.Module) -> None:
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def places(epochs: int, *, start: Place = (0, 0)) -> list[Place]:
    every = [(epoch, number) for epoch in range(epochs) for number in range(BATCHES)]
    return every[every.index(start) :]


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_without_the_compiler_an_optimiser_does_the_same(optimizer: str, tmp_path: Path) -> None:
    whole, losses = fit(3, optimizer=optimizer)
    model, found = fit(3, optimizer=optimizer, uncompiled=True)
    assert found == losses
    assert_same(model, whole)
    path = tmp_path / "checkpoint"  # and one reads what the other has written
    with pytest.raises(KilledError):
        fit(3, optimizer=optimizer, uncompiled=True, checkpoint=path, killed_at=(1, 2))
    assert_same(fit(3, optimizer=optimizer, checkpoint=path)[0], whole)


def test_training_does_not_import_the_compiler() -> None:
    """Over two seconds of processor time for each process that trains."""
    program = (
        "import sys, torch; from thrum.training import train, uncompiled; "
        "model = torch.nn.Linear(2, 1); x = torch.ones(4, 2); "
        "optimizer = uncompiled(torch.optim.Adam)(model.parameters(), lr=0.1, fused=True); "
        "schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9); "
        "train(model, batches=lambda *_: [x], loss_of=lambda x: model(x).mean(), optimizer=optimizer, "
        "scheduler=schedule, epochs=2, seed=0, averaging=0.9); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


def test_steps_of_all_trainings_are_counted() -> None:
    with training.counting_steps() as steps:
        fit(2)
        fit(1)
    fit(1)
    assert steps.taken == 3 * BATCHES


def test_the_loss_falls_and_the_model_ends_in_evaluation_mode() -> None:
    model, losses = fit(12)
    assert losses[-1] < 0.5 * losses[0]
    assert not model.training


@pytest.mark.parametrize("kills", [[(0, 1)], [(2, 0)], [(1, 1), (1, 3), (4, 2)]])
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    tmp_path: Path, kills: list[Place], optimizer: str
) -> None:
    whole, losses = fit(6, optimizer=optimizer)
    settings = {"checkpoint": tmp_path / "c.safetensors", "optimizer": optimizer}
    for place in kills:
        with pytest.raises(KilledError):
            fit(6, killed_at=place, **settings)
    seen: list[Place] = []
    resumed, resumed_losses = fit(6, seen=seen, **settings)
    assert resumed_losses == losses
    assert_same(resumed, whole)
    assert seen == places(6, start=kills[-1])  # what is done is not computed again
    with training.counting_steps() as steps:
        assert fit(6, seen=seen, **settings)[1] == losses
    assert steps.taken == 6 * BATCHES  # though none of them now
    assert seen == places(6, start=kills[-1])  # nor is anything after the end


def test_a_model_ends_as_the_running_mean_of_its_steps() -> None:
    states: list[dict[str, Tensor]] = []
    last, _ = fit(3, after_steps=states)
    states = [
        *states[1:],
        last.state_dict(),
    ]  # what was seen before a step is what the one before left
    mean, _ = fit(3, averaging=0.8)
    name = "0.weight"
    wanted = states[0][name]
    for number, state in enumerate(states[1:], start=2):
        decay = min(0.8, (1 + number) / (10 + number))
        wanted = decay * wanted + (1 - decay) * state[name]
    torch.testing.assert_close(mean.state_dict()[name], wanted)
    assert not torch.allclose(wanted, states[-1][name], rtol=1e-3)
    running = mean.state_dict()["2.running_mean"]
    assert not torch.equal(running, last.state_dict()["2.running_mean"])  # buffers, too


@pytest.mark.parametrize("place", [(1, 2), (3, 0)])
def test_a_killed_run_goes_on_with_its_mean(place: Place, tmp_path: Path) -> None:
    settings = {"checkpoint": tmp_path / "c.safetensors", "averaging": 0.8}
    with pytest.raises(KilledError):
        fit(4, killed_at=place, **settings)
    assert_same(fit(4, **settings)[0], fit(4, averaging=0.8)[0])


def test_a_model_ends_as_it_was_when_what_is_held_out_was_best(tmp_path: Path) -> None:
    after_two, _ = fit(2)
    best, losses = fit(5, held_out=[3.0, 1.0, 2.0, 1.0, 4.0])  # of equals, the first
    assert len(losses) == 5
    assert_same(best, after_two)
    assert not best.training


@pytest.mark.parametrize("place", [(1, 2), (4, 3)])
def test_a_killed_run_knows_what_was_best(place: Place, tmp_path: Path) -> None:
    held_out = [fit(2)[0][0].weight.detach().sum().item()]  # lowest, and 0, after two epochs
    settings = {"checkpoint": tmp_path / "c.safetensors", "held_out": held_out}
    with pytest.raises(KilledError):
        fit(5, killed_at=place, **settings)
    assert_same(fit(5, **settings)[0], fit(2)[0])
    assert_same(fit(5, **settings)[0], fit(2)[0])  # nor after the end


@pytest.mark.gpu
def test_a_killed_run_on_a_gpu_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    whole, losses = fit(3, device="cuda")
    settings = {"checkpoint": tmp_path / "c.safetensors", "device": "cuda"}
    with pytest.raises(KilledError):
        fit(3, killed_at=(1, 2), **settings)
    resumed, resumed_losses = fit(3, **settings)
    assert resumed_losses == losses
    assert_same(resumed, whole)


def test_so_much_time_is_between_two_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Place] = []
    saved: list[int] = []
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: 8.0 * len(seen)))
    monkeypatch.setattr(training.storage, "save_tensors", lambda *_: saved.append(len(seen)))
    fit(2, checkpoint=tmp_path / "c.safetensors", seconds=20.0, seen=seen)
    assert saved == [3, 6, 8]  # batches of 8 s


@pytest.mark.parametrize("batches_kept", [True, False])
def test_a_training_goes_on_from_the_end_of_an_epoch(tmp_path: Path, batches_kept: bool) -> None:
    path = tmp_path / "c.safetensors"
    fit(3, checkpoint=path)
    if not batches_kept:  # as in versions that kept whole epochs alone
        tensors, description = training.storage.load_tensors(path)
        training.storage.save_tensors(
            path,
            {name: value for name, value in tensors.items() if not name.startswith("generator.")},
            {
                name: value
                for name, value in description.items()
                if name not in {"batches", "total"}
            },
        )
    seen: list[Place] = []
    model, losses = fit(6, checkpoint=path, seen=seen)
    whole, whole_losses = fit(6)
    assert losses == whole_losses
    assert_same(model, whole)
    assert seen == places(6, start=(3, 0))


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


def test_a_loss_that_is_not_finite_is_an_error_at_once(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    path = tmp_path / "c.safetensors"
    with pytest.raises(ThrumError, match="the loss is nan in epoch 1; lower the learning rate"):
        training.train(
            model,
            batches=lambda *_: torch.tensor([1.0, float("nan"), 1.0]).reshape(3, 1, 1),
            loss_of=lambda batch: model(batch).sum(),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            epochs=1,
            seed=0,
            checkpoint=path,
            checkpoint_seconds=0.0,
        )
    tensors, description = training.storage.load_tensors(path)
    assert description["batches"] == 1
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_devices() -> None:
    assert training.device_of("cpu").type == "cpu"
    with pytest.raises(UsageError, match="no device is called 'tpu9'"):
        training.device_of("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="PyTorch sees no GPU"):
            training.device_of("cuda")
