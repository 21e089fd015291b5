"""What a round costs against the number of sites: seconds and memory, server and all sites in one process.

    python benchmarks/scaling.py --sites 20 100 300 --json docs/results/federation/scaling.json

Every site has one machine of eight training and four test clips of 24 frames of 12 dimensions, so that what
is measured is what a site costs beside its clips: folders, ledger, messages, files made durable, a fit of its
own. Processor seconds and the largest memory are of a process of its own each, its start left out; the slope
is that of the line through all of one kind.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from thrum import storage

KINDS = ("statistics", "embeddings")


def write_sites(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    common = np.random.default_rng(100).normal(size=(4, 12))
    for site in range(count):
        random = np.random.default_rng(site)
        level = random.normal(size=12)
        arrays = {}
        for name, clips in (("train_normal", 8), ("test_normal", 2), ("test_anomaly", 2)):
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
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options.add_argument("--json", type=Path)
    options.add_argument("--run", nargs=3, metavar=("DATA", "KIND", "OUT"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.run:
        run(Path(chosen.run[0]), chosen.run[1], Path(chosen.run[2]))
        return
    rows = []
    print("| shared | sites | wall s | processor s | memory MiB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for count in chosen.sites:
            write_sites(root / f"data{count}", count)
        for kind in chosen.kinds:
            for count in chosen.sites:
                command = [sys.executable, __file__, "--run", str(root / f"data{count}"), kind]
                done = subprocess.run(
                    [*command, str(root / f"{kind}{count}")],
                    stdout=subprocess.PIPE,
                    check=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                row = {"shared": kind, "sites": count, **json.loads(done.stdout.splitlines()[-1])}
                rows.append(row)
                print("| " + " | ".join(str(cell) for cell in row.values()) + " |", flush=True)
    slopes = {kind: slope([row for row in rows if row["shared"] == kind]) for kind in chosen.kinds}
    for kind, (seconds, mebibytes) in slopes.items():
        print(f"{kind}: {1000 * seconds:.0f} ms of processor time and {mebibytes:.2f} MiB a site")
    if chosen.json:
        told = {
            kind: {"processor_seconds_a_site": s, "mebibytes_a_site": m}
            for kind, (s, m) in slopes.items()
        }
        storage.write_json(chosen.json, {"rows": rows, "slopes": told})


def slope(rows: list[dict[str, float]]) -> tuple[float, float]:
    """Return seconds and MiB a site of the line through the rows."""
    sites = [row["sites"] for row in rows]
    if len(sites) < 2:
        return float("nan"), float("nan")
    fits = [
        np.polyfit(sites, [row[name] for row in rows], 1)[0]
        for name in ("processor_seconds", "largest_mebibytes")
    ]
    return float(fits[0]), float(fits[1])


if __name__ == "__main__":
    main()
