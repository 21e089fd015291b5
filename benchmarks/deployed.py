"""A round over the real engine on one machine: what it costs with many sites, and how fast embeddings travel.

    python benchmarks/deployed.py --sites 2
    python benchmarks/deployed.py --sites 2 --sharing embeddings --clips 512 --upload

Kits are made, a server and so many sites are started as ``thrum collaborate`` is, each with one machine of
its own, and watched twice a second: processor seconds, and memory as the kernel shares it out (PSS, so that a
library that all have loaded counts once). With ``--upload`` clips are of 313 frames of 768 dimensions, as an
encoder of speech makes of ten seconds, and the round is ended when all have arrived; memory meanwhile is told
without the pages of mapped files, which the kernel takes back when it wants them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from thrum import storage

PROJECT = Path(__file__).parents[1] / "deploy" / "project.yml"
WATCH_SECONDS = 0.5


@dataclass
class Watched:
    """A command and all that it started."""

    process: subprocess.Popen[bytes]
    name: str
    peak: dict[str, float] = field(default_factory=dict)
    """MiB of each kind of process, and of all together."""
    used: dict[int, float] = field(default_factory=dict)
    """Processor seconds of each process so far."""
    most_processes: int = 0

    def look(self) -> float:
        """Look once; return the MiB of all together, mapped files left out."""
        with suppress(psutil.Error):
            command = psutil.Process(self.process.pid)
            family = [command, *command.children(recursive=True)]
            now: dict[str, float] = {}
            held = 0.0
            for one in family:
                with suppress(psutil.Error):
                    times = one.cpu_times()
                    self.used[one.pid] = times.user + times.system
                    kind = _kind(one.cmdline())
                    memory = memory_of(one.pid)
                    now[kind] = now.get(kind, 0.0) + memory["Pss"] / 1024
                    held += memory["Pss_Anon"] / 1024
            now["together"] = sum(now.values())
            self.most_processes = max(self.most_processes, len(family))
            for kind, size in now.items():
                self.peak[kind] = max(self.peak.get(kind, 0.0), size)
            return held
        return 0.0


class Step(NamedTuple):
    """What was seen at one look."""

    seconds: float
    n_bytes: int
    """That have arrived."""
    used: float
    """Processor seconds of all processes so far."""
    server: float
    site: float
    """MiB, of the largest."""


def memory_of(pid: int) -> dict[str, int]:
    """Return what the kernel says of a process's memory, in KiB; nothing where it is gone."""
    found = {"Pss": 0, "Pss_Anon": 0}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
            name, size, _ = line.split()
            found[name.rstrip(":")] = int(size)
    return found


def _kind(words: list[str]) -> str:
    line = " ".join(words)
    if "worker_process" in line or "runner_process" in line:
        return "of the round"
    return "engine" if "thrum.federation.flare.process" in line else "command"


def make_kits(folder: Path, sites: list[str]) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    project = PROJECT.read_text(encoding="utf-8")
    project = project.replace("thrum.example.org", "localhost").replace("8002", str(port))
    for name in ("north", "south"):
        start = project.index(f"  - name: {name}")
        project = project[:start] + project[project.index(f"org: {name}\n", start) :].partition(
            "\n"
        )[2].lstrip("\n")
    more = "".join(f"  - name: {name}\n    type: client\n    org: {name}\n" for name in sites)
    path = folder / "project.yml"
    path.write_text(project.replace("builders:", f"{more}\nbuilders:", 1), encoding="utf-8")
    command = [sys.executable, "-c", "from nvflare.cli import main; main()", "provision"]
    command += ["-p", str(path), "-w", str(folder / "kits")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "kits" / "thrum" / "prod_00"


def write_clips(path: Path, seed: int, *, clips: int, frames: int, dimensions: int) -> None:
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True)
    arrays = {}
    for name, count in (("train_normal", clips), ("test_normal", 2), ("test_anomaly", 2)):
        level = random.normal(size=(count, 1, dimensions)).astype(np.float16)
        noise = random.standard_normal((64, frames, dimensions), dtype=np.float32)
        noise = noise.astype(np.float16)
        arrays[name] = np.concatenate(
            [level[at : at + 64] + noise[: count - at] for at in range(0, count, 64)]
        )
    np.savez(path, **arrays)


def thrum(folder: Path, name: str, *words: object) -> Watched:
    command = [sys.executable, "-m", "thrum", "collaborate", *map(str, words)]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    return Watched(process, name)


