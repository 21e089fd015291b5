"""What an exported monitor costs beside the monitor itself, and how equal the two are.

    python benchmarks/edge.py --data DIR [--machines fan,motor] [--clips 60]
    python benchmarks/edge.py --data DIR --embedders yamnet efficientat_mn04 --weights WEIGHTS
    python benchmarks/edge.py --installed --fourier

DIR is any dataset with test clips. With ``--embedders`` k-NN on these alone: with published weights where
WEIGHTS holds their file, else with random ones. For each system and embedder, over all machines: how far the
scores are apart, in deviations of the machine's left-out scores; whether p-values and states are equal;
processor time of a clip in turns, one thread each, from file to state; time and peak memory of a new process;
the file's size, and its multiplications for a clip of 10 s. ``--installed`` makes an environment with
thrum-edge alone and measures it; ``--fourier`` holds two ways to the spectrum against each other.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from backends import PUBLISHED
from edge_counts import multiplications
from embedders import random_weights
from thrum import storage
from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.embedders import EMBEDDERS
from thrum.embedders.weights import cache_folder, import_weights
from thrum.export import export_monitor
from thrum.export.embedders import KNOWN
from thrum.monitoring import Monitor, open_monitor
from thrum.monitoring.opening import prepare_monitors
from thrum.systems import create_system
from thrum.systems.base import SYSTEMS
from thrum.types import Clip

EDGE = Path(__file__).parents[1] / "edge"
sys.path.insert(0, str(EDGE / "src"))

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("knn", {"embedder": "logmel"}),
    ("knn", {"embedder": "modulation"}),
    ("embedding-sharing", {"form": "sequence", "epochs": 1, "whiten": True}),
    ("autoencoder", {"epochs": 5}),
)
SECONDS = 10
RATE = 16000


def trained(clips: Sequence[Clip], run: Path, name: str, config: dict[str, Any]) -> None:
    """Train a system on clips, briefly where it is a network: its costs do not depend on that."""
    made = create_system(name, SYSTEMS.load(name).Config(**config), device="cpu")
    learnt, back = list(clips), list(clips)
    if made.wants_held_out:
        learnt, back = learnt[1::2], learnt[::2]
    made.fit(learnt)
    if made.wants_held_out:
        made.calibrate(back)
    made.save(run)
    write_takings(run, takings_of(clips))
    prepare_monitors(run, made, back, when="then", who="benchmark")


def equality(monitor: Monitor, file: Path, clips: Sequence[Clip]) -> tuple[list[float], int]:
    """Return distances of scores in deviations, and how many p-values and states are equal."""
    from thrum_edge import Model
    from thrum_edge.sound import clips as clips_of

    model = Model(file)
    deviation = monitor.baseline.left_out.std()
    apart, equal = [], 0
    readings = [
        model.judge(part.samples) for clip in clips for part in clips_of(clip.path, model.told)
    ]
    for wanted, reading in zip(monitor.judge([clip.path for clip in clips]), readings, strict=True):
        if wanted.score is not None and reading.score is not None:
            apart.append(abs(reading.score - wanted.score) / deviation)
            equal += reading.p == wanted.p and wanted.state in (reading.state, "alarm")
    return apart, equal


def per_clip(first: Callable[[], object], second: Callable[[], object], turns: int) -> list[float]:
    """Return the median processor time of each, in turns."""
    times: list[list[float]] = [[], []]
    for _ in range(turns):
        for place, work in enumerate((first, second)):
            begun = time.process_time()
            work()
            times[place].append(time.process_time() - begun)
    return [statistics.median(own) for own in times]


def process(words: Sequence[str]) -> tuple[float, float, float]:
    """Return wall time, processor time and peak memory in MB of a new process, the median of three."""
    found = []
    for _ in range(3):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = 0
        while child.poll() is None:
            try:
                for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        peak = max(peak, int(line.split()[1]))
            except OSError:
                break
            time.sleep(0.005)
        child.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((time.perf_counter() - begun, cpu, peak / 1024))
    wall, cpu, peak_mb = (statistics.median(column) for column in zip(*found, strict=True))
    return wall, cpu, peak_mb


def installed() -> None:
    """Print how large an environment with thrum-edge alone is."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        size = _megabytes(Path(folder))
        pip = str(Path(folder) / "bin" / "pip")
        subprocess.run([pip, "install", "-q", str(EDGE)], check=True)
        packages = subprocess.run([pip, "list"], capture_output=True, text=True, check=True).stdout
        print(f"installed: {_megabytes(Path(folder)) - size:.0f} MB on top of Python and pip")
        print("with", ", ".join(line.split()[0] for line in packages.splitlines()[2:]))
        own = Path(folder) / "bin" / "thrum-edge"
        done = subprocess.run([str(own), "--help"], capture_output=True, text=True, check=True)
        print(done.stdout.splitlines()[0])


