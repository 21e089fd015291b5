"""The pictures of docs/check.md, from sound made here: ``python docs/generate_check_pictures.py``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

RATE = 16000
FOLDER = Path(__file__).parent / "images" / "check"
Sound = NDArray[np.float64]


def machine(seed: int, hz: float = 110.0) -> Sound:
    """Return a second of a machine that hums: three harmonics and noise."""
    random = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    tones = sum(np.sin(2 * np.pi * k * hz * time + random.uniform(0, 6)) / k for k in (1, 2, 3))
    return 0.12 * tones + 0.03 * random.normal(size=RATE)


def spoilt() -> dict[str, Sound]:
    """Return the machine's sound with each fault of the recording that shows in its course."""
    dropped, repeated = machine(3), machine(4)
    dropped[350:550] = 0
    repeated[480:960] = repeated[:480]
    time = np.arange(RATE) / RATE
    return {
        "silence": np.zeros(RATE),
        "constant": np.full(RATE, 0.3),
        "offset": machine(0) + 0.4,
        "clipping": np.clip(6 * machine(1), -0.5, 0.5),
        "beyond-full-scale": 8 * machine(2),
        "dropouts": dropped,
        "repeated-buffers": repeated,
        "mains-hum": 0.3 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 150 * time),
        "level": machine(5) / 20,
    }


def course(name: str, sound: Sound) -> None:
    """Draw 80 ms of the sound beside that of a good clip."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(5.2, 1.3), sharey=True)
    time = np.arange(1280) / RATE * 1000
    for axes, content, title in (
        (left, machine(9), "good"),
        (right, sound, name.replace("-", " ")),
    ):
        axes.plot(time, content[:1280], linewidth=0.7, color="#31688e")
        axes.axhline(0, linewidth=0.4, color="grey")
        axes.set_title(title, fontsize=8)
    limit = max(1.0, 1.1 * float(np.abs(sound).max()))
    left.set_ylim(-limit, limit)
    save(figure, name)


def channels() -> None:
    """Draw two channels that are mirror images, and their mean."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(5.2, 1.3), sharey=True)
    time, sound = np.arange(320) / RATE * 1000, machine(6)[:320]
    left.plot(time, sound, linewidth=0.8, color="#31688e")
    left.plot(time, -0.95 * sound, linewidth=0.8, color="#e66101")
    left.set_title("two channels", fontsize=8)
    right.plot(time, 0.025 * sound, linewidth=0.8, color="#31688e")
    right.set_title("their mean", fontsize=8)
    save(figure, "opposite-channels")


def spectra() -> None:
    """Draw the spectra of a machine's clips, and of one that is not like them."""
    figure, axes = pyplot.subplots(figsize=(5.2, 1.5))
    for seed in range(9):
        axes.plot(*smooth(machine(seed)), linewidth=0.6, color="#31688e", alpha=0.6)
    odd = np.diff(machine(20, 700.0), n=2, prepend=[0, 0])
    axes.plot(*smooth(odd), linewidth=1.0, color="#e66101")
    axes.set_xscale("log")
    axes.set_ylabel("dB", fontsize=7)
    save(figure, "spectrum")


def smooth(sound: Sound) -> tuple[Sound, Sound]:
    """Return frequencies and a coarse spectrum in dB."""
    power = np.square(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))))
    edges = np.geomspace(50, 8000, 25).astype(int)
    levels = [power[low:high].sum() for low, high in pairwise(edges)]
    return edges[:-1].astype(float), 10 * np.log10(np.array(levels))


def counts() -> None:
    """Draw how well a spread is known from so many clips: the interval that holds it 95 times of 100."""
    from scipy.stats import chi2

    figure, axes = pyplot.subplots(figsize=(5.2, 1.5))
    clips = np.arange(2, 41)
    for tail in (0.025, 0.975):
        axes.plot(
            clips, np.sqrt((clips - 1) / chi2.ppf(tail, clips - 1)), color="#31688e", linewidth=1
        )
    axes.axhline(1, linewidth=0.4, color="grey")
    axes.axvline(10, linewidth=0.8, color="#e66101")
    axes.set_ylim(0, 4)
    axes.set_xlabel("training clips", fontsize=7)
    axes.set_ylabel("true spread / found", fontsize=7)
    save(figure, "few-clips")


def rates() -> None:
    """Draw the spectra of one machine recorded at two rates."""
    figure, axes = pyplot.subplots(figsize=(5.2, 1.5))
    sound = machine(7)
    for content, rate, colour in ((sound, RATE, "#31688e"), (sound[::2], RATE // 2, "#e66101")):
        power = np.square(np.abs(np.fft.rfft(content * np.hanning(len(content)))))
        hertz = np.arange(len(power)) * rate / len(content)
        level = 10 * np.log10(np.convolve(power, np.ones(64) / 64, "same") + 1e-6)
        axes.plot(hertz, level, linewidth=0.8, color=colour, label=f"{rate} Hz")
    axes.legend(fontsize=6)
    save(figure, "rates")


def save(figure: mpl.figure.Figure, name: str) -> None:
    """Write a small picture."""
    for axes in figure.axes:
        axes.tick_params(labelsize=6, length=2)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.4)
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    mpl.use("agg")
    for name, sound in spoilt().items():
        course(name, sound)
    channels()
    spectra()
    counts()
    rates()
