"""What an exported monitor costs beside the monitor itself, and how equal the two are.

    python benchmarks/edge.py --data DIR [--machines fan,motor] [--clips 60]
    python benchmarks/edge.py --installed --fourier

DIR is any dataset with test clips. For each system and embedder, over all machines: how far the scores
are apart, in deviations of the machine's left-out scores; whether p-values and states are equal; processor
time of a clip in turns, one thread each, from file to state; time and peak memory of a new process; the
file's size, and its multiplications for a clip of 10 s. ``--installed`` makes an environment with thrum-edge
alone and measures it; ``--fourier`` holds two ways to the spectrum against each other.
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
import onnx
import soundfile

from thrum.datasets import open_dataset
from thrum.datasets.taking import takings_of, write_takings
from thrum.export import export_monitor
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
    """Return wall time, processor time and peak memory in MB of a new process, the median of five."""
    found = []
    for _ in range(5):
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


def multiplications(file: Path) -> float:
    """Return how many multiplications the matrix products of a clip of 10 s take."""
    model = onnx.load(file)
    taken = model.graph.input[0].type.tensor_type.shape.dim[0]
    taken.ClearField("dim_param")
    taken.dim_value = SECONDS * RATE
    import onnxruntime

    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(node.output[0])
        for node in model.graph.node
        if node.op_type in ("MatMul", "Conv")
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [node.output[0] for node in model.graph.node if node.op_type in ("MatMul", "Conv")]
    results = session.run(names, {"samples": np.zeros(SECONDS * RATE, np.float32)})
    constants = {each.name: each.dims for each in model.graph.initializer}
    total = 0.0
    nodes = [node for node in model.graph.node if node.op_type in ("MatMul", "Conv")]
    for node, result in zip(nodes, results, strict=True):
        known = next(name for name in node.input if name in constants)
        shape = list(constants[known])
        deep = shape[-1] if node.op_type == "Conv" or node.input[0] == known else shape[0]
        total += result.size * deep
    return total


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
    from thrum.export.frontend import SAMPLES, waves
    from thrum.export.graph import Graph

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
            batch = graph.op("Unsqueeze", padded, graph.ints(0, 1))
            spectrum = graph.op("Conv", batch, graph.f32(waves()), strides=[HOP])
            parts = graph.several("Split", graph.op("Mul", spectrum, spectrum), outputs=2, axis=1)
            power = graph.op("Transpose", graph.op("Add", *parts), perm=[0, 2, 1])
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


def compare(data: Path, machines: Sequence[str], most: int, folder: Path) -> None:
    dataset = open_dataset(data)
    train = [c for c in dataset.where(split="train") if not machines or c.machine in machines]
    test = [c for c in dataset.where(split="test") if not machines or c.machine in machines]
    for name, config in CASES:
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        trained(train, run, name, config)
        apart: list[float] = []
        equal = 0
        file = folder / "monitor.onnx"
        for key in sorted({clip.machine_key for clip in test} & {c.machine_key for c in train}):
            own = [clip for clip in test if clip.machine_key == key][:most]
            monitor = open_monitor(run, "/".join(key), device="cpu")
            export_monitor(monitor, file)
            distances, same = equality(monitor, file, own)
            apart += distances
            equal += same
        print(
            f"{name} {config.get('embedder', '')}: {len(apart)} clips, score apart median "
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
    ours, theirs = per_clip(
        lambda: model.judge(next(clips_of(recording, told)).samples),
        lambda: monitor.judge(clip),
        30,
    )
    edge = [sys.executable, "-m", "thrum_edge", str(file), str(recording)]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(EDGE / "src"), os.environ.get("PYTHONPATH", "")]
    )
    thrum = [sys.executable, "-m", "thrum", "score", str(run), str(recording)]
    thrum += ["--machine", monitor.name]
    print(
        f"  a clip of {SECONDS} s: thrum-edge {1e3 * ours:.1f} ms, thrum {1e3 * theirs:.1f} ms of one core "
        f"({1 / ours:.0f} and {1 / theirs:.0f} clips a second); {multiplications(file) / 1e6:.0f} million "
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
    parser.add_argument("--installed", action="store_true")
    parser.add_argument("--fourier", action="store_true")
    arguments = parser.parse_args()
    if arguments.installed:
        installed()
    if arguments.fourier:
        fourier()
    if arguments.data:
        machines = [word for word in arguments.machines.split(",") if word]
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments.data, machines, arguments.clips, Path(folder))


if __name__ == "__main__":
    main()