def fourier() -> None:
    """Print processor time of a clip's spectrum, by ONNX's operator and by convolution, and how exact."""
    import onnxruntime
    import torch

    from thrum.embedders.logmel import FFT_SIZE, HOP, LogMel
    from thrum.export.frontend import SAMPLES
    from thrum.export.graph import Graph
    from thrum.export.spectra import power_spectra, waves

    mel = LogMel()
    random = np.random.default_rng(0)
    hum = 0.3 * np.sin(2 * np.pi * 120 * np.arange(SECONDS * RATE) / RATE)
    # A loud hum over faint noise: in bands 70 dB below it, rounding shows.
    sound = (hum + 1e-4 * random.normal(size=SECONDS * RATE)).astype(np.float32)
    wanted = mel.levels(mel.power(torch.from_numpy(sound)[None]))[0].numpy()
    for way in ("STFT", "Conv"):
        graph = Graph()
        half = FFT_SIZE // 2
        padded = graph.op("Pad", SAMPLES, graph.ints(half, half))
        if way == "STFT":
            batch = graph.op("Unsqueeze", padded, graph.ints(0))
            window = graph.f32(mel._window.numpy())
            spectrum = graph.op("STFT", batch, graph.constant(HOP, "int64"), window)
            power = graph.op("ReduceSumSquare", spectrum, axes=[3], keepdims=0)
        else:
            batch = graph.op("Unsqueeze", padded, graph.ints(0))
            turning = waves(mel._window.double().numpy(), fft_size=FFT_SIZE)
            power = power_spectra(graph, batch, turning, hop=HOP)
        graph.output("power", power, "float32", [1, "frames", half + 1])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        content = graph.model("spectrum", inputs=SAMPLES, told={}).SerializeToString()
        session = onnxruntime.InferenceSession(content, options)
        power_found = session.run(None, {SAMPLES: sound})[0]
        found = mel.levels(torch.from_numpy(power_found))[0].numpy()
        (seconds, _) = per_clip(
            lambda session=session: session.run(None, {SAMPLES: sound}), lambda: None, 30
        )
        apart = np.abs(found - wanted).mean()
        print(f"{way}: {1e3 * seconds:.1f} ms, mean distance from PyTorch's levels {apart:.1e} dB")


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def store_weights(name: str, weights: Path | None) -> str:
    """Put the weights of an embedder into the cache; return which they are."""
    found = sorted(weights.rglob(PUBLISHED[name])) if weights and name in PUBLISHED else []
    if found:
        import_weights(name, found[0])
        return "published"
    checkpoint = getattr(EMBEDDERS.load(name), "checkpoint", "openl3_mel256_env")
    storage.save_state(cache_folder(), dict(random_weights(checkpoint).state), {}, name=checkpoint)
    return "random"


