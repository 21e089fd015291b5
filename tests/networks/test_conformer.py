from __future__ import annotations

import pytest
import torch
from test_networks import gradient_reaches_every_parameter
from torch import nn

from thrum.networks.conformer import Conformer, ConformerBlock
from thrum.networks.pooling import AttentiveStatistics

SIZE, HEADS, HIDDEN, KERNEL = 24, 3, 40, 7


def test_a_block_is_that_of_transformers() -> None:
    pytest.importorskip("transformers", reason="needs the extra 'ssl'")
    from transformers import Wav2Vec2ConformerConfig
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerEncoderLayer,
    )

    torch.manual_seed(0)
    config = Wav2Vec2ConformerConfig(
        hidden_size=SIZE,
        num_attention_heads=HEADS,
        intermediate_size=HIDDEN,
        conv_depthwise_kernel_size=KERNEL,
        position_embeddings_type=None,
        hidden_act="swish",
        attn_implementation="eager",
    )
    reference = Wav2Vec2ConformerEncoderLayer(config)
    randomise(reference)
    block = ConformerBlock(SIZE, heads=HEADS, feed_forward=HIDDEN, kernel=KERNEL, dropout=0.0)
    copy(reference, block)
    frames = torch.randn(2, 19, SIZE)
    wanted = reference.eval()(frames)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    torch.testing.assert_close(block.eval()(frames), wanted, rtol=0, atol=1e-5)


def randomise(module: nn.Module) -> None:
    """Make norms and biases matter, which are 1 and 0 at first."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            noise = torch.randn_like(value) * 0.3
            value.data = noise.abs() + 0.5 if "var" in name else value.data + noise


def copy(reference: nn.Module, block: ConformerBlock) -> None:
    state = reference.state_dict()
    own = {
        "norm": "final_layer_norm",
        "attention_norm": "self_attn_layer_norm",
        "attention.out_proj": "self_attn.linear_out",
        "convolution.norm": "conv_module.layer_norm",
        "convolution.batch_norm": "conv_module.batch_norm",
    }
    for part, number in (("before", 1), ("after", 2)):
        own[f"{part}.0"] = f"ffn{number}_layer_norm"
        own[f"{part}.1"] = f"ffn{number}.intermediate_dense"
        own[f"{part}.4"] = f"ffn{number}.output_dense"
    made = {
        f"{mine}.{name.removeprefix(theirs + '.')}": value
        for mine, theirs in own.items()
        for name, value in state.items()
        if name.startswith(f"{theirs}.")
    }
    for kind in ("weight", "bias"):
        parts = [state[f"self_attn.linear_{part}.{kind}"] for part in "qkv"]
        made[f"attention.in_proj_{kind}"] = torch.cat(parts)
    made["convolution.expand.weight"] = state["conv_module.pointwise_conv1.weight"][..., 0]
    made["convolution.project.weight"] = state["conv_module.pointwise_conv2.weight"][..., 0]
    made["convolution.depthwise.weight"] = state["conv_module.depthwise_conv.weight"]
    # The reference has no biases there.
    made["convolution.expand.bias"] = torch.zeros(2 * SIZE)
    made["convolution.project.bias"] = torch.zeros(SIZE)
    made["convolution.depthwise.bias"] = torch.zeros(SIZE)
    block.load_state_dict(made)


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (13, 4), (313, 79)])
def test_any_length_and_a_quarter_of_it(frames: int, kept: int) -> None:
    settings = {"size": 16, "heads": 2, "blocks": 1, "feed_forward": 8, "kernel": 5}
    levels = torch.randn(2, frames, 18)
    assert Conformer(18, **settings).eval()(levels).shape == (2, kept, 16)
    assert Conformer(18, **settings, subsample=False).eval()(levels).shape == (2, frames, 16)


@pytest.mark.parametrize("subsample", [True, False])
def test_it_learns_everywhere(subsample: bool) -> None:
    torch.manual_seed(0)
    encoder = Conformer(
        12, size=8, heads=2, blocks=2, feed_forward=16, kernel=3, subsample=subsample
    )
    network = nn.Sequential(encoder, nn.Flatten(), nn.LazyLinear(3))
    network(torch.randn(3, 20, 12))
    gradient_reaches_every_parameter(network, torch.randn(3, 20, 12))


def test_without_positions_the_attention_alone_does_not_see_the_order() -> None:
    torch.manual_seed(0)
    block = ConformerBlock(8, heads=2, feed_forward=8, kernel=1, dropout=0.0).eval()
    frames = torch.randn(1, 6, 8)
    torch.testing.assert_close(block(frames.flip(1)), block(frames).flip(1))


def test_the_papers_sizes() -> None:
    block = 2 * (2 * 128 * 512 + 512 + 128) + 4 * (128 * 128 + 128)  # feed-forward, attention
    block += 128 * 256 + 256 + 128 * 31 + 128 + 128 * 128 + 128  # convolution module
    block += 6 * 2 * 128  # five layer norms and the batch norm
    convolutions = 9 * 128 + 128 + 9 * 128 * 128 + 128 + 128 * 32 * 128 + 128
    for subsample, before in ((True, convolutions), (False, 128 * 128 + 128)):
        count = sum(p.numel() for p in Conformer(128, subsample=subsample).parameters())
        assert count == 3 * block + before
    assert round((3 * block + convolutions) / 1e6) == 2  # the paper's 2 M


def test_attentive_statistics_by_hand() -> None:
    pooling = AttentiveStatistics(2, hidden=1)
    first, _, last = pooling.attention
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0]]))
        first.bias.zero_()
        last.weight.fill_(2.0)
    frames = torch.tensor([[[0.0, 1.0], [1.0, 5.0]]])
    energy = torch.tensor([0.0, 2 * torch.tanh(torch.tensor(1.0)).item()])
    second = float(energy.softmax(0)[1])
    mean = torch.tensor([second, 1 + 4 * second])
    deviation = (second * (1 - second)) ** 0.5 * torch.tensor([1.0, 4.0])
    torch.testing.assert_close(pooling(frames)[0], torch.cat([mean, deviation]), rtol=1e-4, atol=0)


def test_attentive_statistics_of_one_frame_have_a_gradient() -> None:
    frames = torch.randn(2, 1, 5, requires_grad=True)
    pooled = AttentiveStatistics(5)(frames)
    torch.testing.assert_close(pooled[:, :5], frames[:, 0])
    assert float(pooled[:, 5:].detach().max()) <= 1.001e-3
    pooled.sum().backward()
    assert frames.grad is not None
    assert bool(torch.isfinite(frames.grad).all())
