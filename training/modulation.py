"""Makes the weights of the embedder `modulation` again, from a seed and nothing else.

    python training/modulation.py --work runs/modulation

Simulates machines into the work folder (1.3 GB; ten minutes on one core), trains (one minute), and writes
src/thrum/embedders/modulation.safetensors. Killed, it goes on where it was when given again. `--held-out`
leaves kinds out and `--weights FILE` writes elsewhere, to choose settings without a look at real machines;
`--epochs 0` trains nothing, to see what the training is worth.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clips import RECORDINGS, STATES, Machines
from thrum import storage
from thrum.embedders.modulation import WEIGHTS, WINDOW_FRAMES
from thrum.networks.modulation import ModulationNet
from thrum.training import train, uncompiled

KINDS = ("fan", "gearbox", "pump", "slider", "valve")
TEXTURES = 4  # times as many textures as machines of a kind
TEXTURE_SHARE = 0.7  # of the machines in a batch
MACHINES = 8  # a batch
VIEWS = 2  # of each of their states
STEPS_AN_EPOCH = 20
LEARNING_RATE = 2e-3
TEMPERATURE = 0.1
SNR_DB = (-3.0, 20.0)
MACHINE_COLOUR_DB, RECORDING_COLOUR_DB = 4.0, 2.0  # standard deviations
COLOUR_KNOTS = 7  # of the curves over frequency by which microphones and machines differ
MASKED_BANDS = 16
DECIBEL = math.log(10) / 10
AXES_BATCHES = 40  # on which the leading directions are measured


@dataclass(frozen=True)
class Views:
    """Draws batches: some machines, each in all its states, each state from several recordings.

    All views of one machine share a warp of time and frequency and a colour: every batch has machines that
    were never heard before. Each view has its own stretch of time, noise, colour and masked bands.
    """

    machine: NDArray[np.float16]
    noise: NDArray[np.float16]
    chances: NDArray[np.float64]

    def draw(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return windows (B, T, F) in dB and their classes (B,)."""
        each = STATES * VIEWS
        size = MACHINES * each
        chosen = random.choice(len(self.chances), MACHINES, replace=False, p=self.chances)
        classes = np.repeat(chosen[:, None] * STATES + np.arange(STATES), VIEWS)  # (B,)
        recordings = np.concatenate(
            [random.permutation(RECORDINGS)[:VIEWS] for _ in range(MACHINES * STATES)]
        )
        windows = _warped(_tensor(self.machine[classes, recordings]), random)
        windows += _colours(random, MACHINES, MACHINE_COLOUR_DB).repeat_interleave(each, 0)
        windows = torch.logaddexp(windows * DECIBEL, self._noise(size, random) * DECIBEL) / DECIBEL
        windows += _colours(random, size, RECORDING_COLOUR_DB)
        return _masked(windows, random), torch.from_numpy(classes)

    def _noise(self, size: int, random: np.random.Generator) -> Tensor:
        """Return noise (B, T, F) as much below the machines as the drawn ratio says."""
        start = random.integers(self.noise.shape[2] - WINDOW_FRAMES + 1)
        rows = random.integers(len(self.noise), size=size), random.integers(RECORDINGS, size=size)
        noise = _tensor(self.noise[rows][:, start : start + WINDOW_FRAMES])
        return noise - _tensor(random.uniform(*SNR_DB, size))[:, None, None]


def _warped(clips: Tensor, random: np.random.Generator) -> Tensor:
    """Cut a window (B, T, F) out of each clip, time and frequency stretched, shifted, mirrored by machine."""
    size, frames, bands = clips.shape
    each = size // MACHINES
    pace = np.exp2(random.uniform(-0.5, 0.5, MACHINES))
    stretch = np.exp2(random.uniform(-0.3, 0.3, MACHINES))
    stretch *= random.choice([-1.0, 1.0], MACHINES)
    shift = random.uniform(-14, 14, MACHINES)
    pace, stretch, shift = (np.repeat(value, each) for value in (pace, stretch, shift))
    start = random.random(size) * (frames - 1 - (WINDOW_FRAMES - 1) * pace)
    middle = (bands - 1) / 2
    at_frame = _tensor(start)[:, None] + _tensor(pace)[:, None] * torch.arange(WINDOW_FRAMES)
    at_band = (torch.arange(bands) - middle) * _tensor(stretch)[:, None] + middle
    at_band += _tensor(shift)[:, None]
    grid = torch.stack(
        [
            (at_band / (bands - 1) * 2 - 1)[:, None].expand(-1, WINDOW_FRAMES, -1),
            (at_frame / (frames - 1) * 2 - 1)[:, :, None].expand(-1, -1, bands),
        ],
        dim=-1,
    )
    return functional.grid_sample(
        clips[:, None], grid, padding_mode="reflection", align_corners=True
    )[:, 0]


