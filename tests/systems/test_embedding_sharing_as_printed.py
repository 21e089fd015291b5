"""What section V-B of the embedding-sharing paper prints, each by what it does and not by its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import machines
from thrum.embedders import EMBEDDERS
from thrum.systems.embedding_sharing import Config, FramePool, IDClassifier, train_classifier
from thrum.systems.embedding_sharing import fitting as fitting_of_members


def trained(config: Config, *, stack_frames: int = 8, stack_hop: int = 1) -> IDClassifier:
    random = np.random.default_rng(0)
    pool = FramePool({("Press", f"id_0{n}"): machines.frames(random, n, clips=2) for n in range(2)})
    return train_classifier(
        pool, config, stack_frames=stack_frames, stack_hop=stack_hop, device="cpu"
    )


@pytest.mark.parametrize(
    ("embedder", "frames", "overlap"),
    [("yamnet", 8, 7), ("panns", 32, 28), ("openl3", 32, 28), ("openl3_6144", 32, 28)],
)
def test_stacked_frames(embedder: str, frames: int, overlap: int) -> None:
    found = EMBEDDERS.load(embedder)
    assert (found.stack_frames, found.stack_frames - found.stack_hop) == (frames, overlap)


def test_the_classifier_sees_the_frames_that_the_embedder_stacks() -> None:
    untrained = trained(Config(training="untrained"), stack_frames=8, stack_hop=3)
    assert (untrained.shape.frames, untrained.shape.hop) == (8, 3)
    assert untrained.shape.starts(15).tolist() == [0, 3, 6]


def test_the_optimiser_is_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first step is the rate times the gradient's sign, beside a decay that it does not see."""
    config = Config(epochs=1, batch_size=1024, learning_rate=0.01, weight_decay=0.5)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    real = fitting_of_members.train

    def watched(member: torch.nn.Module, **settings: object) -> list[float]:
        before = {name: value.detach().clone() for name, value in member.named_parameters()}
        losses = real(member, **settings)  # type: ignore[arg-type]
        for name, value in member.named_parameters():
            assert value.grad is not None
            seen[name] = before[name], value.grad.clone()
        return losses

    monkeypatch.setattr(fitting_of_members, "train", watched)
    (member,) = trained(config).members
    for name, after in member.named_parameters():
        before, gradient = seen[name]
        decay = 0.0 if name.startswith("loss") else 0.5
        wanted = before * (1 - 0.01 * decay) - 0.01 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(after.detach(), wanted, atol=1e-5, rtol=1e-4)
    assert any(name.startswith("loss") for name in seen)


def test_the_loss_is_arcface_at_its_authors_scale_and_margin() -> None:
    (member,) = trained(Config(training="untrained")).members
    assert (member.loss.scale, member.loss.margin) == (30.0, 0.5)
