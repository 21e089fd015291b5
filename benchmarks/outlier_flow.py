"""What does the flow add to a step of outlier exposure?

    python benchmarks/outlier_flow.py [--set KEY=VALUE …] [--repeats N] [--profile]

Processor time of a training step of OE-Flow and of OE, and of scoring, on noise of the spectrograms' size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from thrum import config as configs
from thrum.systems.outlier_flow import Config
from thrum.systems.outlier_flow.batches import Batch
from thrum.systems.outlier_flow.network import OutlierFlowNetwork, Shape
from thrum.systems.outlier_flow.variants import VARIANTS

PURE = 3 / 8
"""Of a batch: a quarter unmixed target clips, and of the mixed half a quarter of target clips both."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    config = configs.with_overrides(Config(), arguments.settings)
    frames = round(config.segment_seconds / config.hop_seconds)
    count = config.batch_size
    print(
        f"width {config.width}, batches of {count} segments of {config.mel_bands} × {frames}, "
        f"{torch.get_num_threads()} threads"
    )
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(count) < count // 2).float()
    batch = Batch(
        torch.randn(count, config.mel_bands, frames, generator=generator),
        target,
        torch.zeros(count, 0),
        (torch.arange(count) < round(PURE * count)),
        None,
    )
    steps: dict[str, Callable[[], None]] = {}
    networks = {}
    for name in ("OE-Flow", "OE"):
        torch.manual_seed(0)
        network = OutlierFlowNetwork(config, VARIANTS[name], Shape(0, False, False))
        optimizer = torch.optim.AdamW(network.parameters())

        def step(network: OutlierFlowNetwork = network, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            network.loss(batch).backward()
            optimizer.step()

        steps[name], networks[name] = step, network
    if arguments.profile:
        print_profile(steps["OE-Flow"])
        return
    seconds = median_seconds(steps, arguments.repeats)
    for name, network in networks.items():
        parameters = sum(p.numel() for p in network.parameters())
        print(f"  step of {name}: {seconds[name]:.3f} s, {parameters / 1e6:.2f} M parameters")
    share = 1 - seconds["OE"] / seconds["OE-Flow"]
    print(f"  the flow's share of a step: {100 * share:.1f} %")
    network = networks["OE-Flow"].eval()

    def hear() -> None:
        with torch.inference_mode():
            network.surprise(network.maps(batch.levels))

    heard = median_seconds({"scoring": hear}, arguments.repeats)["scoring"]
    print(f"  scoring: {count / heard:.0f} segments/s")


def median_seconds(works: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median of each work over `repeats` turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            started = time.process_time()  # on a busy machine the clock on the wall says little
            work()
            taken[name].append(time.process_time() - started)
    return {name: float(np.median(each[1:])) for name, each in taken.items()}


def print_profile(step: Any) -> None:
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        step()
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    main()