def _colours(random: np.random.Generator, count: int, deviation_db: float) -> Tensor:
    """Return random curves over frequency, (count, 1, F), in dB."""
    knots = _tensor(deviation_db * random.standard_normal((count, 1, COLOUR_KNOTS)))
    return functional.interpolate(knots, size=128, mode="linear", align_corners=True)


def _masked(windows: Tensor, random: np.random.Generator) -> Tensor:
    """Set a run of bands of each window to the window's mean level."""
    size, _, bands = windows.shape
    widths = random.integers(MASKED_BANDS + 1, size=size)
    first = random.random(size) * (bands - widths)
    where = np.arange(bands)
    masked = (where >= first[:, None]) & (where < (first + widths)[:, None])  # (B, F)
    mean = windows.mean(dim=(1, 2), keepdim=True)
    return torch.where(torch.from_numpy(masked)[:, None], mean, windows)


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def contrastive(vectors: Tensor, classes: Tensor) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al., 2020) of vectors (B, P)."""
    vectors = functional.normalize(vectors)
    itself = torch.eye(len(classes), dtype=torch.bool)
    similar = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -math.inf)
    own = (classes[:, None] == classes) & ~itself
    chances = similar.log_softmax(dim=1).masked_fill(~own, 0.0)
    return -(chances.sum(dim=1) / own.sum(dim=1)).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="for simulated sound and checkpoint"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--held-out", nargs="*", default=[], choices=KINDS)
    parser.add_argument("--machines", type=int, default=120, help="of each kind")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts = {kind: arguments.machines for kind in KINDS if kind not in arguments.held_out}
    counts["texture"] = TEXTURES * arguments.machines
    machines = Machines(arguments.work / "machines", counts, seed=arguments.seed)
    machines.render(progress=report)
    textures, others = counts["texture"], sum(counts.values()) - counts["texture"]
    chances = [(1 - TEXTURE_SHARE) / others] * others + [TEXTURE_SHARE / textures] * textures
    views = Views(*machines.load(), np.array(chances))

    torch.manual_seed(arguments.seed)
    network = ModulationNet()
    steps = max(1, STEPS_AN_EPOCH * arguments.epochs)
    optimizer = uncompiled(torch.optim.AdamW)(
        network.parameters(), lr=LEARNING_RATE, weight_decay=0.02
    )

    def batches(_: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(STEPS_AN_EPOCH):
            yield views.draw(random)

    train(
        network,
        batches=batches,
        loss_of=lambda batch: contrastive(network.project(batch[0]), batch[1]),
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: (
                min(1, (step + 1) / 50) * (0.505 + 0.495 * math.cos(math.pi * step / steps))
            ),
        ),
        epochs=arguments.epochs,
        seed=arguments.seed,
        checkpoint=arguments.work / "checkpoint.safetensors",
        fingerprint=f"{counts} {arguments.epochs} {arguments.seed}",
        progress=report,
    )
    random = np.random.default_rng(arguments.seed)
    with torch.inference_mode():
        drawn = [network.project(views.draw(random)[0]) for _ in range(AXES_BATCHES)]
        network.fit_axes(torch.cat(drawn))
    state = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in network.state_dict().items()
    }
    storage.save_tensors(arguments.weights, state, {"trained_on": "simulated machines"})
    print(f"wrote {arguments.weights} ({arguments.weights.stat().st_size / 1e6:.2f} MB)")


def report(stage: str, done: int, total: int) -> None:
    if done == total or done % max(1, total // 20) == 0:
        print(f"{stage}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