def chosen(clips: Sequence[Clip], machines: Sequence[str], most: int | None) -> list[Clip]:
    """Return clips of some machines, at most so many of each machine ID."""
    own = [clip for clip in clips if not machines or clip.machine in machines]
    keys = sorted({clip.machine_key for clip in own})
    return [clip for key in keys for clip in [c for c in own if c.machine_key == key][:most]]


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    dataset = open_dataset(arguments.data)
    machines = [word for word in arguments.machines.split(",") if word]
    train = chosen(list(dataset.where(split="train")), machines, arguments.train)
    test = chosen(list(dataset.where(split="test")), machines, arguments.clips)
    cases: Sequence[tuple[str, dict[str, Any]]] = CASES
    if arguments.embedders:
        os.environ["THRUM_CACHE"] = str(folder / "cache")
        cases = [("knn", {"embedder": each}) for each in arguments.embedders]
    for name, config in cases:
        weights = ""
        if arguments.embedders:
            weights = f" ({store_weights(config['embedder'], arguments.weights)} weights)"
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        trained(train, run, name, config)
        apart: list[float] = []
        equal = 0
        file = folder / "monitor.onnx"
        for key in sorted({clip.machine_key for clip in test} & {c.machine_key for c in train}):
            own = [clip for clip in test if clip.machine_key == key]
            monitor = open_monitor(run, "/".join(key), device="cpu")
            export_monitor(monitor, file)
            distances, same = equality(monitor, file, own)
            apart += distances
            equal += same
        print(
            f"{name} {config.get('embedder', '')}{weights}: {len(apart)} clips, score apart median "
            f"{np.median(apart):.1e}, 90 % {np.quantile(apart, 0.9):.1e}, most {max(apart):.1e} deviations; "
            f"p and state equal {equal} of {len(apart)}",
            flush=True,
        )
        _speed(monitor, file, run, folder)


def _speed(monitor: Monitor, file: Path, run: Path, folder: Path) -> None:
    from thrum_edge import Model
    from thrum_edge.sound import clips as clips_of

    random = np.random.default_rng(0)
    recording = folder / "clip.wav"
    soundfile.write(recording, 0.1 * random.normal(size=SECONDS * RATE), RATE)
    model = Model(file)
    told = {**model.told, "seconds": SECONDS, "longest_seconds": SECONDS}
    clip = Clip(recording, *monitor.key, "test", name="clip")
    begun = time.process_time()
    monitor.judge(clip)
    ours, theirs = per_clip(
        lambda: model.judge(next(clips_of(recording, told)).samples),
        lambda: monitor.judge(clip),
        30 if time.process_time() - begun < 1 else 3,
    )
    edge = [sys.executable, "-m", "thrum_edge", str(file), str(recording)]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(EDGE / "src"), os.environ.get("PYTHONPATH", "")]
    )
    thrum = [sys.executable, "-m", "thrum", "score", str(run), str(recording)]
    thrum += ["--machine", monitor.name]
    counted = multiplications(file, SECONDS * RATE) / 1e6
    print(
        f"  a clip of {SECONDS} s: thrum-edge {1e3 * ours:.1f} ms, thrum {1e3 * theirs:.1f} ms of one core "
        f"({1 / ours:.2g} and {1 / theirs:.2g} clips a second); {counted:.0f} million "
        f"multiplications; file {file.stat().st_size / 1e6:.1f} MB"
    )
    for word, words in (("thrum-edge", edge), ("thrum score", thrum)):
        wall, cpu, peak = process(words)
        print(
            f"  {word}, a new process for one clip: {wall:.2f} s, {cpu:.2f} s of CPU, {peak:.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--machines", default="", help="as fan,motor; else all")
    parser.add_argument("--clips", type=int, default=60, help="of each machine ID, at most")
    parser.add_argument("--train", type=int, help="clips learnt of each machine ID, at most")
    parser.add_argument("--embedders", nargs="+", choices=sorted(KNOWN))
    parser.add_argument("--weights", type=Path, help="a folder of published weights")
    parser.add_argument("--installed", action="store_true")
    parser.add_argument("--fourier", action="store_true")
    arguments = parser.parse_args()
    if arguments.installed:
        installed()
    if arguments.fourier:
        fourier()
    if arguments.data:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments, Path(folder))


if __name__ == "__main__":
    main()
