"""Single clips to see and to hear: pictures and excerpts small enough to live inside a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from thrum import audio
from thrum.errors import EvaluationError

PICTURE_FRAMES, PICTURE_BANDS = 256, 80
WINDOW_SECONDS = 0.064
LOWEST_HZ = 20.0

AUDIO_RATE = 16000
"""Excerpts are brought down to this many samples per second, 16 bit, FLAC: no codec's model of hearing
decides what an engineer may hear."""

AUDIO_BUDGET_BYTES = 6_000_000
"""All excerpts of a page together, base64 included."""

SHORTEST_SECONDS, LONGEST_SECONDS = 3.0, 10.0
_USUAL_BYTES_PER_SECOND = 26_000  # what FLAC makes of machine noise at AUDIO_RATE, in base64
_PEAK = 0.5
_LARGEST_GAIN = 100.0


@dataclass(frozen=True)
class Recording:
    """A clip that can be heard: float32 (S,) in [-1, 1], and its samples per second."""

    audio: NDArray[np.float32]
    sample_rate: int


@dataclass(frozen=True)
class LogMel:
    """A clip of which only features are there: log-mel (T, F) in decibels, and seconds per frame."""

    decibels: NDArray[np.floating]
    hop_seconds: float


@dataclass(frozen=True)
class Picture:
    """The spectrogram of a clip, to be shown beside others.

    Parameters
    ----------
    decibels
        (T, F), at most `PICTURE_FRAMES` × `PICTURE_BANDS`.
    seconds
        How long the clip is.
    top_hz
        The frequency at the upper edge; None where only the number of the mel band is known.
    """

    decibels: NDArray[np.floating]
    seconds: float
    top_hz: float | None


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a recording as a data address (FLAC), and by how much it was made louder."""

    address: str
    seconds: float
    gain_db: float


def picture_of(sound: Recording | LogMel, *, name: str) -> Picture:
    """Return the spectrogram of a clip.

    Of a recording it has mel-spaced bands from 20 Hz to half the sample rate; windows are 64 ms,
    longer where a long clip would leave gaps between them.

    Raises
    ------
    EvaluationError
        Where the clip is empty or holds values that are not finite.
    """
    values = sound.audio if isinstance(sound, Recording) else sound.decibels
    if values.size == 0 or not np.isfinite(values).all():
        raise EvaluationError(f"cannot show {name}: it is empty or holds NaN or infinite values")
    if isinstance(sound, LogMel):
        frames = min(len(values), PICTURE_FRAMES)
        seconds = len(values) * sound.hop_seconds
        return Picture(_shortened(values.astype(np.float64), frames), seconds, None)
    return Picture(_spectrogram(sound), len(values) / sound.sample_rate, sound.sample_rate / 2)


