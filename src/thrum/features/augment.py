"""Changes of a sound that a network is to recognise: each is a label (Hojjati and Armanfard, 2022).

Every change is made where it belongs: time shift, fade and noise on the waveform; pitch and tempo on the
power spectrum, for a phase vocoder too interpolates magnitudes, and the phases that it would compute are
not part of a log-mel spectrogram; masks on the log-mel spectrogram. Where there is no waveform, all are
made on the log-mel spectrogram. All shapes are as in `thrum.features.spectrogram`: time before frequency.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.errors import ConfigError
from thrum.features.spectrogram import hz_to_mel, mel_to_hz

KINDS = (
    "none",
    "pitch_shift",
    "time_shift",
    "time_stretch",
    "fade",
    "white_noise",
    "time_mask",
    "frequency_mask",
)
"""What can be done to a clip; an index into it is the clip's label."""

FADE_FLOOR_DB = -60.0
HIGHEST_HZ = 8000.0

Range = tuple[float, float]

LIMITS: dict[str, Range] = {
    "pitch_semitones": (0.0, 48.0),
    "time_shift": (0.0, 1.0),
    "stretch": (0.1, 10.0),
    "fade": (0.0, 1.0),
    "noise_snr_db": (-60.0, 100.0),
    "time_mask": (0.0, 1.0),
    "frequency_mask": (0.0, 1.0),
}
"""Within what each strength makes sense."""


@dataclass(frozen=True)
class Strengths:
    """From where to where each change goes; drawn evenly in between. All ours: no paper gives any.

    No range begins at no change at all, for that could not be told from an unchanged clip.

    Parameters
    ----------
    pitch_semitones
        Up or down.
    time_shift
        Part of the clip; what goes out at one end comes in at the other.
    stretch
        How many times faster, or slower, it becomes.
    fade
        Part of the clip that each of the two fades takes.
    noise_snr_db
        Power of the clip over that of the noise.
    time_mask, frequency_mask
        Part of the frames, of the bands.
    """

    pitch_semitones: Range = (1.0, 4.0)
    time_shift: Range = (0.1, 0.9)
    stretch: Range = (1.1, 1.4)
    fade: Range = (0.2, 0.5)
    noise_snr_db: Range = (0.0, 15.0)
    time_mask: Range = (0.1, 0.3)
    frequency_mask: Range = (0.1, 0.3)

    def __post_init__(self) -> None:
        for field in fields(self):
            start, stop = getattr(self, field.name)
            least, most = LIMITS[field.name]
            if not least <= start <= stop <= most:
                raise ConfigError(
                    f"{field.name} is {start} to {stop}, wanted a rising range within {least} to {most}"
                )


