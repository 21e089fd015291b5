"""Do explanations point at the fault? Simulated machines, whose faults lie where the simulator put them.

    python benchmarks/explanations.py --json docs/results/monitoring/explanations.json

Of each kind one machine is learnt by k-NN on log-mel (60 normal clips of 4 s at 12 dB, one speed and load),
and faulty clips of severity 1 are explained. Each has a twin without the fault: the region of a fault are the
patches in which what it adds is at least half as loud as all else. A fault is local in a clip where that is
at most a third of all patches and holds half at least of what it changes, in dB over all patches. Printed, by
fault: how many clips are local and called suspicious at 5 %; in which share of those the strongest patch lies
in the region, by each of these ways to find it.

*Occlusion, weighed*, as `thrum explain` does it: each patch is brought to the level of the five most similar
normal clips, and the score asked again; what it falls by counts half where the patch is quieter than usual.
*Occlusion*: the fall alone. *Occlusion, strange patches*: the same, among patches whose level is none
that one of the normal clips has there. *Gradients*: the score's gradient by the level of each patch, along
the way from the clip to one with all patches as usual (integrated in eight steps; Sundararajan and others,
2017), times what the patch has to change; k-NN on log-mel is differentiable all the way. *Deviation*: the
level in deviations of the normal clips. *Plain difference*: to the nearest normal clip, in dB. *Uniform
guess*: the share of patches in the region.

*Misses*: of the faults that the first way does not always find, how much the strongest patch takes off the
score where it points at the fault, and where it does not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import thrum
from thrum import audio, storage
from thrum.datasets import open_dataset
from thrum.datasets.synthetic import FAULTS, Condition, Machine, Scene, draw_machine, simulate_scene
from thrum.embedders.logmel import LogMel
from thrum.monitoring import Monitor
from thrum.monitoring.detail import SPECTRUM_HZ
from thrum.monitoring.explanation import explain, nearest, usual_spectrum
from thrum.monitoring.heard import hear
from thrum.monitoring.occlusion import HOP, TIMES, WINDOW, band_powers, edges_hz
from thrum.monitoring.opening import prepare_monitors

RATE = 16000
SECONDS = 4.0
CONDITION = Condition(80, 60)
LOCAL = 1 / 3
HALF = 0.5
STEPS = 8
WAYS = (
    "occlusion, weighed",
    "occlusion",
    "occlusion, strange patches",
    "gradients",
    "deviation",
    "plain difference",
)
MAPS = ("own", "near", "falls", "weighed", "gradients")

Values = NDArray[np.float64]


def patches(sound: NDArray[np.float32]) -> Values:
    """Return the power (T, F) of the patches that explanations are made of."""
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    transform = ShortTimeFFT(hann(WINDOW, sym=False), HOP, RATE, scale_to="magnitude")
    power = np.abs(transform.stft(sound)) ** 2
    at = np.array_split(np.arange(power.shape[1]), TIMES)
    return np.stack([band_powers(power[:, own].mean(axis=1), transform.f) for own in at])


def gradients(sound: NDArray[np.float32], change_db: Values, vectors: Values, k: int) -> Values:
    """Return what each patch (T, F) adds to the distance to the k nearest, by integrated gradients.

    Parameters
    ----------
    sound
        (S,) at 16 kHz.
    change_db
        (T, F), what brings each patch to its usual level.
    vectors
        (N, 128), the mean log-mel spectra of normal clips.
    """
    embedder = LogMel()
    power = embedder.power(torch.from_numpy(sound)[None])[0].double()  # (frames, 513)
    lines = np.fft.rfftfreq(WINDOW, 1 / RATE)
    band = torch.from_numpy(np.clip(np.searchsorted(edges_hz(), lines, side="right") - 1, 0, 15))
    at = np.array_split(np.arange(len(power)), TIMES)
    when = torch.from_numpy(np.repeat(np.arange(TIMES), [len(own) for own in at]))
    change, known = torch.from_numpy(change_db), torch.from_numpy(vectors).double()
    embedder._filterbank = embedder._filterbank.double()
    total = torch.zeros_like(change)
    for step in range(STEPS):
        gain = ((step + 0.5) / STEPS * change).requires_grad_()
        levels = embedder.levels(power * 10 ** (gain[when][:, band] / 10)).mean(dim=0)
        distances = torch.linalg.norm(known - levels, dim=1)
        (found,) = torch.autograd.grad(distances.topk(k, largest=False).values.mean(), gain)
        total += found / STEPS
    return np.asarray(-(total * change).numpy())


def explained(monitor: Monitor, path: Path) -> dict[str, Values] | None:
    """Return the maps (T, F) of a clip that ways work on; None where it is not suspicious."""
    judgement = monitor.judge(path)[0]
    if judgement.p is None or judgement.p > 0.05:
        return None
    sound = audio.read(path)[0]
    near = nearest(monitor.baseline, hear([judgement.clip])[0], "normal")
    usual = band_powers(10 ** (usual_spectrum(monitor.baseline, near) / 10), SPECTRUM_HZ)
    own = 10 * np.log10(patches(sound))
    vectors = monitor.system.vectors_[monitor.key][:, :128]  # type: ignore[attr-defined]
    change = 10 * np.log10(usual)[None] - own
    relevance = explain(monitor, judgement.clip).relevance
    return {
        "own": own,
        "near": near,
        "falls": relevance.falls,
        "weighed": relevance.weighed,
        "gradients": gradients(sound, change, vectors, monitor.system.config.neighbours),
    }


def learnt(machine: Machine, root: Path, clips: int) -> tuple[Monitor, Values]:
    """Return the monitor of a machine, and the patches (N, T, F) of its normal clips."""
    for number in range(clips):
        scene = simulate_scene(
            machine, CONDITION, seed=1000 + number, duration_seconds=SECONDS, snr_db=12.0
        )
        audio.write(root / "data" / "machine" / "normal" / f"{number:03d}.wav", scene.audio, RATE)
    train = list(open_dataset(root / "data").where(split="train"))
    system = thrum.create_system("knn", device="cpu").fit(train)
    system.save(root / "run")
    prepare_monitors(root / "run", system, train, when="", who="")
    monitor = thrum.open_monitor(root / "run", device="cpu")
    known = [Path(clip.path) for clip in monitor.baseline.clips]
    return monitor, np.stack([patches(audio.read(path)[0]) for path in known])


def local_region(scene: Scene) -> NDArray[np.bool_] | None:
    """Return the patches (T, F) that a fault is in; None where it is not local."""
    assert scene.well is not None
    times = patches(scene.machine - scene.well) / patches(scene.well + scene.noise)
    region, change_db = times >= HALF, 10 * np.log10(1 + times)
    if not 0 < region.mean() <= LOCAL or change_db[region].sum() < HALF * change_db.sum():
        return None
    return np.asarray(region)


def collected(kinds: list[str], train: int, clips: int, seed: int) -> dict[str, Values]:
    """Return the maps of all clips that are local and suspicious, by ``kind/fault/number/map``."""
    found: dict[str, Values] = {}
    for kind in kinds:
        started = time.monotonic()
        machine = draw_machine(kind, 0, seed=seed)
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            monitor, found[f"{kind}/normal"] = learnt(machine, root, train)
            for fault in FAULTS[kind]:
                for number in range(clips):
                    scene = simulate_scene(
                        machine,
                        CONDITION,
                        fault=fault,
                        severity=1.0,
                        seed=number,
                        with_well=True,
                        duration_seconds=SECONDS,
                        snr_db=12.0,
                    )
                    region = local_region(scene)
                    if region is None:
                        continue
                    path = root / f"{fault}{number}.wav"
                    audio.write(path, scene.audio, RATE)
                    maps = explained(monitor, path)
                    if maps is not None:
                        name = f"{kind}/{fault}/{number:03d}"
                        found |= {f"{name}/{which}": value for which, value in maps.items()}
                        found[f"{name}/region"] = region
                print(f"{kind} {fault}: {time.monotonic() - started:.0f} s", flush=True)
    return found


def ways(maps: dict[str, Values], normal: Values) -> dict[str, int]:
    """Return the strongest patch of a clip by each way; `normal` (N, T, F) are the normal clips' patches."""
    own, known = maps["own"], 10 * np.log10(normal)
    strange = (own > known.max(axis=(0, 1))) | (own < known.min(axis=(0, 1)))
    found = {
        "occlusion, weighed": maps["weighed"],
        "occlusion": maps["falls"],
        "occlusion, strange patches": np.where(strange, maps["falls"], -np.inf),
        "gradients": maps["gradients"],
        "deviation": np.abs(own - known.mean(axis=(0, 1))) / known.std(axis=(0, 1)),
        "plain difference": np.abs(own - known[maps["near"][0]]),
    }
    return {way: int(found[way].argmax()) for way in WAYS}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--train", type=int, default=60)
    options.add_argument("--clips", type=int, default=16, help="faulty clips of each fault")
    options.add_argument("--kinds", nargs="*", default=list(FAULTS))
    options.add_argument("--maps", type=Path, help="an .npz in which maps are kept, or are already")
    options.add_argument("--seed", type=int, default=2, help="draws the machines")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if chosen.maps and chosen.maps.exists():
        with np.load(chosen.maps) as kept:
            maps = dict(kept)
    else:
        maps = collected(chosen.kinds, chosen.train, chosen.clips, chosen.seed)
        if chosen.maps:
            np.savez(chosen.maps, **maps)
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    taken: dict[tuple[str, str], dict[bool, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted({key.rsplit("/", 1)[0] for key in maps if key.endswith("/region")}):
        kind, fault, _ = name.split("/")
        own = {which: maps[f"{name}/{which}"] for which in MAPS}
        region, strongest = maps[f"{name}/region"], ways(own, maps[f"{kind}/normal"])
        hits = [float(region.ravel()[strongest[way]]) for way in WAYS]
        found[kind, fault].append([*hits, float(region.mean())])
        taken[kind, fault][bool(hits[0])].append(float(own["weighed"].max()))
    header = ["machine", "fault", "clips", "local and suspicious", *WAYS, "uniform guess"]
    table = [header]
    for kind in chosen.kinds:
        for fault in FAULTS[kind]:
            rows = found[kind, fault]
            table.append([kind, fault, str(chosen.clips), str(len(rows)), *means(rows)])
    faults = [np.mean(rows, axis=0).tolist() for rows in found.values() if rows]
    clips = [row for rows in found.values() for row in rows]
    total = chosen.clips * (len(table) - 1)
    table.append(["all clips", "", str(total), str(len(clips)), *means(clips)])
    table.append(["mean over faults", "", "", "", *means(faults)])
    misses = [
        [
            "machine",
            "fault",
            "points at the fault",
            "clips",
            "off the score: median",
            "least",
            "most",
        ]
    ]
    for (kind, fault), by_hit in taken.items():
        if False in by_hit:
            for hit, values in sorted(by_hit.items(), reverse=True):
                off = [f"{value:.2f}" for value in (np.median(values), min(values), max(values))]
                misses.append([kind, fault, "yes" if hit else "no", str(len(values)), *off])
    made = {"explanations": table, "misses": misses}
    for rows in made.values():
        print("\n".join(" | ".join(row) for row in rows), flush=True)
    if chosen.json:
        storage.write_json(chosen.json, made)


def means(rows: list[list[float]]) -> list[str]:
    if not rows:
        return ["–"] * (len(WAYS) + 1)
    return [f"{value:.2f}" for value in np.mean(np.array(rows), axis=0)]


if __name__ == "__main__":
    main()
