"""The command that makes the weights of `modulation` again, on a few machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thrum.embedders.modulation import Modulation

SCRIPT = Path(__file__).parents[2] / "training" / "modulation.py"


def run(work: Path) -> Path:
    """Run the command in a process of its own: it enters a kind of machine in the simulator's tables."""
    weights = work / "weights.safetensors"
    command = [SCRIPT, "--work", work, "--weights", weights, "--machines", 2, "--epochs", 2]
    subprocess.run([sys.executable, *map(str, command)], check=True)
    return weights


@pytest.mark.slow
def test_the_seed_decides_the_weights_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    whole, broken_off = tmp_path / "whole", tmp_path / "broken off"
    expected = run(whole).read_bytes()
    (broken_off / "machines").mkdir(parents=True)
    for path in sorted((whole / "machines").iterdir())[::2]:
        path.rename(broken_off / "machines" / path.name)
    again = run(broken_off)
    assert again.read_bytes() == expected
    assert torch.isfinite(Modulation(weights=again).frames(torch.rand(1, 40000) - 0.5)[0]).all()
