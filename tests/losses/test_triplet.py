from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from thrum.losses.triplet import BatchHardTriplet

POINTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0], [4.0, 0.0], [4.0, 3.0], [10.0, 0.0]])
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])
FARTHEST = [3.0, 2.0, 3.0, 6.0, math.sqrt(45), math.sqrt(45)]
NEAREST = [4.0, math.sqrt(17), 4.0, 4.0, 4.0, 10.0]
"""By hand: the farthest of the same class and the nearest of the other, for each of six points."""


def test_six_points_by_hand() -> None:
    gaps = [far - near for far, near in zip(FARTHEST, NEAREST, strict=True)]
    soft = sum(math.log1p(math.exp(gap)) for gap in gaps) / 6
    assert BatchHardTriplet()(POINTS, LABELS).item() == pytest.approx(soft, abs=1e-6)
    hinge = sum(max(0.0, 0.5 + gap) for gap in gaps) / 6
    assert BatchHardTriplet(margin=0.5)(POINTS, LABELS).item() == pytest.approx(hinge, abs=1e-6)


def test_a_hinge_is_nothing_once_classes_are_a_margin_apart() -> None:
    apart = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert BatchHardTriplet(margin=3.0)(apart, labels).item() == 0.0
    assert BatchHardTriplet(margin=3.5)(apart, labels).item() == pytest.approx(0.25)


def test_the_order_of_clips_does_not_matter() -> None:
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    loss = BatchHardTriplet()
    torch.testing.assert_close(loss(POINTS[order], LABELS[order]), loss(POINTS, LABELS))


def test_it_falls_when_the_answer_improves_and_its_gradient_is_right() -> None:
    loss = BatchHardTriplet()
    better = POINTS + 3 * LABELS[:, None] * torch.tensor([1.0, 0.0])
    assert loss(better, LABELS) < loss(POINTS, LABELS)
    points = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def of(embeddings: Tensor) -> Tensor:
        result: Tensor = loss(embeddings, LABELS)
        return result

    assert torch.autograd.gradcheck(of, points)


def test_clips_that_are_one_and_the_same_give_a_finite_gradient() -> None:
    points = torch.zeros(4, 3, requires_grad=True)
    BatchHardTriplet()(points, torch.tensor([0, 0, 1, 1])).backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes in a batch, got only 7"):
        BatchHardTriplet()(torch.randn(3, 2), torch.tensor([7, 7, 7]))
