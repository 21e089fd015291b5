"""What does a step of the multitask conformer cost, and how much of it is loading and augmenting?

    python benchmarks/multitask_conformer.py DATA [--set KEY=VALUE …]

DATA is a dataset. Processor time of batches in which most clips are augmented, the dearest case; and by
operation, from PyTorch's profiler.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch

from thrum import config as configs
from thrum.datasets import open_dataset
from thrum.features.augment import KINDS, Augmentation
from thrum.systems.multitask_conformer import Config
from thrum.systems.multitask_conformer.fitting import Batch, Loss
from thrum.systems.multitask_conformer.inputs import Spectrograms
from thrum.systems.multitask_conformer.network import MultitaskNetwork, Sizes
from thrum.types import Dataset

STEPS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    arguments = parser.parse_args()
    config = configs.with_overrides(Config(), arguments.settings)
    print_profile(config, open_dataset(arguments.data))


def print_profile(config: Config, dataset: Dataset) -> None:
    """Print how long a batch takes to load, and the network to learn from it, by operation."""
    clips = list(dataset.where(split="train"))
    spectrograms = Spectrograms(
        clips,
        folder=Path(mkdtemp(prefix="thrum-")),
        augmentation=Augmentation(config.augmentation),
        device=torch.device("cpu"),
    )
    inputs = spectrograms.inputs
    length = (
        int(np.median(inputs.lengths))
        if config.crop_seconds is None
        else inputs.native_length(config.crop_seconds)
    )
    network = MultitaskNetwork(Sizes(inputs.bands, ids=4, targets=1), config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{parameters:,} parameters with four machine IDs")
    network.mean.fill_(-40.0)
    network.deviation.fill_(10.0)
    loss_of = Loss(network, config, with_type=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    random = np.random.default_rng(0)
    loading, learning = [], []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        for _ in range(STEPS):
            rows = random.integers(0, len(clips), config.batch_size)
            kinds = np.arange(config.batch_size) % len(
                KINDS
            )  # most are augmented: the dearest case
            started = time.process_time()
            levels = spectrograms.changed(rows, kinds, length, random, fill=network.mean)
            loaded = time.process_time()
            ids = torch.arange(config.batch_size // 2) % 4
            optimizer.zero_grad()
            batch = Batch(levels, torch.from_numpy(kinds), ids, len(ids))
            loss_of(batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loading.append(loaded - started)
            learning.append(time.process_time() - loaded)
    load, learn = float(np.median(loading)), float(np.median(learning))
    print(
        f"{config.batch_size} clips, {levels.shape[1]} frames: {load + learn:.3f} s of processor time a "
        f"step, {load:.4f} s of it loading and augmenting ({100 * load / (load + learn):.1f} %)"
    )
    network.eval()
    rows = np.arange(min(len(clips), 2 * config.batch_size))
    started = time.process_time()
    for _, whole in spectrograms.whole(rows):
        network.read(whole)
    seconds = time.process_time() - started
    print(f"{len(rows) / seconds:.0f} whole clips scored a second of processor time")
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))


if __name__ == "__main__":
    main()
