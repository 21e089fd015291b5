"""How long does an epoch of each baseline take at its default settings?

    python benchmarks/baselines.py                        on one core of the CPU
    python benchmarks/baselines.py --device cuda

For 1000 clips of 10 s (313 log-mel frames, here noise), about what DCASE 2020 has of one machine ID: the
median time of some batches (processor time on a CPU) times the batches of an epoch, and the time that the
scores of one clip take.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from thrum.systems import SYSTEMS
from thrum.systems.baselines.trained import Fitted, TrainedBaseline

BASELINES = ("autoencoder", "vae", "idnn", "vidnn", "glow", "mobilenetv2")
BANDS = 128
KEYS = (("machine", "id_00"), ("machine", "id_01"), ("machine", "id_02"), ("machine", "id_03"))


def seconds(work: Callable[[], object], *, repeats: int, device: str) -> float:
    """Return the median time of `work`, after one run that does not count."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(repeats + 1):
        start = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return statistics.median(times[1:])


def measure(name: str, arguments: argparse.Namespace) -> tuple[int, float, float]:
    """Return the batches of an epoch, its seconds, and the seconds that scoring a clip takes."""
    system: Any = SYSTEMS.load(name)(device=arguments.device)
    assert isinstance(system, TrainedBaseline)
    config = system.config
    inputs = 1 + (arguments.frames - config.stack_frames) // config.hop_frames  # of a clip
    batches = math.ceil(arguments.clips * inputs / config.batch_size)
    network = system._made(BANDS, KEYS)
    shape = config.stack_frames, BANDS
    windows = torch.randn(config.batch_size, *shape, device=arguments.device)
    owners = torch.arange(config.batch_size, device=arguments.device) % len(KEYS)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        system._loss(network, windows, owners).backward()
        optimizer.step()

    network.train()
    per_batch = seconds(train, repeats=arguments.repeats, device=arguments.device)
    clip = torch.randn(inputs, *shape, device=arguments.device)
    statistics_ = {"precisions": torch.eye(BANDS).double().numpy()[None]}
    fitted = Fitted(KEYS, network.eval(), BANDS, statistics_, {})
    with torch.inference_mode():
        score = seconds(
            lambda: system._clip_scores(fitted, clip, 0),
            repeats=arguments.repeats,
            device=arguments.device,
        )
    return batches, batches * per_batch, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=313)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=BASELINES, default=BASELINES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| baseline | batches an epoch | an epoch, s | epochs | scoring a clip, ms |")
    print("| --- | --- | --- | --- | --- |")
    for name in arguments.only:
        batches, epoch, score = measure(name, arguments)
        epochs = SYSTEMS.load(name).Config().epochs
        print(f"| `{name}` | {batches} | {epoch:.3g} | {epochs} | {1000 * score:.3g} |", flush=True)


if __name__ == "__main__":
    main()
