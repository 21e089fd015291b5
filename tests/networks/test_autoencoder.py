from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from official_autoencoder import official_network
from thrum.networks.autoencoder import DenseAutoencoder


def test_it_has_the_baselines_layers() -> None:
    network = DenseAutoencoder()
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(sizes))
    # Keras counts 269,992 for the official model, of which 2 · (8 · 128 + 8) are running statistics
    assert sum(p.numel() for p in network.parameters()) == 269_992 - 2 * (8 * 128 + 8)
    assert network(torch.randn(3, 640)).shape == (3, 640)
    assert network.encoder(torch.randn(3, 640)).shape == (3, network.embedding_size)


def test_it_learns_everywhere() -> None:
    torch.manual_seed(0)
    network = DenseAutoencoder(20, width=16, bottleneck=4).train()
    inputs = torch.randn(64, 20)
    (network(inputs) - inputs).square().mean().backward()
    # a bias before batch normalisation has no effect: its gradient is rounding
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.data
def test_the_organisers_network_gives_their_published_score(shared: Path) -> None:
    network = official_network(shared / "fixtures" / "baseline_ae2020" / "ad01.h5").double()
    stored = shared / "fixtures" / "baseline_ae2020" / "normal_id_01_00000000_hist_librosa.bin"
    frames = torch.from_numpy(np.fromfile(stored, np.float32).reshape(200, 128)).double()
    windows = frames.unfold(0, 5, 1).transpose(1, 2).flatten(1)  # (196, 640), frame after frame
    with torch.inference_mode():
        score = (network(windows) - windows).square().mean().item()
    assert score == pytest.approx(9.491291466, abs=1e-8)  # in float64
    assert score == pytest.approx(9.491290419806504, abs=3e-6)  # as published, in float32
