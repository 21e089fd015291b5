"""How fast are parts of thrum beside what others would use, and are the outputs the same?

    pip install librosa resampy
    python benchmarks/peers.py --out peers.json
    python benchmarks/peers.py --only knn auc --repeats 51

    pip install fasteners seaborn tqdm "matplotlib<3.11"    what the organisers' program needs beside
    python benchmarks/peers.py --only baseline --baseline CHECKOUT --epochs 1 5 --repeats 3

In turns, in processor time on one thread. Told are the medians, the median of the pairs' ratios, peer over
thrum (above 1 thrum is faster), and how far the outputs are apart: their largest difference over the
largest value of the peer's.

CHECKOUT is the organisers' autoencoder (github.com/nttcslab/dcase2023_task2_baseline_ae); without it that
part is left out. Whole processes count, from their start to the scores of the test clips, each time in an
empty folder, on a simulated fan in DCASE 2023's layout. The two draw other weights and other validation
data, so instead of a difference the AUC of each is told, ours first, and how the clips' ranks correlate.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from thrum.datasets.synthetic import SyntheticConfig, write_dataset
from thrum.detectors.knn import KNN
from thrum.embedders.logmel import LogMel
from thrum.evaluation.metrics import auc, partial_auc
from thrum.features import resampling

RATE, SECONDS = 16000, 10
ENOUGH_SECONDS = 0.02  # what is over sooner is called so many times that it takes as long
FAN = SyntheticConfig(
    kinds=("fan",),
    individuals=1,
    test_normal_clips=50,
    test_anomaly_clips=50,
    domains=True,
    naming=2022,
)
Call = Callable[[], Any]
Case = tuple[str, str, Call, Call]


def logmel() -> Iterator[Case]:
    import librosa  # type: ignore[import-not-found]

    sound = noise(RATE)
    audio, embedder = torch.from_numpy(sound)[None], LogMel()
    filters = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=128)

    def ours() -> Any:
        return embedder.frames(audio)[0]

    def levels(power: Any) -> Any:
        return librosa.power_to_db(power, amin=sys.float_info.epsilon, top_db=None).T

    def peer() -> Any:
        settings = {"n_fft": 1024, "hop_length": 512, "n_mels": 128}
        return levels(librosa.feature.melspectrogram(y=sound, sr=RATE, **settings))

    def peer_once() -> Any:
        return levels(filters @ np.abs(librosa.stft(sound, n_fft=1024, hop_length=512)) ** 2)

    yield "log-mel, 10 s", "librosa", ours, peer
    yield "log-mel, 10 s", "librosa, its filters made once", ours, peer_once


def resample() -> Iterator[Case]:
    import librosa
    import resampy  # type: ignore[import-not-found]
    import scipy.signal

    def our_filter(precision: int) -> Any:
        window = partial(scipy.signal.windows.kaiser, beta=resampling.KAISER_BETA)
        sinc = partial(resampy.filters.sinc_window, resampling.ZERO_CROSSINGS, precision)
        return sinc(window, resampling.ROLLOFF)

    made = {f"2^{each} steps": our_filter(each) for each in (9, 16)}
    for rate in (32000, 44100, 48000):
        sound = noise(rate)
        best = partial(resampling.resample, torch.from_numpy(sound)[None], rate, RATE)
        theirs = partial(resampy.resample, sound, rate, RATE)
        soxr = partial(librosa.resample, sound, orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
        what = f"{rate / 1000:g} to 16 kHz, 10 s"
        yield f"{what}, kaiser_best", "resampy, kaiser_best", best, theirs
        for steps, ready in made.items():
            same = partial(theirs, filter=partial(tuple, ready))
            yield f"{what}, kaiser_best", f"resampy, our filter, {steps}", best, same
        yield f"{what}, kaiser_best", "librosa, soxr_hq", best, soxr
        yield f"{what}, soxr", "librosa, soxr_hq", partial(best, method="soxr"), soxr


def knn() -> Iterator[Case]:
    from sklearn.neighbors import NearestNeighbors

    def theirs(fitted: Any, vectors: Any) -> Any:
        return fitted.kneighbors(vectors)[0].mean(axis=1)

    random = np.random.default_rng(0)
    for normal in (1000, 10000):
        vectors, test = random.normal(size=(normal, 128)), random.normal(size=(1000, 128))
        ours = partial(KNN(neighbours=2).fit(vectors).anomaly_score, test)
        peer = partial(theirs, NearestNeighbors(n_neighbors=2).fit(vectors), test)
        yield f"k-NN of 1,000 to {normal:,} of 128 values", "scikit-learn", ours, peer


def areas() -> Iterator[Case]:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    for clips in (200, 10000):
        labels = np.arange(clips) % 2
        scores = random.normal(size=clips) + labels
        ours, theirs = partial(auc, labels, scores), partial(roc_auc_score, labels, scores)
        yield f"AUC of {clips:,} clips", "scikit-learn", ours, theirs
        ours, theirs = partial(partial_auc, labels, scores), partial(theirs, max_fpr=0.1)
        yield f"partial AUC of {clips:,} clips", "scikit-learn, max_fpr=0.1", ours, theirs


PARTS: dict[str, Callable[[], Iterator[Case]]] = {
    "logmel": logmel,
    "resample": resample,
    "knn": knn,
    "auc": areas,
}


def noise(rate: int) -> Any:
    return 0.1 * np.random.default_rng(0).standard_normal(rate * SECONDS).astype(np.float32)


def measured(case: Case, repeats: int) -> dict[str, Any]:
    """Time one case in turns, after a first call that compares the outputs."""
    what, peer, *calls = case
    one, other = (np.asarray(call()).squeeze() for call in calls)  # the first call of some compiles
    if one.shape != other.shape:  # one sample more or less at the end
        one, other = (each[: min(len(one), len(other))] for each in (one, other))
    apart = np.abs(one - other).max() / np.abs(other).max()
    times = [max(1, round(ENOUGH_SECONDS / spent(call, 1))) for call in calls]
    pairs = [[spent(*each) for each in zip(calls, times, strict=True)] for _ in range(repeats)]
    return row(what, peer, pairs, f"{apart:.1e}")


def spent(call: Call, times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def row(what: str, peer: str, pairs: list[list[float]], apart: str) -> dict[str, Any]:
    ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(other / own for own, other in pairs)
    told = {"what": what, "peer": peer, "thrum_s": ours, "peer_s": theirs, "ratio": ratio}
    return {**told, "apart": apart, "pairs": pairs}


def baseline(arguments: argparse.Namespace, epochs: int, root: Path) -> dict[str, Any]:
    """Time the organisers' autoencoder and ours, whole processes on one dataset."""
    pairs, scores = [], []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as name:
            own, checkout = Path(name) / "own", Path(name) / "checkout"
            shutil.copytree(arguments.baseline, checkout, ignore=shutil.ignore_patterns(".git"))
            raw = checkout / "data/dcase2023t2/dev_data/raw"
            shutil.rmtree(raw, ignore_errors=True)
            raw.parent.mkdir(parents=True, exist_ok=True)
            raw.symlink_to(root)
            words = ["-m", "thrum", "train", "--system", "autoencoder", "--no-report"]
            words += ["--set", f"epochs={epochs}", "--hold-out", "0.1", "--device", "cpu"]
            words += ["--data", str(root), "--out", str(own)]
            theirs = ["train.py", "--dataset", "DCASE2023T2fan", "-d", "--use_ids", "0"]
            theirs += ["--use_cuda", "False", "--epochs", str(epochs)]
            pairs.append([process(words, Path(name)), process(theirs, checkout)])
            scores = [
                read(next((own / "scores").glob("*.csv")), "mse"),
                read(next(checkout.glob("results/dev_data/*_MSE/anomaly_score_*.csv"))),
            ]
    clips = sorted(scores[0])
    labels = ["_anomaly_" in clip for clip in clips]
    values = [np.array([each[clip] for clip in clips]) for each in scores]
    ranks = [each.argsort().argsort() for each in values]
    apart = f"AUC {auc(labels, values[0]):.3f} and {auc(labels, values[1]):.3f}, "
    apart += f"ranks correlate by {np.corrcoef(ranks[0], ranks[1])[0, 1]:.3f}"
    what = f"autoencoder, {arguments.clips} clips, epochs: {epochs}"
    return row(what, "organisers' baseline", pairs, apart)


