"""What runs a pretrained embedder fastest on one core: PyTorch, onnxruntime, OpenVINO?

    python benchmarks/backends.py --weights ../shared/weights --out backends.json
    python benchmarks/backends.py --only yamnet efficientat_mn04
    python benchmarks/backends.py --pieces      EfficientAT's spectrogram whole, and some frames at a time

In turns, in processor time on one thread, medians; for each embedder a process of its own. YAMNet and
EfficientAT mn04 run with their published weights where ``--weights`` names a folder that holds ``yamnet.h5``
and ``mn04_as_mAP_432.pt`` (at any depth); all others with random weights of the same shapes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from embedders import random_weights
from thrum.embedders import EMBEDDERS, efficientat
from thrum.embedders.runtimes import BACKENDS, is_installed
from thrum.embedders.weights import import_weights

NAMES = (
    "yamnet",
    "efficientat_mn04",
    "efficientat_mn10",
    "openl3",
    "panns_cnn14",
    "panns",
    "beats",
)
PUBLISHED = {"yamnet": "yamnet.h5", "efficientat_mn04": "mn04_as_mAP_432.pt"}


def measure(name: str, arguments: argparse.Namespace, cache: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    cls, settings = EMBEDDERS.load(name), {}
    found: list[Path] = []
    if name in PUBLISHED and arguments.weights:
        found = sorted(arguments.weights.rglob(PUBLISHED[name]))
    if found:
        import_weights(name, found[0], cache=cache)
        settings["cache"] = cache
    else:
        settings["weights"] = random_weights(getattr(cls, "checkpoint", "openl3_mel256_env"))
    torch.manual_seed(0)
    audio = 0.1 * torch.randn(1, round(arguments.seconds * 16000))
    backends = [each for each in BACKENDS if each != "auto" and is_installed(each)]
    made = {backend: cls(backend=backend, **settings) for backend in backends}
    first, spent, networks = {}, {each: [] for each in backends}, {each: [] for each in backends}
    outputs = {}
    for backend, embedder in made.items():
        start = time.process_time()
        outputs[backend] = embedder.frames(audio)[0]
        first[backend] = time.process_time() - start
        timed(embedder, networks[backend])
    for _ in range(arguments.repeats):
        for backend, embedder in made.items():
            start = time.process_time()
            embedder.frames(audio)
            spent[backend].append(time.process_time() - start)
    per_call = {each: len(networks[each]) // arguments.repeats for each in backends}
    wanted = outputs["torch"]
    return {
        "embedder": name,
        "weights": "published" if found else "random",
        "seconds_of_sound": arguments.seconds,
        "ms": {each: 1000 * statistics.median(spent[each]) for each in backends},
        "ms_network": {
            each: 1000 * per_call[each] * statistics.median(networks[each]) for each in backends
        },
        "ms_first_call": {each: 1000 * first[each] for each in backends},
        "apart": {
            each: float((outputs[each] - wanted).norm() / wanted.norm()) for each in backends
        },
    }


def pieces(seconds: float, repeats: int) -> None:
    """Print the time of EfficientAT's spectrogram, whole and in pieces, in turns."""
    torch.set_num_threads(1)
    embedder = efficientat.MobileNet04(weights=random_weights("efficientat_mn04"), backend="torch")
    audio = 0.1 * torch.randn(1, round(seconds * efficientat.MODEL_RATE))
    spent: dict[int, list[float]] = {10**9: [], efficientat.FRAMES_AT_A_TIME: []}
    for _ in range(repeats + 1):
        for frames, times in spent.items():
            efficientat.FRAMES_AT_A_TIME = frames
            start = time.process_time()
            embedder.mel(audio)
            times.append(time.process_time() - start)
    whole, cut = (1000 * statistics.median(times[1:]) for times in spent.values())
    ratio = statistics.median(
        one / other for one, other in zip(*(times[1:] for times in spent.values()), strict=True)
    )
    print(
        f"spectrogram of {seconds:g} s: whole {whole:.1f} ms, in pieces {cut:.1f} ms; {ratio:.2f}"
    )


def timed(embedder: Any, times: list[float]) -> None:
    """Note the time of every call of the network."""
    run = embedder._run

    def noting(*inputs: torch.Tensor) -> torch.Tensor:
        start = time.process_time()
        output = run(*inputs)
        times.append(time.process_time() - start)
        return output

    embedder._run = noting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--weights", type=Path, help="A folder of published weights.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pieces", action="store_true")
    parser.add_argument("--json", action="store_true", help="one embedder, as JSON")
    arguments = parser.parse_args()
    if arguments.pieces:
        pieces(arguments.seconds, arguments.repeats)
        return
    if arguments.json:
        with tempfile.TemporaryDirectory() as cache:
            print(json.dumps(measure(arguments.only[0], arguments, Path(cache))))
        return
    options = ["--seconds", str(arguments.seconds), "--repeats", str(arguments.repeats)]
    options += ["--weights", str(arguments.weights)] if arguments.weights else []
    results = []
    for name in arguments.only:
        command = [sys.executable, __file__, *options, "--only", name, "--json"]
        results.append(
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        )
        print(json.dumps(results[-1]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