class Augmentation:
    """Changes the rows of a batch, each as its kind says.

    A batch goes through `waveforms`, `spectra` and `levels` on its way to a log-mel spectrogram; what has
    no waveform goes through `levels_alone`.

    Parameters
    ----------
    strengths
        How much.
    """

    def __init__(self, strengths: Strengths | None = None) -> None:
        self.strengths = strengths or Strengths()

    def waveforms(
        self, audio: Tensor, kinds: NDArray[np.int64], random: np.random.Generator
    ) -> Tensor:
        """Return audio (B, S), shifted in time, faded or noisy where `kinds` (B,) says so."""
        changed = audio.clone()
        for row in _rows(kinds, "time_shift"):
            changed[row] = audio[row].roll(self._shift(audio.shape[1], random))
        for row in _rows(kinds, "fade"):
            gains = self._fade(audio.shape[1], random)
            changed[row] *= torch.from_numpy(gains).to(audio)
        for row in _rows(kinds, "white_noise"):
            ratio = 10 ** (-_between(self.strengths.noise_snr_db, random) / 20)
            noise = random.standard_normal(audio.shape[1], dtype=np.float32)
            level = audio[row].square().mean().sqrt() * ratio
            changed[row] += torch.from_numpy(noise).to(audio) * level
        return changed

    def spectra(
        self, power: Tensor, kinds: NDArray[np.int64], random: np.random.Generator
    ) -> Tensor:
        """Return power spectra (B, T, F), shifted in pitch or stretched in time.

        Amplitudes between two frames or bins lie on a straight line, as in a phase vocoder.
        """
        changed = power.clone()
        bins = np.arange(power.shape[2])
        for row in _rows(kinds, "pitch_shift"):
            places = bins / self._pitch_ratio(random)
            changed[row] = _interpolated(power[row].sqrt().T, places).T.square()
        for row in _rows(kinds, "time_stretch"):
            places = self._stretched(power.shape[1], random)
            changed[row] = _interpolated(power[row].sqrt(), places).square()
        return changed

    def levels(
        self,
        levels: Tensor,
        kinds: NDArray[np.int64],
        random: np.random.Generator,
        *,
        fill: Tensor,
    ) -> Tensor:
        """Return log-mel spectra (B, T, M) with frames or bands masked: `fill` (M,) stands there."""
        changed = levels.clone()
        for row in _rows(kinds, "time_mask"):
            start, stop = _span(levels.shape[1], self.strengths.time_mask, random)
            changed[row, start:stop] = fill
        for row in _rows(kinds, "frequency_mask"):
            start, stop = _span(levels.shape[2], self.strengths.frequency_mask, random)
            changed[row, :, start:stop] = fill[start:stop]
        return changed

    def levels_alone(
        self,
        levels: Tensor,
        kinds: NDArray[np.int64],
        random: np.random.Generator,
        *,
        fill: Tensor,
    ) -> Tensor:
        """Return log-mel spectra (B, T, M) in dB with every kind of change made on them.

        Bands are taken for Slaney's, evenly spaced in mel up to 8 kHz and of unit area, where white noise
        has the same power in each.
        """
        changed = self.levels(levels, kinds, random, fill=fill)
        _, count, bands = levels.shape
        for row in _rows(kinds, "time_shift"):
            changed[row] = levels[row].roll(self._shift(count, random), dims=0)
        for row in _rows(kinds, "fade"):
            gains = np.maximum(self._fade(count, random), 10 ** (FADE_FLOOR_DB / 20))
            changed[row] += torch.from_numpy(20 * np.log10(gains))[:, None].to(levels)
        for row in _rows(kinds, "white_noise"):
            ratio = 10 ** (-_between(self.strengths.noise_snr_db, random) / 10)
            power = 10 ** (levels[row] / 10)
            # A bin's noise power is exponential; a band sums a few of them.
            noise = random.gamma(2.0, 0.5, (count, bands)) * ratio
            level = power.mean(dim=0) @ torch.from_numpy(_widths(bands)).to(levels)
            changed[row] = 10 * (power + torch.from_numpy(noise).to(levels) * level).log10()
        for row in _rows(kinds, "pitch_shift"):
            places = _shifted_bands(bands, self._pitch_ratio(random))
            changed[row] = _interpolated(levels[row].T, places).T
        for row in _rows(kinds, "time_stretch"):
            changed[row] = _interpolated(levels[row], self._stretched(count, random))
        return changed

    def _shift(self, length: int, random: np.random.Generator) -> int:
        return round(_between(self.strengths.time_shift, random) * length)

    def _fade(self, length: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Return gains (length,) that rise from 0 to 1 and fall back to 0."""
        ends = [max(1.0, _between(self.strengths.fade, random) * length) for _ in range(2)]
        places = np.arange(length)
        rising, falling = places / ends[0], places[::-1] / ends[1]
        return np.asarray(np.minimum(1.0, np.minimum(rising, falling)))

    def _pitch_ratio(self, random: np.random.Generator) -> float:
        semitones = _between(self.strengths.pitch_semitones, random) * random.choice([-1, 1])
        return float(2 ** (semitones / 12))

    def _stretched(self, length: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Return the places (length,) to read at; those beyond the end go on at the beginning."""
        rate = _between(self.strengths.stretch, random) ** float(random.choice([-1, 1]))
        return np.asarray(np.arange(length) * rate % max(1, length - 1))


def _rows(kinds: NDArray[np.int64], kind: str) -> list[int]:
    rows: list[int] = np.flatnonzero(kinds == KINDS.index(kind)).tolist()
    return rows


def _between(ends: Range, random: np.random.Generator) -> float:
    return float(random.uniform(*ends))


def _span(length: int, part: Range, random: np.random.Generator) -> tuple[int, int]:
    width = max(1, round(_between(part, random) * length))
    start = int(random.integers(0, max(1, length - width + 1)))
    return start, start + width


def _interpolated(values: Tensor, places: NDArray[np.float64]) -> Tensor:
    """Return values (N, …) at places (P,) on straight lines between them: (P, …)."""
    places = np.clip(places, 0, len(values) - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(values) - 1)
    share = torch.from_numpy(places - before).to(values)[:, None]
    return values[before] * (1 - share) + values[after] * share


def _shifted_bands(bands: int, ratio: float) -> NDArray[np.float64]:
    """Return from where (bands,) each mel band takes its level when all frequencies rise by `ratio`."""
    highest = float(hz_to_mel(HIGHEST_HZ, "slaney"))
    sources = hz_to_mel(_corners_hz(bands)[1:-1] / ratio, "slaney")
    return np.asarray(sources / highest * (bands + 1) - 1)


def _widths(bands: int) -> NDArray[np.float64]:
    """Return the part (bands,) of the whole spectrum that each mel band covers."""
    corners = _corners_hz(bands)
    widths = corners[2:] - corners[:-2]
    return np.asarray(widths / widths.sum())


def _corners_hz(bands: int) -> NDArray[np.float64]:
    """Return where (bands + 2,) the mel bands begin, are highest and end."""
    highest = float(hz_to_mel(HIGHEST_HZ, "slaney"))
    return mel_to_hz(np.linspace(0.0, highest, bands + 2, dtype=np.float64), "slaney")
