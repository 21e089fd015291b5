from __future__ import annotations

import math

import pytest
import torch

from thrum.losses.outlier_exposure import OutlierExposure


def fixed(weight: list[list[float]], bias: list[float]) -> OutlierExposure:
    loss = OutlierExposure(len(weight[0]), len(weight))
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.tensor(weight))
        loss.classifier.bias.copy_(torch.tensor(bias))
    return loss


def test_equation_2_by_hand() -> None:
    loss = fixed([[math.log(3.0)]], [0.0])  # a = 3/4 of x = 1, 1/4 of x = -1
    features = torch.tensor([[1.0], [-1.0]])
    rightly = loss(features, torch.tensor([[1.0], [0.0]]))
    assert rightly.item() == pytest.approx(-math.log(3 / 4))
    wrongly = loss(features, torch.tensor([[0], [1]]))
    assert wrongly.item() == pytest.approx(-math.log(1 / 4))
    half = loss(features[:1], torch.tensor([[0.5]]))
    assert half.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_several_targets_are_several_losses() -> None:
    torch.manual_seed(0)
    features, normal = torch.randn(5, 3), torch.eye(5)[:, :2]
    loss = OutlierExposure(3, 2)
    weight, bias = loss.classifier.weight, loss.classifier.bias
    apart = [
        fixed([weight[k].tolist()], [bias[k].item()])(features, normal[:, k : k + 1])
        for k in range(2)
    ]
    torch.testing.assert_close(loss(features, normal), sum(apart) / 2)
    assert loss.logits(features).shape == (5, 2)


def test_it_falls_as_the_answer_improves() -> None:
    torch.manual_seed(0)
    loss = OutlierExposure(4)
    features, normal = torch.randn(6, 4), (torch.arange(6) < 3).float()[:, None]
    value = loss(features, normal)
    value.backward()
    with torch.no_grad():
        for parameter in loss.parameters():
            assert parameter.grad is not None
            parameter -= 0.5 * parameter.grad
    assert loss(features, normal).item() < value.item()


def test_it_stays_finite_where_it_is_surely_wrong() -> None:
    value = fixed([[1000.0]], [0.0])(torch.ones(1, 1), torch.zeros(1, 1))
    assert value.item() == 1000.0
