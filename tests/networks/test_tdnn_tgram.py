from __future__ import annotations

import pytest
import torch
from torch import nn

from thrum.embedders.logmel import LogMel
from thrum.networks.tdnn import TDNN, VARIANCE_FLOOR
from thrum.networks.tgram import TgramNet, TimeNorm


def small_tdnn() -> TDNN:
    torch.manual_seed(0)
    return TDNN(6, width=8, pooled_width=10, embedding_size=5)


def test_the_sizes_are_those_of_the_x_vector() -> None:
    network = TDNN(24)
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if p.ndim > 1]
    assert shapes == [
        (512, 24, 5),
        (512, 512, 3),
        (512, 512, 3),
        (512, 512, 1),
        (1500, 512, 1),
        (512, 3000),
    ]
    assert network.embedding_size == 512


@pytest.mark.parametrize("frames", [1, 2, 15, 40])
def test_an_embedding_of_any_length(frames: int) -> None:
    network = small_tdnn().eval()
    assert network(torch.randn(3, 6, frames)).shape == (3, 5)


def test_the_context_of_a_frame_is_seven_before_and_seven_after() -> None:
    network = small_tdnn().eval()
    features = torch.randn(1, 6, 41)
    moved = features.clone()
    moved[:, :, 20] += 1.0
    changed = (network.frames(features) != network.frames(moved)).any(dim=1)[0]
    assert torch.nonzero(changed).flatten().tolist() == list(range(13, 28))


def test_what_is_pooled_is_mean_and_deviation() -> None:
    network = small_tdnn().eval()
    features = torch.randn(2, 6, 30)
    maps = network.frames(features)
    deviation = (maps.var(dim=2, correction=0) + VARIANCE_FLOOR).sqrt()
    pooled = torch.cat([maps.mean(dim=2), deviation], dim=1)
    torch.testing.assert_close(network(features), network.embed(pooled), atol=1e-5, rtol=1e-4)


def test_repeating_a_clip_hardly_moves_its_embedding() -> None:
    network = small_tdnn().eval()
    features = torch.randn(1, 6, 400)
    once, twice = network(features), network(torch.cat([features, features], dim=2))
    assert (once - twice).norm() < 0.02 * once.norm()


@pytest.mark.parametrize("network", [small_tdnn(), TgramNet(6, kernel=16, hop=8)])
def test_the_gradient_reaches_every_parameter(network: nn.Module) -> None:
    shape = (4, 6, 30) if isinstance(network, TDNN) else (4, 300)
    network.train()(torch.randn(shape)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("samples", [1, 511, 1023, 1024, 1025, 5120, 8191, 16000, 160000])
def test_tgram_lies_on_the_frames_of_log_mel(samples: int) -> None:
    audio = torch.randn(2, samples)
    levels, _ = LogMel().frames(audio)  # (B, T, F)
    assert TgramNet().eval()(audio).shape == levels.transpose(1, 2).shape


def test_a_tgram_frame_hears_what_the_log_mel_frame_hears() -> None:
    network = TgramNet(4)
    click = torch.zeros(1, 16000)
    click[0, 5120 + 256] = 1.0  # between the centres of frames 10 and 11
    heard = network.filters(click[:, None]).abs().sum(dim=1)[0]
    assert torch.nonzero(heard).flatten().tolist() == [10, 11]
    levels, _ = LogMel().frames(click)
    loud = levels[0].mean(dim=1) > levels[0, 0].mean() + 1
    assert torch.nonzero(loud).flatten().tolist() == [10, 11]


def test_time_norm_is_layer_norm_over_time() -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 4, 50)
    torch.testing.assert_close(TimeNorm(4)(maps), nn.LayerNorm(50, elementwise_affine=False)(maps))
    assert torch.isfinite(TimeNorm(4)(torch.randn(2, 4, 1))).all()


def test_tgram_does_not_depend_on_the_level_of_the_sound() -> None:
    network = TgramNet(8).eval()
    audio = torch.randn(2, 8000)
    torch.testing.assert_close(network(audio), network(3 * audio), atol=1e-3, rtol=1e-3)
