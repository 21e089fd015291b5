"""The organisers' trained network, from their Keras file into ours."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch
from torch import nn

from thrum.networks.autoencoder import DenseAutoencoder

KERAS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def official_network(path: Path) -> DenseAutoencoder:
    """Read the weights of a Keras file into our network."""
    network = DenseAutoencoder().eval()
    layers = [*network.encoder, *network.decoder]
    with h5py.File(path, "r") as file:
        for kind, name in ((nn.Linear, "dense"), (nn.BatchNorm1d, "batch_normalization")):
            ours = [layer for layer in layers if isinstance(layer, kind)]
            for number, layer in enumerate(ours):
                called = f"{name}_{number}" if number else name
                theirs = file["model_weights"][called][called]
                values = {
                    key.partition(":")[0]: torch.from_numpy(v[()]) for key, v in theirs.items()
                }
                with torch.no_grad():
                    for key, value in values.items():
                        getattr(layer, KERAS[key]).copy_(value.T if key == "kernel" else value)
    return network
