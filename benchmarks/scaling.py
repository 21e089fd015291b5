"""What a round costs against the number of sites and of clips: server and all sites in one process.

    python benchmarks/scaling.py --sites 20 100 300 --clips 8 32 --json docs/results/federation/scaling.json

Every site has one machine of eight training and four test clips of 24 frames of 12 dimensions, so that what
is measured is what a site costs beside its clips: folders, ledger, messages, files made durable, a fit of
its own. With further `--clips`, the smallest number of sites runs again with so many training clips each.
Processor seconds and the largest memory are of a process of its own each, its start left out.

The JSON has ``rows`` (``shared``, ``sites``, ``clips``: training clips a site, ``wall_seconds``,
``processor_seconds``, ``largest_mebibytes``), ``slopes`` of each kind (``processor_seconds_a_site``,
``mebibytes_a_site``: of the line through the rows of the first `--clips`), and ``clip_slopes``
(``processor_seconds_a_clip``, ``mebibytes_a_clip``: through those of the first `--sites`). It is written
after each row.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from thrum import storage

KINDS = ("statistics", "embeddings")


def write_sites(folder: Path, count: int, train: int) -> None:
    folder.mkdir(parents=True)
    common = np.random.default_rng(100).normal(size=(4, 12))
    for site in range(count):
        random = np.random.default_rng(site)
        level = random.normal(size=12)
        arrays = {}
        for name, clips in (("train_normal", train), ("test_normal", 2), ("test_anomaly", 2)):
            varying = random.normal(size=(clips, 1, 4)) @ common
            noise = 0.3 * random.normal(size=(clips, 24, 12))
            arrays[name] = (level + varying + noise).astype(np.float16)
        np.savez(folder / f"Press_id_{site:04d}.npz", **arrays)


def run(data: Path, sharing: str, out: Path) -> None:
    """Run one round; print what it took as JSON."""
    import torch

    from thrum.datasets import open_dataset
    from thrum.embedders import create_embedder
    from thrum.federation.inprocess import simulate
    from thrum.systems.embedding_sharing import preset_config

    torch.set_num_threads(1)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    simulate(
        open_dataset(data),
        embedder=create_embedder("precomputed"),
        config=preset_config("compact", assignments=["epochs=1", "members=1"]),
        folder=out,
        sharing="statistics" if sharing == "statistics" else "embeddings",
        device="cpu",
    )
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "wall_seconds": round(time.monotonic() - began, 1),
                "processor_seconds": round(used, 1),
                "largest_mebibytes": round(after.ru_maxrss / 1024),
            }
        )
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sites", type=int, nargs="+", default=[20, 100, 300])
    options.add_argument("--clips", type=int, nargs="+", default=[8])
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options.add_argument("--json", type=Path)
    options.add_argument("--run", nargs=3, metavar=("DATA", "KIND", "OUT"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.run:
        run(Path(chosen.run[0]), chosen.run[1], Path(chosen.run[2]))
        return
    rows: list[dict[str, Any]] = []
    runs = [(sites, chosen.clips[0]) for sites in chosen.sites]
    runs += [(chosen.sites[0], clips) for clips in chosen.clips[1:]]
    print(
        "| shared | sites | clips | wall s | processor s | memory MiB |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for kind in chosen.kinds:
            for sites, clips in runs:
                name = f"{kind}-{sites}-{clips}"
                write_sites(root / name / "data", sites, clips)
                command = [sys.executable, __file__, "--run", str(root / name / "data"), kind]
                done = subprocess.run(
                    [*command, str(root / name / "out")],
                    stdout=subprocess.PIPE,
                    check=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                shutil.rmtree(root / name)
                row = {"shared": kind, "sites": sites, "clips": clips}
                rows.append(row | json.loads(done.stdout.splitlines()[-1]))
                print("| " + " | ".join(str(cell) for cell in rows[-1].values()) + " |", flush=True)
                if chosen.json:
                    storage.write_json(chosen.json, {"rows": rows, **slopes(rows, *runs[0])})
    for kind, found in slopes(rows, *runs[0])["slopes"].items():
        seconds, mebibytes = found.values()
        print(f"{kind}: {1000 * seconds:.0f} ms of processor time and {mebibytes:.2f} MiB a site")
    for kind, found in slopes(rows, *runs[0])["clip_slopes"].items():
        seconds, mebibytes = found.values()
        print(f"{kind}: {1000 * seconds:.1f} ms and {1024 * mebibytes:.1f} KiB a training clip")


def slopes(rows: list[dict[str, Any]], sites: int, clips: int) -> dict[str, dict[str, Any]]:
    """Return what a site more costs where all have so many clips, and a clip more where so many sites are."""
    found: dict[str, dict[str, Any]] = {"slopes": {}, "clip_slopes": {}}
    for kind in dict.fromkeys(row["shared"] for row in rows):
        own = [row for row in rows if row["shared"] == kind]
        equal = [row for row in own if row["clips"] == clips]
        if len(equal) > 1:
            seconds, mebibytes = slope([row["sites"] for row in equal], equal)
            found["slopes"][kind] = {
                "processor_seconds_a_site": seconds,
                "mebibytes_a_site": mebibytes,
            }
        same = [row for row in own if row["sites"] == sites]
        if len(same) > 1:
            seconds, mebibytes = slope([row["sites"] * row["clips"] for row in same], same)
            found["clip_slopes"][kind] = {
                "processor_seconds_a_clip": seconds,
                "mebibytes_a_clip": mebibytes,
            }
    return found


def slope(counts: list[int], rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Return seconds and MiB for one more, by the line through the rows."""
    fits = [
        np.polyfit(counts, [row[name] for row in rows], 1)[0]
        for name in ("processor_seconds", "largest_mebibytes")
    ]
    return float(fits[0]), float(fits[1])


if __name__ == "__main__":
    main()
