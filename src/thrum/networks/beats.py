"""BEATs (Chen et al., 2022): a transformer over patches of 16 × 16 of a mel spectrogram.

Attention is gated by relative positions after WavLM (Chen et al., 2022), residuals are scaled after
DeepNet (Wang et al., 2022). The names of modules are those of the published checkpoints
(microsoft/unilm, beats, MIT), in their base size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 16
PATCH_SIZE = 512
EMBEDDING_SIZE = 768
FEED_FORWARD_SIZE = 3072
LAYERS = 12
HEADS = 12
HEAD_SIZE = EMBEDDING_SIZE // HEADS
POSITION_KERNEL = 128
POSITION_GROUPS = 16
BUCKETS = 320
MAX_DISTANCE = 800
RESIDUAL_SCALE = (2 * LAYERS) ** 0.25


class BEATs(nn.Module):
    """Mel spectra (N, T, 128) to tokens (N, T // 16 · 8, 768), for each time its 8 bands of 16."""

    embedding_size = EMBEDDING_SIZE

    def __init__(self) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, PATCH_SIZE, kernel_size=PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(PATCH_SIZE)
        self.post_extract_proj = nn.Linear(PATCH_SIZE, EMBEDDING_SIZE)
        self.encoder = Encoder()

    def forward(self, spectra: Tensor) -> Tensor:
        """Return the tokens of spectra; frames beyond the last whole patch are dropped."""
        patches = self.patch_embedding(spectra.unsqueeze(1))  # (N, 512, T // 16, 8)
        tokens = patches.flatten(2).transpose(1, 2)  # (N, L, 512)
        encoded: Tensor = self.encoder(self.post_extract_proj(self.layer_norm(tokens)))
        return encoded  # (N, L, 768)


class Encoder(nn.Module):
    """Positions by convolution, then the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(PositionConvolution())
        self.layer_norm = nn.LayerNorm(EMBEDDING_SIZE)
        self.layers = nn.ModuleList([Layer(has_bias=number == 0) for number in range(LAYERS)])

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, L, 768) of the same."""
        x: Tensor = self.layer_norm(tokens + self.pos_conv(tokens.transpose(1, 2)).transpose(1, 2))
        bias = self.relative_bias(tokens.shape[1])  # (H, L, L), shared by all layers
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def relative_bias(self, length: int) -> Tensor:
        """Return the bias (H, L, L) of attention by the distance of two tokens."""
        table = self.get_parameter("layers.0.self_attn.relative_attention_bias.weight")
        positions = torch.arange(length, device=table.device)
        buckets = _bucket(positions[None, :] - positions[:, None])  # (L, L)
        bias: Tensor = F.embedding(buckets, table).permute(2, 0, 1)
        return bias


class PositionConvolution(nn.Module):
    """A grouped convolution over time, its weight normalised for each tap, and GELU."""

    def __init__(self) -> None:
        super().__init__()
        group = EMBEDDING_SIZE // POSITION_GROUPS
        self.bias = nn.Parameter(torch.zeros(EMBEDDING_SIZE))
        self.weight_g = nn.Parameter(torch.ones(1, 1, POSITION_KERNEL))
        self.weight_v = nn.Parameter(torch.randn(EMBEDDING_SIZE, group, POSITION_KERNEL))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 768, L) of the same."""
        norms = self.weight_v.norm(dim=(0, 1), keepdim=True)
        weight = self.weight_v * (self.weight_g / norms)
        y = F.conv1d(x, weight, self.bias, padding=POSITION_KERNEL // 2, groups=POSITION_GROUPS)
        return F.gelu(y[..., :-1])  # an even kernel gives one output too many


class Layer(nn.Module):
    """Attention and a feed-forward network, each normalised after its scaled residual."""

    def __init__(self, *, has_bias: bool) -> None:
        super().__init__()
        self.self_attn = GatedAttention(has_bias=has_bias)
        self.self_attn_layer_norm = nn.LayerNorm(EMBEDDING_SIZE)
        self.fc1 = nn.Linear(EMBEDDING_SIZE, FEED_FORWARD_SIZE)
        self.fc2 = nn.Linear(FEED_FORWARD_SIZE, EMBEDDING_SIZE)
        self.final_layer_norm = nn.LayerNorm(EMBEDDING_SIZE)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (N, L, 768) of the same."""
        x = self.self_attn_layer_norm(x * RESIDUAL_SCALE + self.self_attn(x, bias))
        y = self.fc2(F.gelu(self.fc1(x)))
        normalised: Tensor = self.final_layer_norm(x * RESIDUAL_SCALE + y)
        return normalised


class GatedAttention(nn.Module):
    """Self-attention whose bias by distance each query opens and closes."""

    def __init__(self, *, has_bias: bool) -> None:
        super().__init__()
        self.k_proj = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        self.v_proj = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        self.q_proj = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        self.out_proj = nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        self.grep_linear = nn.Linear(HEAD_SIZE, 8)
        self.grep_a = nn.Parameter(torch.ones(1, HEADS, 1, 1))
        if has_bias:
            self.relative_attention_bias = nn.Embedding(BUCKETS, HEADS)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (N, L, 768) of the same; `bias` is (H, L, L)."""
        query, key, value = (
            projection(x).view(*x.shape[:2], HEADS, HEAD_SIZE).transpose(1, 2)  # (N, H, L, 64)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        halves = self.grep_linear(query).view(*query.shape[:3], 2, 4).sum(-1)  # (N, H, L, 2)
        update, reset = torch.sigmoid(halves).chunk(2, dim=-1)  # (N, H, L, 1)
        gate = update * (reset * self.grep_a - 1.0) + 2.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=gate * bias)
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return attended


def _bucket(distances: Tensor) -> Tensor:
    """Return the bucket of each signed distance: exact when near, logarithmic when far."""
    half = BUCKETS // 2
    exact = half // 2
    lengths = distances.abs()
    scale = (half - exact) / math.log(MAX_DISTANCE / exact)
    far = exact + (torch.log(lengths.clamp(min=1).float() / exact) * scale).long()
    return torch.where(lengths < exact, lengths, far.clamp(max=half - 1)) + half * (distances > 0)
