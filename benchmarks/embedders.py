"""How fast is each embedder, where does the time go, how much memory does it take?

    python benchmarks/embedders.py                              all, on one core of the CPU
    python benchmarks/embedders.py --device cuda --clips 64     on a GPU
    python benchmarks/embedders.py --only yamnet --precision bfloat16

Each embedder runs in a process of its own, on noise, with weights of the right shapes and random values.
On a CPU time is processor time on one thread, so that other work on the machine does not count; figures
are medians. wav2vec 2.0 is measured beside plain transformers; for YAMNet see yamnet_original.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from thrum.embedders import EMBEDDERS, Embedder
from thrum.embedders.checkpoints import checkpoint_called
from thrum.embedders.conversion import build_network
from thrum.embedders.pretrained import PretrainedEmbedder
from thrum.embedders.weights import Weights
from thrum.features.resampling import resample


def random_weights(name: str) -> Weights:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, value in build_network(checkpoint_called(name)).state_dict().items():
        if not value.is_floating_point():
            state[key] = torch.zeros(value.shape, dtype=value.dtype)
        elif value.ndim <= 1:
            state[key] = torch.ones(value.shape)
        else:
            scale = (2 / value[0].numel()) ** 0.5
            state[key] = torch.randn(value.shape, generator=generator) * scale
    return Weights(state, sha256="")


def make(name: str, precision: str) -> Embedder:
    cls = EMBEDDERS.load(name)
    if not issubclass(cls, PretrainedEmbedder):
        return cls()
    checkpoint = getattr(cls, "checkpoint", "openl3_mel256_env")
    return cls(weights=random_weights(checkpoint), precision=precision, backend="torch")


def seconds(work: Callable[[], object], *, repeats: int, device: str) -> float:
    """Return the median time of `work`, after one run that does not count."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(repeats + 1):
        start = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return statistics.median(times[1:])


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    device, repeats = arguments.device, arguments.repeats
    audio = 0.1 * torch.randn(arguments.clips, arguments.seconds * 16000)
    audio = audio.to(device)
    embedder = make(name, arguments.precision).to(device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = seconds(lambda: embedder.frames(audio), repeats=repeats, device=device)
    result = {
        "embedder": name,
        "clips_per_s": arguments.clips / total,
        "frames": list(embedder.frames(audio)[0].shape[1:]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "mb_while_embedding": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }
    if isinstance(embedder, PretrainedEmbedder):
        resampling = 0.0
        if embedder.model_rate != embedder.sample_rate:
            sound = audio.to(embedder.resampling_dtype)
            resampling = seconds(
                lambda: resample(sound, embedder.sample_rate, embedder.model_rate),
                repeats=repeats,
                device=device,
            )
        result["resampling"] = resampling / total
        result["network"] = share_of_network(embedder, audio, device=device)
        result["front_end"] = max(0.0, 1 - result["resampling"] - result["network"])
    if name == "wav2vec2":
        result["original_clips_per_s"] = arguments.clips / plain_transformers(
            audio, repeats, device
        )
    return result


def share_of_network(embedder: PretrainedEmbedder, audio: torch.Tensor, *, device: str) -> float:
    """Return the share of one call's time that is spent in the network."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    spent, started = 0.0, 0.0

    def enter(*_: object) -> None:
        nonlocal started
        if device != "cpu":
            torch.cuda.synchronize()
        started = clock()

    def leave(*_: object) -> None:
        nonlocal spent
        if device != "cpu":
            torch.cuda.synchronize()
        spent += clock() - started

    hooks = [
        embedder.network.register_forward_pre_hook(enter),
        embedder.network.register_forward_hook(leave),
    ]
    start = clock()
    embedder.frames(audio)
    total = clock() - start
    for hook in hooks:
        hook.remove()
    return spent / total


def plain_transformers(audio: torch.Tensor, repeats: int, device: str) -> float:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    model = Wav2Vec2Model(Wav2Vec2Config()).eval().to(device)
    with torch.inference_mode():
        return seconds(lambda: model(audio), repeats=repeats, device=device)


def row(result: dict[str, Any]) -> str:
    frames = "×".join(map(str, result["frames"]))
    shares = " ".join(
        f"{result[part]:6.1%}" if part in result else "     –"
        for part in ("resampling", "front_end", "network")
    )
    original = result.get("original_clips_per_s")
    return (
        f"{result['embedder']:<17}{frames:>10}{result['clips_per_s']:>9.3g}  {shares}"
        f"{result['peak_mb']:>9.0f}" + (f"{original:>10.3g}" if original else f"{'–':>10}")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[n for n in EMBEDDERS if n != "precomputed"])
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--json", action="store_true", help="one embedder, as JSON")
    arguments = parser.parse_args()
    names = arguments.only or [name for name in EMBEDDERS if name != "precomputed"]
    if arguments.json:
        print(json.dumps(measure(names[0], arguments)))
        return
    print(
        f"{'embedder':<17}{'10 s give':>10}{'clips/s':>9}  resamp. front  network  peak MB  original"
    )
    options = [option for option in sys.argv[1:] if option != "--only" and option not in names]
    for name in names:
        command = [sys.executable, __file__, *options, "--only", name, "--json"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(row(json.loads(answer)), flush=True)


if __name__ == "__main__":
    main()
