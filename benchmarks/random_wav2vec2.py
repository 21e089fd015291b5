"""Write a wav2vec 2.0 that was never trained: what shows that a path works, and what it costs.

    python benchmarks/random_wav2vec2.py runs/wav2vec2

has two small layers of 48 dimensions; ``--base`` makes it as large as the base model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from thrum.systems.self_supervised.wav2vec2 import write_network

SMALL: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", action="store_true")
    arguments = parser.parse_args()
    write(arguments.out, {} if arguments.base else SMALL)


def write(folder: Path, sizes: dict[str, Any] | None = None) -> None:
    """Write weights of the base model's size, or of `sizes`."""
    torch.manual_seed(0)
    write_network(Wav2Vec2Model(Wav2Vec2Config(**(sizes or {}))), folder)


if __name__ == "__main__":
    main()
