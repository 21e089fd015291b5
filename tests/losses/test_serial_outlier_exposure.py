from __future__ import annotations

import math

import torch
from torch import nn

from thrum.losses.serial_outlier_exposure import NormOutlierExposure, SectionExposure


def linear(layer: nn.Linear, weight: list[list[float]]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.zero_()


def test_sections_by_hand() -> None:
    """Two clips of the target and one other; a = σ(±log 3) is 3/4 or 1/4."""
    loss = SectionExposure(2, 2)
    linear(loss.classifier, [[1.0, 0.0], [0.0, 1.0]])
    three = math.log(3)
    embeddings = torch.tensor([[three, -three], [three, three], [9.0, 9.0]])
    sections = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = loss(embeddings, sections, torch.tensor([1.0, 1.0, 0.0]))
    # -(2 log 3/4 + log 1/4 + log 3/4) / (K = 2 · two clips)
    wanted = -(3 * math.log(3 / 4) + math.log(1 / 4)) / 4
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_sections_count_by_the_targets_part_in_a_mixed_clip() -> None:
    loss = SectionExposure(1, 1)
    linear(loss.classifier, [[1.0]])
    embeddings = torch.tensor([[math.log(3)], [-math.log(3)]])
    found = loss(embeddings, torch.ones(2, 1), torch.tensor([1.0, 0.5]))
    wanted = -(math.log(3 / 4) + 0.5 * math.log(1 / 4)) / 1.5
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_without_a_clip_of_the_target_sections_teach_nothing() -> None:
    loss = SectionExposure(3, 2)
    found = loss(torch.randn(4, 3), torch.zeros(4, 2), torch.zeros(4))
    found.backward()
    assert found.item() == 0
    assert not loss.classifier.weight.grad.any()


def test_the_norm_decides_alone() -> None:
    loss = NormOutlierExposure()
    linear(loss.classifier, [[0.5]])
    embeddings = torch.tensor([[3.0, 4.0], [-4.0, 3.0]])
    torch.testing.assert_close(loss.logits(embeddings), torch.full((2, 1), 2.5))
    wanted = math.log(1 + math.exp(-2.5))
    torch.testing.assert_close(loss(embeddings, torch.ones(2, 1)), torch.tensor(wanted))


def test_it_falls_when_the_answer_improves() -> None:
    torch.manual_seed(0)
    loss = SectionExposure(4, 3)
    embeddings, target = torch.randn(6, 4), torch.ones(6)
    sections = torch.eye(3).repeat(2, 1)
    before = loss(embeddings, sections, target)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    before.backward()
    optimizer.step()
    assert loss(embeddings, sections, target) < before
