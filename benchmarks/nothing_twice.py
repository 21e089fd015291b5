"""What a user waits for, by two versions of thrum in turns: is the newer one faster, and by how much?

    git worktree add --detach OLD COMMIT
    python benchmarks/nothing_twice.py OLD . --data TESTBED --weights WEIGHTS --repeats 3 --out ratios.json

OLD and NEW are two checkouts; both run in this environment, as ``python -m thrum`` with one thread, in turns,
each time into an empty folder. TESTBED holds ``audio``, a dataset; WEIGHTS somewhere ``yamnet.h5``. What is
told is processor time of the command and all that it starts, the median of the repeats, and the ratio old
over new of the pairs. The cost of the report is that of `simulate` with it less that without. Each version
scores with a run that it trained itself. Versions before statistics were shared train a classifier twice in
`simulate`, which the newer one does not do unasked: "embeddings" has it share as they did.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thrum.embedders.weights import import_weights

MODULATION, YAMNET = ["--embedder", "modulation"], ["--embedder", "yamnet"]


def cases(data: Path, run: Path) -> dict[str, list[str]]:
    """Return the words of each command, without the folder that it writes."""
    simulate = ["collaborate", "simulate", "--data", str(data / "audio")]
    bench = ["bench", "testbed", "--data", str(data), "--only", "idnn*", "--jobs", "1"]
    return {
        "score": ["score", str(run), str(data / "audio/uav/test"), "--machine", "uav/id_00"],
        "simulate, modulation": [*simulate, *MODULATION],
        "simulate, modulation, no report": [*simulate, *MODULATION, "--no-report"],
        "simulate, modulation, embeddings": [*simulate, *MODULATION],
        "simulate, yamnet": [*simulate, *YAMNET],
        "bench, one cell": [*bench, "--seeds", "1"],
        "demo": ["demo"],
    }


def thrum(checkout: Path, words: Sequence[str]) -> float:
    """Run a command of a checkout; return the processor time of it and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "thrum", *words],
        env=os.environ | {"PYTHONPATH": str(checkout.resolve() / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"{checkout}: thrum {' '.join(words)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(name: str, arguments: argparse.Namespace, runs: Path) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(arguments.repeats):
        for version in seconds:
            with tempfile.TemporaryDirectory() as folder:
                words = cases(arguments.data, runs / version)[name]
                if name.endswith("embeddings") and version == "new":
                    words = [*words, "--sharing", "embeddings"]
                out = Path(folder) / ("scores.csv" if words[0] == "score" else "out")
                found = thrum(getattr(arguments, version), [*words, "--out", str(out)])
                seconds[version].append(found)
    pairs = [old / new for old, new in zip(*seconds.values(), strict=True)]
    medians = {version: statistics.median(own) for version, own in seconds.items()}
    return {"command": name, **medians, "ratio": statistics.median(pairs), "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="as told in the table; else all")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python compiles a version once
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["THRUM_CACHE"] = folder
        import_weights("yamnet", next(arguments.weights.rglob("yamnet.h5")))
        train = ["train", "--system", "knn", "--set", "embedder=yamnet", "--no-report", "--data"]
        for version in ("old", "new"):
            if not arguments.only or "score" in arguments.only:
                run = Path(folder) / version
                own = [*train, str(arguments.data / "audio"), "--out", str(run)]
                thrum(getattr(arguments, version), own)
        print("| command | old, s | new, s | old / new |\n| --- | --- | --- | --- |", flush=True)
        for name in cases(arguments.data, Path(folder)):
            if arguments.only and name not in arguments.only:
                continue
            results.append(measure(name, arguments, Path(folder)))
            old, new, ratio = (results[-1][key] for key in ("old", "new", "ratio"))
            print(f"| {name} | {old:.1f} | {new:.1f} | {ratio:.2f} |", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
