"""What is different about a clip, in the words of those who mend machines: level, bands, tones, knocking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thrum.monitoring.detail import ENVELOPE_HZ, SPECTRUM_HZ
from thrum.monitoring.occlusion import band_powers, edges_hz
from thrum.sentences import Sentence

LEAST_DB = 2.0
"""A band that differs by less is not named."""
TONE_DB, NO_TONE_DB = 10.0, 5.0
"""Above its surroundings: what is a tone, and what is none."""
AROUND_LINES = 20
TONES_NAMED = 8
KNOCKING, KNOCKING_MORE = 0.06, 1.5
"""Share of the envelope's mean that a repetition has at least, and times as much as in any normal clip."""
LEVEL_QUANTILES = 0.05, 0.95

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Difference:
    """One way in which a clip differs from normal ones.

    Parameters
    ----------
    kind
        ``level``, ``band``, ``tone`` or ``impulses``.
    words
        For a person.
    values
        For a program: dB, Hz.
    """

    kind: Literal["level", "band", "tone", "impulses"]
    words: Sentence
    values: dict[str, Any]


@dataclass(frozen=True)
class Normal:
    """Normal clips in one state: levels (N,), spectra (N, 2049) in dB, envelope spectra (N, 399)."""

    levels_db: Values
    spectra: Values
    envelopes: Values


def differences(
    level_db: float, spectrum: Values, envelope: Values, normal: Normal
) -> list[Difference]:
    """Return how a clip differs from normal ones, beyond what they differ among themselves.

    Parameters
    ----------
    level_db
        Of the clip.
    spectrum, envelope
        As `thrum.monitoring.detail.Detail` has them.
    normal
        The normal clips.
    """
    return [
        *_level(level_db, normal),
        *_bands(spectrum, normal),
        *_tones(spectrum, normal),
        *_impulses(envelope, normal),
    ]


def _level(level_db: float, normal: Normal) -> list[Difference]:
    low, high = np.quantile(normal.levels_db, LEVEL_QUANTILES)
    if low - LEAST_DB <= level_db <= high + LEAST_DB:
        return []
    beyond = level_db - (high if level_db > high else low)
    words = Sentence(
        "louder" if beyond > 0 else "quieter",
        db=abs(float(beyond)),
        level=level_db,
        low=float(low),
        high=float(high),
    )
    return [Difference("level", words, {"db": round(float(beyond), 1)})]


def _bands(spectrum: Values, normal: Normal) -> list[Difference]:
    """Name bands that lie outside what normal clips have, once the level of the whole is taken out."""
    own, known = _shape(spectrum[None])[0], _shape(normal.spectra)
    low, high = np.quantile(known, LEVEL_QUANTILES, axis=0)
    middle = np.median(known, axis=0)
    differs = own - middle
    out = ((own > high) | (own < low)) & (np.abs(differs) >= LEAST_DB)
    hz = edges_hz()
    found: list[Difference] = []
    band = 0
    while band < len(own):
        if not out[band]:
            band += 1
            continue
        last = band
        while last + 1 < len(own) and out[last + 1] and differs[last + 1] * differs[band] > 0:
            last += 1
        most = float(differs[band : last + 1][np.abs(differs[band : last + 1]).argmax()])
        words = Sentence(
            "band_louder" if most > 0 else "band_quieter",
            low=_hz(hz[band]),
            high=_hz(hz[last + 1]),
            db=abs(most),
        )
        values = {"low_hz": float(hz[band]), "high_hz": float(hz[last + 1]), "db": round(most, 1)}
        found.append(Difference("band", words, values))
        band = last + 1
    return sorted(found, key=lambda each: -abs(each.values["db"]))


def _shape(spectra: Values) -> NDArray[np.float64]:
    """Return levels (N, F) of bands less their mean, so that a louder recording is no other sound."""
    levels = 10 * np.log10(
        np.maximum(band_powers(10 ** (np.asarray(spectra, np.float64) / 10), SPECTRUM_HZ), 1e-14)
    )
    shape: NDArray[np.float64] = levels - np.median(levels, axis=1, keepdims=True)
    return shape


