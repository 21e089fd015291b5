"""A small table of the tests' own, on features that no network has to be downloaded for."""

from __future__ import annotations

from pathlib import Path

import machines

TOML = """
title = "Small"
paper = "A. Author"
seeds = 2

[sources.presses]
title = "Presses"
folder = "presses"
train_clips = 60
test_clips = 40

[runs.knn]
system = "knn"
minutes = 0.1

[runs.autoencoder]
system = "autoencoder"
settings = { epochs = 3, batch_size = 64, width = 16 }
shortened = "3 of 100 epochs"
seeds = 1
minutes = 0.2

[[columns]]
name = "id_00"
source = "presses"
machine = "Press"
machine_id = "id_00"

[[columns]]
name = "mean"
source = "presses"

[[columns]]
name = "mean pAUC"
source = "presses"
measure = "pauc"

[[rows]]
name = "neighbours"
runs = ["knn"]
method = "mean"
published = { id_00 = 75.0, mean = 80.0 }

[[rows]]
name = "autoencoder"
runs = ["autoencoder"]
method = "mse"

[[rows]]
name = "theirs"
published = { mean = 70.0 }
note = "known from print alone"
"""


def write(folder: Path, text: str = TOML) -> Path:
    """Write the table and its data; return the table's file. The data lie beside it."""
    machines.write_arrays(folder / "data" / "presses", clips=20)
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path
