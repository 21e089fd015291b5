"""Where a clip is strange: its score after a patch of time and frequency was made as usual, patch by patch.

It asks nothing of a system but scores of clips (Zeiler and Fergus, 2014, do it to pictures): what the score
falls by is how much of it came from the patch. A patch is not silenced, which would be strange too, but
brought to the level that normal clips have in its band. A patch that is quieter than usual counts half: made
louder it can make good what is missing in any other, and faults mostly add sound. On simulated faults the
strongest patch then lies more often where the fault is (docs/results.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum.datasets.arrays import read_features
from thrum.monitoring.detail import SPECTRUM_HZ
from thrum.monitoring.heard import RATE
from thrum.types import Clip

TIMES, BANDS = 8, 16
WINDOW, HOP = 1024, 256
LOWEST_HZ = 50.0
MOMENT = 3 / 8
QUIETER = 0.5
"""What the fall of a patch counts that is quieter than usual."""
AT_ONCE = 16
"""Clips that are scored together: so many stay in memory."""

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
_WINDOW = _HANN / _HANN.sum()
_DUAL = _WINDOW / sum(np.roll(_WINDOW**2, shift) for shift in range(0, WINDOW, HOP))
_LEAD = WINDOW // 2 + HOP
"""Samples of the first slice that lie before the sound."""

Scorer = Callable[[Sequence[Clip]], NDArray[np.float64]]


@dataclass(frozen=True)
class Relevance:
    """How much of a clip's score comes from each patch.

    Parameters
    ----------
    falls
        (T, F), what the score falls by.
    seconds
        (T + 1,), the edges of the patches in time; numbers of frames for features.
    hz
        (F + 1,), those in frequency; numbers of dimensions for features.
    louder
        (T, F), whether each patch is louder than usual; None where that has no meaning, of features.
    """

    falls: NDArray[np.float64]
    seconds: NDArray[np.float64]
    hz: NDArray[np.float64]
    louder: NDArray[np.bool_] | None = None

    @property
    def weighed(self) -> NDArray[np.float64]:
        """(T, F), what the score falls by; 0 where it rises, half where the patch is quieter than usual."""
        falls = np.maximum(self.falls, 0)
        return falls if self.louder is None else np.where(self.louder, falls, QUIETER * falls)

    @property
    def strongest(self) -> tuple[int, int]:
        """The patch that counts most, its place in time and in frequency."""
        weighed = self.weighed if self.weighed.any() else self.falls
        time, band = np.unravel_index(int(weighed.argmax()), weighed.shape)
        return int(time), int(band)

    @property
    def steady_band(self) -> int | None:
        """The band that most of it comes from, where it does so all the time; None where it is a moment.

        A moment is a patch that alone holds more than three eighths of what its band adds.
        """
        added = self.weighed
        band = int(added.sum(axis=0).argmax())
        total = float(added[:, band].sum())
        if len(added) < TIMES or total <= 0 or added[:, band].max() > MOMENT * total:
            return None
        return band


def edges_hz() -> NDArray[np.float64]:
    """Return the edges (F + 1,) of the bands: evenly spaced in mel, from 0 to half the rate."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    low = 2595 * np.log10(1 + LOWEST_HZ / 700)
    edges = 700 * (10 ** (np.linspace(low, top, BANDS + 1) / 2595) - 1)
    edges[0] = 0.0
    return np.asarray(edges)