def process(words: list[str], folder: Path) -> float:
    """Run Python; return the processor time of it and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def read(path: Path, column: str | None = None) -> dict[str, float]:
    """Return the score of each clip: of a named column, or of the second where there is no header."""
    with path.open() as file:
        if column:
            return {Path(each["clip"]).name: float(each[column]) for each in csv.DictReader(file)}
        return {name: float(score) for name, score in csv.reader(file)}


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "baseline"])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--baseline", type=Path, help="a checkout of the organisers' baseline")
    parser.add_argument("--epochs", type=int, nargs="+", default=[5])
    parser.add_argument("--clips", type=int, default=200, help="for the baseline to train on")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    wanted, results = arguments.only or [*PARTS, "baseline"], []
    print("| what | beside | thrum, ms | peer, ms | peer / thrum | outputs apart |")
    print("| --- | --- | --- | --- | --- | --- |")

    def tell(result: dict[str, Any]) -> None:
        results.append(result)
        times = (milliseconds(result[key]) for key in ("thrum_s", "peer_s"))
        cells = [result["what"], result["peer"], *times, f"{result['ratio']:.2f}", result["apart"]]
        print(f"| {' | '.join(cells)} |", flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")

    torch.set_num_threads(1)
    for part in (part for name, part in PARTS.items() if name in wanted):
        for case in part():
            with threadpool_limits(1):  # of what the case has imported
                tell(measured(case, arguments.repeats))
    if "baseline" in wanted and not (arguments.baseline and arguments.baseline.is_dir()):
        print("--baseline names no folder: the autoencoder was left out", file=sys.stderr)
    elif "baseline" in wanted:
        os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "Agg"}
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder).resolve() / "data"
            write_dataset(replace(FAN, train_clips=arguments.clips), data)
            for epochs in arguments.epochs:
                tell(baseline(arguments, epochs, data))


if __name__ == "__main__":
    main()