def arrived(hub: Path) -> int:
    """Return the bytes of the pieces that the server has."""
    return sum(path.stat().st_size for path in hub.glob("pieces/*/*/*.npy"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sites", type=int, default=20)
    options.add_argument("--clips", type=int, default=8, help="training clips of each")
    options.add_argument("--sharing", choices=("statistics", "embeddings"), default="statistics")
    options.add_argument("--upload", action="store_true")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    names = [f"site{number:02d}" for number in range(chosen.sites)]
    frames, dimensions = (313, 768) if chosen.upload else (24, 12)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        kits = make_kits(root, names)
        lines = [f'{name} = ["Press/id_{number:02d}"]' for number, name in enumerate(names)]
        (root / "sites.toml").write_text("[sites]\n" + "\n".join(lines), encoding="utf-8")
        for number, name in enumerate(names):
            path = root / name / f"Press_id_{number:02d}.npz"
            write_clips(path, number, clips=chosen.clips, frames=frames, dimensions=dimensions)
        hub = root / "hub"
        shared = ["--sharing", chosen.sharing, "--device", "cpu"]
        settings = ["--set", "epochs=1", "--set", "members=1"]
        words = ["server", "--kit", kits, "--sites", root / "sites.toml", "--out", hub, *shared]
        began = time.monotonic()
        watched = [
            thrum(root, "server", *words, *(settings if chosen.sharing == "embeddings" else []))
        ]
        release = ["--release", "frames"] if chosen.sharing == "embeddings" else []
        for name in names:
            words = ["client", "--kit", kits / name, "--data", root / name, *release]
            watched.append(thrum(root, name, *words, *shared, "--out", root / f"{name}-out"))
        try:
            told = follow(watched, hub, whole=whole_bytes(chosen, dimensions, frames))
            if told is None:
                for path in sorted(root.glob("*.log")):
                    print(path.name, path.read_text(encoding="utf-8")[-500:], file=sys.stderr)
                sys.exit("a command ended with an error")
        finally:
            for one in watched:
                with suppress(psutil.Error):
                    for child in psutil.Process(one.process.pid).children(recursive=True):
                        child.kill()
                one.process.kill()
                one.process.wait()
        told = {"sites": chosen.sites, "sharing": chosen.sharing, "clips": chosen.clips, **told}
        told["wall_seconds"] = round(time.monotonic() - began, 1)
        told["processor_seconds"] = round(sum(sum(one.used.values()) for one in watched), 1)
        told["processes"] = sum(one.most_processes for one in watched)
        for role, ones in (("server", watched[:1]), ("site", watched[1:])):
            for kind in ("command", "engine", "of the round", "together"):
                peak = max(one.peak.get(kind, 0.0) for one in ones)
                told[f"{role}, {kind}, MiB at most"] = round(peak)
    print(json.dumps(told, indent=2))
    if chosen.json:
        storage.write_json(chosen.json, told)


def whole_bytes(chosen: argparse.Namespace, dimensions: int, frames: int) -> int | None:
    """Return how many bytes of embeddings are uploaded, where that is what is measured."""
    return 2 * chosen.sites * chosen.clips * frames * dimensions if chosen.upload else None


def follow(watched: list[Watched], hub: Path, *, whole: int | None) -> dict[str, object] | None:
    """Watch until all commands have ended, or all bytes have arrived; None where one failed."""
    steps: list[Step] = []
    while any(one.process.poll() is None for one in watched):
        sizes = [one.look() for one in watched]
        if whole is not None:
            used = sum(sum(one.used.values()) for one in watched)
            steps.append(Step(time.monotonic(), arrived(hub), used, sizes[0], max(sizes[1:])))
            if steps[-1].n_bytes >= whole:
                return uploaded(steps, whole)
        if any(one.process.poll() not in (None, 0) for one in watched):
            return None
        time.sleep(WATCH_SECONDS)
    return {}


def uploaded(steps: list[Step], whole: int) -> dict[str, object]:
    """Return how fast bytes came between a tenth and all of them, and what memory did meanwhile."""
    moving = [step for step in steps if step.n_bytes > 0.1 * whole]
    first, last = moving[0], moving[-1]
    megabytes = max(last.n_bytes - first.n_bytes, 1) / 1e6
    return {
        "megabytes": round(whole / 1e6),
        "megabytes_a_second": round(megabytes / max(last.seconds - first.seconds, 1e-9), 1),
        "processor_ms_a_megabyte": round(1e3 * (last.used - first.used) / megabytes, 1),
        "server, MiB of its own from a tenth on": [round(step.server) for step in moving],
        "site, MiB of its own from a tenth on": [round(step.site) for step in moving],
    }


if __name__ == "__main__":
    main()