def _tones(spectrum: Values, normal: Normal) -> list[Difference]:
    own = prominence(np.asarray(spectrum, np.float64))
    known = np.stack([prominence(np.asarray(one, np.float64)) for one in normal.spectra])
    near = _widened(known)  # a tone one line beside is the same tone, at another speed
    new = np.flatnonzero((own >= TONE_DB) & (near.max(axis=0) < NO_TONE_DB) & _peaks(own))
    usual = np.quantile(known, 0.1, axis=0)
    gone = np.flatnonzero(
        (usual >= TONE_DB) & (_widened(own[None])[0] < NO_TONE_DB) & _peaks(usual)
    )
    return [
        *_named(new, own, "new"),
        *_named(gone, usual, "missing"),
    ]


def prominence(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how many dB each line (K,) stands above the middle of those around it."""
    padded = np.pad(spectrum, AROUND_LINES, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND_LINES + 1)
    found: NDArray[np.float64] = spectrum - np.median(around, axis=1)
    return found


def _widened(values: NDArray[np.float64], lines: int = 3) -> NDArray[np.float64]:
    padded = np.pad(values, ((0, 0), (lines, lines)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * lines + 1, axis=1)
    return np.asarray(windows.max(axis=-1))


def _peaks(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    peaks = np.zeros(len(values), bool)
    peaks[1:-1] = (values[1:-1] >= values[:-2]) & (values[1:-1] > values[2:])
    return peaks


def _named(
    lines: NDArray[np.intp], strength: NDArray[np.float64], kind: Literal["new", "missing"]
) -> list[Difference]:
    """Name tones, those that are whole multiples of one as its harmonics."""
    left = [int(line) for line in lines]
    found: list[Difference] = []
    while left:
        first = left[0]
        hz = float(SPECTRUM_HZ[first])
        multiples = {first: 1}
        for line in left[1:]:
            ratio = SPECTRUM_HZ[line] / hz
            if (
                round(ratio) > 1
                and abs(SPECTRUM_HZ[line] - round(ratio) * hz)
                <= 0.75 * round(ratio) ** 0.5 * SPECTRUM_HZ[1]
            ):
                multiples[line] = round(ratio)
        left = [line for line in left if line not in multiples]
        db = float(max(strength[line] for line in multiples))
        more = sorted(set(multiples.values()) - {1})
        if more:
            words = Sentence(f"{kind}_tones", hz=hz, db=db, harmonics=", ".join(map(str, more)))
        else:
            words = Sentence(f"{kind}_tone", hz=hz, db=db)
        values = {"hz": hz, "db": round(db, 1), "harmonics": more, "new": kind == "new"}
        found.append(Difference("tone", words, values))
    return sorted(found, key=lambda each: -each.values["db"])[:TONES_NAMED]


def _impulses(envelope: Values, normal: Normal) -> list[Difference]:
    """Name the rate at which the sound knocks, where it does so more than in any normal clip."""
    own = np.asarray(envelope, np.float64)
    highest = _widened(np.asarray(normal.envelopes, np.float64), 2).max(axis=0)
    more = (own >= KNOCKING) & (own >= KNOCKING_MORE * highest) & _peaks(own)
    if not more.any():
        return []
    # The lowest rate whose multiples hold most of the evidence: impacts have harmonics.
    places = np.flatnonzero(more)
    strength = own - highest

    def together(place: int) -> float:
        rates = ENVELOPE_HZ[place] * np.arange(1, 6)
        near = [np.abs(ENVELOPE_HZ - rate).argmin() for rate in rates if rate <= ENVELOPE_HZ[-1]]
        return float(sum(max(strength[max(0, n - 1) : n + 2].max(), 0.0) for n in near))

    best = max(places, key=lambda place: (round(together(int(place)), 3), -place))
    rate = float(ENVELOPE_HZ[best])
    words = Sentence(
        "knocks",
        hz=rate,
        a_minute=60 * rate,
        share=100 * float(own[best]),
        normal=100 * float(highest[best]),
    )
    values = {"hz": rate, "share": round(float(own[best]), 3)}
    return [Difference("impulses", words, values)]


def _hz(hz: float) -> str:
    return f"{hz / 1000:.1f} kHz" if hz >= 1000 else f"{hz:.0f} Hz"