def _spectrogram(recording: Recording) -> NDArray[np.float64]:
    hop = math.ceil(len(recording.audio) / PICTURE_FRAMES)
    length = max(round(WINDOW_SECONDS * recording.sample_rate), hop)
    fft_size = 2 ** math.ceil(math.log2(length))
    padded = np.pad(recording.audio, (0, max(length - len(recording.audio), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]  # (T, length)
    spectrum = np.fft.rfft(frames * np.hanning(length), n=fft_size)  # (T, fft_size / 2 + 1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = power @ _filterbank(recording.sample_rate, fft_size)  # (T, PICTURE_BANDS)
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(bands, 1e-10))
    return decibels


@cache
def _filterbank(sample_rate: int, fft_size: int) -> NDArray[np.float64]:
    from thrum.features.spectrogram import mel_filterbank

    return mel_filterbank(
        sample_rate=sample_rate,
        fft_size=fft_size,
        bands=PICTURE_BANDS,
        low_hz=LOWEST_HZ,
        high_hz=sample_rate / 2,
        scale="htk",
    ).numpy()  # (fft_size / 2 + 1, PICTURE_BANDS)


def _shortened(values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Return the means of `frames` stretches of about the same length along the first axis."""
    starts = np.linspace(0, len(values), frames, endpoint=False).astype(int)
    lengths = np.diff(starts, append=len(values))
    means: NDArray[np.float64] = np.add.reduceat(values, starts, axis=0) / lengths[:, None]
    return means


def frequency_marks(top_hz: float) -> list[tuple[str, float]]:
    """Return ``(label, height)`` of round frequencies on a picture, heights in [0, 1] from below."""
    from thrum.features.spectrogram import hz_to_mel

    low, high = float(hz_to_mel(LOWEST_HZ, "htk")), float(hz_to_mel(top_hz, "htk"))
    round_hz = [250.0, 1000.0, *(1000.0 * 2**i for i in range(1, 8))]
    return [
        (f"{hz / 1000:g}", (float(hz_to_mel(hz, "htk")) - low) / (high - low))
        for hz in round_hz
        if hz <= 1.01 * top_hz
    ]


def images(pictures: Sequence[Picture]) -> list[str]:
    """Return the pictures as data addresses (WebP), all on one scale of colours.

    The scale runs from the 3rd to the 99.8th percentile of all values, in `magma`, which keeps its
    order for every kind of eye and in grey.
    """
    from matplotlib import colormaps
    from PIL import Image

    if not pictures:
        return []
    everything = np.concatenate([picture.decibels.ravel() for picture in pictures])
    low, high = np.percentile(everything, [3, 99.8])
    addresses = []
    for picture in pictures:
        shades = np.clip((picture.decibels - low) / max(high - low, 1e-9), 0, 1)
        pixels = colormaps["magma"](shades.T[::-1], bytes=True)  # (F, T, 4), low frequencies below
        content = io.BytesIO()
        Image.fromarray(pixels[..., :3].copy()).save(content, "webp", quality=60, method=4)
        addresses.append(_address("image/webp", content.getvalue()))
    return addresses


class ExcerptBudget:
    """Shares what a page may hold of sound out among its clips.

    Parameters
    ----------
    n_machines, n_clips
        How many machines there are, and how many clips of each would like to be heard. Excerpts are
        so long that all fit, between 3 and 10 seconds; where not even 3 seconds of all fit, each
        machine gets fewer clips, one at least while there is room.
    """

    def __init__(self, *, n_machines: int, n_clips: int) -> None:
        room_seconds = AUDIO_BUDGET_BYTES / _USUAL_BYTES_PER_SECOND / max(n_machines, 1)
        self.clips = min(max(int(room_seconds / SHORTEST_SECONDS), 1), n_clips)
        self.seconds = min(max(room_seconds // self.clips, SHORTEST_SECONDS), LONGEST_SECONDS)
        self.left_bytes = AUDIO_BUDGET_BYTES

    def excerpts(self, recordings: Sequence[Recording]) -> list[Excerpt]:
        """Return the beginnings of a machine's recordings, as many as there is room for.

        All are played with one gain, so that they are audible and keep how loud they are against
        each other.
        """
        recordings = recordings[: self.clips]
        peak = max((float(np.abs(one.audio).max()) for one in recordings), default=1.0)
        gain = min(_PEAK / max(peak, 1e-9), _LARGEST_GAIN)
        excerpts = []
        for recording in recordings:
            excerpt = self._excerpt(recording, gain)
            if len(excerpt.address) > self.left_bytes:
                break
            self.left_bytes -= len(excerpt.address)
            excerpts.append(excerpt)
        return excerpts

    def _excerpt(self, recording: Recording, gain: float) -> Excerpt:
        import soundfile

        samples = recording.audio[: round(self.seconds * recording.sample_rate)]
        seconds = len(samples) / recording.sample_rate
        if recording.sample_rate > AUDIO_RATE:
            samples = audio.resample(samples, recording.sample_rate, AUDIO_RATE)
        rate = min(recording.sample_rate, AUDIO_RATE)
        content = io.BytesIO()
        soundfile.write(content, samples * gain, rate, format="FLAC", subtype="PCM_16")
        return Excerpt(_address("audio/flac", content.getvalue()), seconds, 20 * math.log10(gain))


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