def band_powers(power: NDArray[np.float64], lines_hz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power (…, F) in each band of the power (…, K) at lines of a spectrum."""
    places = np.searchsorted(lines_hz, edges_hz())
    places[-1] = len(lines_hz)
    return np.stack(
        [power[..., low:high].sum(axis=-1) for low, high in itertools.pairwise(places)],
        axis=-1,
    )


def occluded_sound(
    clip: Clip, sound: NDArray[np.float32], usual_db: NDArray[np.float64], scores: Scorer
) -> Relevance:
    """Return what each patch of a recording adds to its score.

    Parameters
    ----------
    sound
        (S,) at 16 kHz.
    usual_db
        (2049,) the spectrum of normal clips, as `thrum.monitoring.detail.Detail` has it.
    scores
        Scores clips.
    """
    padded = np.pad(sound, (0, max(0, WINDOW - len(sound)))).astype(np.float64)
    whole = spectra(padded)  # (T, 513)
    lines, frames = np.fft.rfftfreq(WINDOW, 1 / RATE), np.arange(len(whole))
    usual = band_powers(10 ** (usual_db / 10), SPECTRUM_HZ)  # (F,)
    at = np.array_split(frames, min(TIMES, len(frames)))
    hz = edges_hz()
    places = np.searchsorted(lines, hz)
    places[-1] = len(lines)

    power = [(np.abs(whole[own]) ** 2).mean(axis=0) for own in at]
    heard = band_powers(np.stack(power), lines)  # (T, F)

    def variants() -> Iterator[NDArray[np.float32]]:
        yield padded.astype(np.float32)
        for own, gain in zip(at, np.sqrt(usual / np.maximum(heard, 1e-20)), strict=True):
            for band, (low, high) in enumerate(itertools.pairwise(places)):
                added = np.zeros((len(own), len(lines)), complex)
                added[:, low:high] = (gain[band] - 1) * whole[own, low:high]
                yield with_added(padded, added, own[0]).astype(np.float32)

    def written(folder: Path) -> Iterator[Clip]:
        for number, samples in enumerate(variants()):
            path = folder / f"{number}.wav"
            soundfile.write(path, samples, RATE, subtype="FLOAT")
            yield replace(clip, path=path, channel=None, stretch=None, name=path.name)

    found = _scored(written, scores)
    seconds = np.array([own[0] for own in at] + [len(frames)]) * HOP / RATE
    seconds = np.minimum(seconds, len(sound) / RATE)
    falls = (found[0] - found[1:]).reshape(len(at), BANDS)
    return Relevance(falls, seconds, hz, heard > usual)


def spectra(sound: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the spectra (T, 513) of sound (S,) and silence around it, of all slices that hear any of it.

    Slice 0 is centred one hop before the first sample. A sine of amplitude 1 has a magnitude of 0.5.
    """
    count = -(-(len(sound) - 1 + WINDOW // 2) // HOP) + 1  # the window's first value is 0
    around = np.zeros((count - 1) * HOP + WINDOW)
    around[_LEAD : _LEAD + len(sound)] = sound
    slices = np.lib.stride_tricks.sliding_window_view(around, WINDOW)[::HOP]
    return np.asarray(np.fft.rfft(slices * _WINDOW, axis=1))


def with_added(
    sound: NDArray[np.float64], added: NDArray[np.complex128], first: int
) -> NDArray[np.float64]:
    """Return sound (S,) whose `spectra` were changed by `added` (T', 513) from slice `first` on.

    The inverse is linear: what changes is the inverse of what was added, in so many slices alone. It is
    the least-squares one (Griffin and Lim, 1984).
    """
    slices = np.fft.irfft(added, WINDOW, axis=1) * _DUAL
    change = np.zeros((len(added) - 1) * HOP + WINDOW)
    for number, own in enumerate(slices):
        change[number * HOP : number * HOP + WINDOW] += own
    start = first * HOP - _LEAD
    low, high = max(start, 0), min(start + len(change), len(sound))
    changed = sound.copy()
    changed[low:high] += change[low - start : high - start]
    return changed


def occluded_features(clip: Clip, usual: NDArray[np.float64], scores: Scorer) -> Relevance:
    """Return what each patch of a row of features (T, D) adds to its score; `usual` (D,) is what is "
    "normal.
    """
    frames = np.asarray(read_features([clip])[0], np.float64)
    at = np.array_split(np.arange(len(frames)), min(TIMES, len(frames)))
    dimensions = np.array_split(np.arange(frames.shape[1]), min(BANDS, frames.shape[1]))

    def written(folder: Path) -> Iterator[Clip]:
        rows = [frames]
        for own in at:
            for band in dimensions:
                changed = frames.copy()
                part = np.ix_(own, band)
                changed[part] += usual[band] - changed[part].mean(axis=0)
                rows.append(changed)
        path = folder / "features.npz"
        np.savez(path, test_normal=np.stack(rows).astype(np.float32))
        for number in range(len(rows)):
            yield replace(clip, path=path, row=("test_normal", number), name=str(number))

    found = _scored(written, scores)
    return Relevance(
        (found[0] - found[1:]).reshape(len(at), len(dimensions)),
        np.array([own[0] for own in at] + [len(frames)], np.float64),
        np.array([band[0] for band in dimensions] + [frames.shape[1]], np.float64),
    )


def _scored(written: Callable[[Path], Iterator[Clip]], scores: Scorer) -> NDArray[np.float64]:
    with TemporaryDirectory(prefix="thrum-") as folder:
        clips = list(written(Path(folder)))
        parts = [clips[start : start + AT_ONCE] for start in range(0, len(clips), AT_ONCE)]
        return np.concatenate([scores(part) for part in parts])
