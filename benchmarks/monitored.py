"""What the benchmarks of the monitor share: machines that hum, learnt, and the service as a process."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum import audio, storage
from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.monitoring.opening import prepare_monitors
from thrum.systems import create_system
from thrum.systems.baselines.knn import Config

RATE = 16000
FORKER = """
import os, sys
from thrum.service import running
running.HOUR_SECONDS = float(sys.argv[1])  # so often sound is thinned
if sys.argv[2] == "fresh":
    sys.argv = ["thrum", "monitor", "--config", sys.argv[3]]
    from thrum.cli import main
    main()
from thrum.cli import main
import nicegui, thrum.service.serving, thrum.service.web.pages, thrum.service.out.mqtt, alembic.command
config = sys.argv[3]
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.setsid()
        handle = os.open(os.devnull, os.O_RDONLY)
        os.dup2(handle, 0)
        os.dup2(2, 1)
        sys.argv = ["thrum", "monitor", "--config", config]
        main()
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""Starts the service as often as it is told to, from a process that has imported it already."""


def hum(
    random: np.random.Generator, *, seconds: float = 1.5, faulty: bool = False
) -> NDArray[np.float32]:
    """Return a machine that hums (S,), no two times the same; a faulty one whistles, too."""
    at = np.arange(int(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * k * 110 * at + random.uniform(0, 6)) / k for k in (1, 2, 3))
    noise = random.normal(size=len(at))
    whole = 0.1 * sound * random.uniform(0.7, 1.4) + 0.03 * noise
    if faulty:
        whole += 0.05 * np.sin(2 * np.pi * 3000 * at) * (at > seconds / 2)
    return whole.astype(np.float32)


def wav(samples: NDArray[np.float32]) -> bytes:
    """Return samples (S,) as a wav file of 16 bits."""
    held = io.BytesIO()
    soundfile.write(held, samples, RATE, format="WAV", subtype="PCM_16")
    return held.getvalue()


def learn(folder: Path, *, clips: int = 40, seconds: float = 1.5) -> Path:
    """Learn the normal sound of ``hum/id_00``; return the run."""
    random = np.random.default_rng(0)
    for number in range(clips):
        path = folder / "data" / "hum" / "train" / f"normal_id_00_{number:08d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, hum(random, seconds=seconds), RATE)
    found = list(open_dataset(folder / "data").where(split="train"))
    system = create_system("knn", Config(embedder="modulation"), device="cpu").fit(found)
    run = folder / "run"
    system.save(run)
    write_takings(run, takings_of(found))
    prepare_monitors(run, system, found, when="then", who="benchmark")
    return run


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so.

    Raises
    ------
    TimeoutError
        Where it is not for so long.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"in {seconds:g} s it did not come to this: {what}")
        time.sleep(0.1)


class Process:
    """The service as a process of its own, started again and again.

    Parameters
    ----------
    config
        ``monitor.toml``.
    port
        Where it listens.
    log
        Where its log goes.
    retention_seconds
        How often sound is thinned.
    """

    def __init__(self, config: Path, port: int, log: Path, *, retention_seconds: float) -> None:
        self.config, self.port, self.log = config, port, log
        self.words = [sys.executable, "-c", FORKER, str(retention_seconds)]
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self.forker = self._popen("forked")
        assert self.forker.stdout is not None
        assert self.forker.stdout.readline() == "ready\n", log.read_text()
        self.alone: subprocess.Popen[str] | None = None
        self.pid = 0

    def _popen(self, how: str) -> subprocess.Popen[str]:
        with self.log.open("ab") as file:
            return subprocess.Popen(
                [*self.words, how, str(self.config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if how == "forked" else file,
                stderr=file,
                text=True,
                env=self.environment,
            )

    def start(self, *, fresh: bool = False) -> None:
        """Start it, from what is imported already or from nothing."""
        if fresh:
            self.alone = self._popen("fresh")
            self.pid = self.alone.pid
            return
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        self.forker.stdin.write("start\n")
        self.forker.stdin.flush()
        self.pid = int(self.forker.stdout.readline())

    def end(self, number: int = signal.SIGKILL) -> None:
        """Kill it, or tell it to end; wait until it has."""
        os.kill(self.pid, number)
        if self.alone is not None:
            self.alone.wait()
            self.alone = None
            return
        assert self.forker.stdout is not None
        assert self.forker.stdout.readline() == "ended\n"

    def answers(self) -> bool:
        """Return whether it listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Let the process go that starts it."""
        assert self.forker.stdin is not None
        self.forker.stdin.close()
        self.forker.wait(30)


def key_of(content: bytes, source: str, told: float | None) -> str:
    """Return the key that the service must give a clip."""
    from thrum.service.store import clips

    return clips.key_of(
        storage.sha256_bytes(content), source, "" if told is None else f"{told:.3f}"
    )
