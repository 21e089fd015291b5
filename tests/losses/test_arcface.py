from __future__ import annotations

import math

import pytest
import torch

from thrum.losses.arcface import ArcFace


def two_classes(*, scale: float = 2.0, margin: float = 0.5) -> ArcFace:
    loss = ArcFace(2, 2, scale=scale, margin=margin)
    with torch.no_grad():
        loss.anchors.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))  # lengths must not matter
    return loss


def test_by_hand() -> None:
    angle = 0.3  # from the first anchor; the second is at a right angle
    embedding = 7.0 * torch.tensor([[math.cos(angle), math.sin(angle)]])
    own, other = 2 * math.cos(angle + 0.5), 2 * math.sin(angle)
    wanted = -math.log(math.exp(own) / (math.exp(own) + math.exp(other)))
    assert two_classes()(embedding, torch.tensor([0])).item() == pytest.approx(wanted, abs=1e-6)


def test_without_margin_it_is_softmax_over_cosines() -> None:
    loss = two_classes(margin=0.0)
    embeddings = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1] * 4)
    wanted = torch.nn.functional.cross_entropy(2 * loss.cosines(embeddings), labels)
    torch.testing.assert_close(loss(embeddings, labels), wanted, atol=1e-5, rtol=0)


def test_beyond_half_a_turn_the_penalty_goes_on_falling() -> None:
    loss = two_classes(margin=1.28)
    angles = torch.linspace(0, math.pi - 0.01, 200)
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1)
    logits = loss.logits(embeddings, torch.zeros(200, dtype=torch.long))[:, 0]
    assert bool((logits.diff() < 0).all())


def test_beyond_half_a_turn_the_penalty_is_a_straight_line_in_the_cosine() -> None:
    """Beyond π − m: s·(cos θ − m sin m), which the margin's own sine scales and nothing else."""
    margin, scale = 1.28, 2.0
    loss = two_classes(scale=scale, margin=margin)
    for angle in (math.pi - margin + 0.01, 2.5, 3.1):
        embedding = torch.tensor([[math.cos(angle), math.sin(angle)]])
        (own, other) = loss.logits(embedding, torch.tensor([0]))[0].tolist()
        assert own == pytest.approx(scale * (math.cos(angle) - margin * math.sin(margin)), abs=1e-5)
        assert other == pytest.approx(scale * math.sin(angle), abs=1e-5)
    before = math.pi - margin - 0.01
    embedding = torch.tensor([[math.cos(before), math.sin(before)]])
    own = loss.logits(embedding, torch.tensor([0]))[0, 0].item()
    assert own == pytest.approx(scale * math.cos(before + margin), abs=1e-5)


def test_scale_and_margin_are_the_authors_unless_told_otherwise() -> None:
    loss = ArcFace(2, 2)
    with torch.no_grad():
        loss.anchors.copy_(torch.eye(2))
    embedding = torch.tensor([[math.cos(0.3), math.sin(0.3)]])
    wanted = [30 * math.cos(0.3 + 0.5), 30 * math.sin(0.3)]
    assert loss.logits(embedding, torch.tensor([0]))[0].tolist() == pytest.approx(wanted, abs=1e-4)


def test_soft_targets_are_hard_ones_where_they_are_whole() -> None:
    loss = two_classes()
    embeddings = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 1, 0, 1])
    parts = torch.nn.functional.one_hot(labels, 2).float()
    torch.testing.assert_close(loss(embeddings, parts), loss(embeddings, labels))


def test_it_falls_when_the_answer_improves_and_its_gradient_is_right() -> None:
    loss = two_classes().double()
    label = torch.tensor([0])
    near, far = torch.tensor([[1.0, 0.1]]).double(), torch.tensor([[1.0, 0.9]]).double()
    assert loss(near, label) < loss(far, label)
    embeddings = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: loss(e, torch.tensor([0, 1, 0])), embeddings)
