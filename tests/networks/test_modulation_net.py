"""What the embedding network hears, in closed form."""

from __future__ import annotations

import math

import torch

from thrum.networks.modulation import RATE_BINS, ModulationNet, statistics

BANDS, FRAMES = 128, 64


def test_the_level_is_halved_in_the_spectrum_and_unheard_by_the_learnt_part() -> None:
    torch.manual_seed(0)
    network = ModulationNet().eval()
    network.fit_axes(torch.randn(300, 256))
    levels = torch.randn(3, FRAMES, BANDS) * 5 - 30
    soft, loud = network(levels), network(levels + 6)
    torch.testing.assert_close(loud[:, :BANDS] - soft[:, :BANDS], torch.full((3, BANDS), 0.3))
    torch.testing.assert_close(loud[:, BANDS:], soft[:, BANDS:], rtol=1e-3, atol=1e-4)


def test_a_modulation_is_heard_at_its_rate_in_its_band() -> None:
    for place, (first, last) in enumerate(RATE_BINS):
        cycles = (first + last - 1) // 2
        levels = torch.zeros(1, FRAMES, BANDS)
        levels[0, :, 40] = 5 * torch.sin(2 * math.pi * cycles * torch.arange(FRAMES) / FRAMES)
        parts = statistics(levels).view(-1, BANDS)  # average, rates, variance
        rates = parts[1 : 1 + len(RATE_BINS)]
        quiet = rates[:, 41]
        assert (rates[:, 40] - quiet).argmax() == place
        assert torch.equal(rates[:, :40], quiet[:, None].expand(-1, 40))


def test_a_variance_is_heard() -> None:
    levels = torch.zeros(1, FRAMES, BANDS)
    levels[0, ::2, 7], levels[0, 1::2, 7] = 3.0, -3.0
    deviation = statistics(levels).view(-1, BANDS)[-1]
    torch.testing.assert_close(deviation[7].item(), math.log(9.1) / 2 - 1)
    torch.testing.assert_close(deviation[8].item(), math.log(0.1) / 2 - 1)


def test_the_axes_are_the_leading_directions() -> None:
    torch.manual_seed(0)
    network = ModulationNet(components=2)
    vectors = torch.randn(500, 256) * 0.01 + 4
    vectors[:, 9] += torch.randn(500)
    vectors[:, 30] += 3 * torch.randn(500)
    network.fit_axes(vectors)
    assert network.axes.abs().argmax(dim=0).tolist() == [30, 9]
    torch.testing.assert_close(network.mean, vectors.mean(dim=0))


def test_gradient_reaches_every_parameter() -> None:
    network = ModulationNet()
    network.project(torch.randn(4, FRAMES, BANDS)).square().mul(torch.rand(4, 256)).sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
