"""What the network is given of a clip: segments of its log-mel spectrogram, and how loud each moment is."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum.embedders.base import Embedder
from thrum.embedders.precomputed import Precomputed
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.features.framing import frame_centred, pad_to_length
from thrum.features.spectrogram import decibels, mel_filterbank, power_spectrum
from thrum.systems.outlier_flow.config import Config
from thrum.types import Clip, Progress

STOP_HZ, PASS_HZ = 3500.0, 4000.0
"""Of the high-pass filter before power is measured. The paper prints kHz: at 16 kHz it can only mean Hz."""
OVERLAP = 4
"""Segments that cover one moment: each overlaps the next by 75 %."""


class MelAndPower(Embedder):
    """Mel levels in dB of the waveform standardised to mean 0 and variance 1; last, the power above 4 kHz.

    With `Config.spectrum` ``magnitude``, mel-weighted amplitudes instead of levels. The high-pass filter is
    laid on the power spectrum: its gain rises as a straight line from `STOP_HZ` to `PASS_HZ`.

    Parameters
    ----------
    config
        The front end's settings.
    """

    def __init__(self, config: Config) -> None:
        self.hop_seconds = config.hop_seconds
        self.embedding_size = config.mel_bands + 1
        self._hop = max(1, round(config.hop_seconds * self.sample_rate))
        samples = max(2, round(config.window_seconds * self.sample_rate))
        self._window = torch.hann_window(samples)
        self._filterbank = mel_filterbank(
            sample_rate=self.sample_rate,
            fft_size=samples,
            bands=config.mel_bands,
            low_hz=config.low_hz,
            high_hz=config.high_hz,
            scale="slaney",
            unit_area=True,
        )
        bins_hz = torch.linspace(0, self.sample_rate / 2, samples // 2 + 1)
        self._high_pass = ((bins_hz - STOP_HZ) / (PASS_HZ - STOP_HZ)).clamp(0, 1).square()
        self._settings: dict[str, Any] = {
            "bands": config.mel_bands,
            "low_hz": config.low_hz,
            "high_hz": config.high_hz,
            "window": samples,
            "hop": self._hop,
        }
        self._magnitude = config.spectrum == "magnitude"
        if self._magnitude:  # said only where it is so: what is stored of levels stays valid
            self._settings["spectrum"] = config.spectrum

    @torch.inference_mode()
    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels and power (B, T, bands + 1) in dB and their times; T = 1 + S // hop."""
        audio = self._checked(audio).to(self._window.device)
        audio = audio - audio.mean(dim=1, keepdim=True)
        audio = audio / audio.std(dim=1, keepdim=True, correction=0).clamp(min=1e-8)
        audio = pad_to_length(audio, len(self._window))
        frames = frame_centred(audio, length=len(self._window), hop=self._hop)  # (B, T, L)
        power = power_spectrum(frames, window=self._window)  # (B, T, L // 2 + 1)
        above = (power @ self._high_pass)[..., None]  # (B, T, 1)
        levels = decibels(
            torch.cat([power @ self._filterbank, above], dim=-1), floor=sys.float_info.epsilon
        )
        if self._magnitude:
            amplitudes = power.sqrt() @ self._filterbank
            levels = torch.cat([amplitudes, levels[..., -1:]], dim=-1)
        return levels, self._times(levels, first_seconds=0.0)

    @property
    def settings(self) -> dict[str, Any]:
        """The class and what the spectrogram depends on."""
        return {**super().settings, **self._settings}

    def to(self, device: torch.device | str) -> Self:
        """Move the window and the filters to `device`."""
        self._window = self._window.to(device)
        self._filterbank = self._filterbank.to(device)
        self._high_pass = self._high_pass.to(device)
        return self


class Spectrograms:
    """The spectrograms of some clips, any segment of each.

    Rows of ``.npz`` files are taken as they are, as a spectrogram of 32 ms a frame; how loud they are is not
    known, and every moment counts alike. A clip shorter than a segment goes on at its beginning.

    Parameters
    ----------
    clips
        All recordings or all rows.
    config
        The front end's settings.
    folder
        Where spectrograms are kept, as float16.
    device
        Where they are computed and batches are put.
    progress
        Told how many clips are done.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        config: Config,
        *,
        folder: Path,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self.clips = list(clips)
        self.device = device
        self.recorded = not is_stored(self.clips)
        embedder = MelAndPower(config).to(device) if self.recorded else Precomputed()
        self._store = EmbeddingStore(folder / "spectrograms")
        embed_into(self._store, self.clips, embedder, progress=progress)
        self.bands = self._store.embedding_size - (1 if self.recorded else 0)
        self.lengths = np.array([len(self._store.frames(clip)) for clip in self.clips])
        wanted = max(1, round(config.segment_seconds / embedder.hop_seconds))
        self.segment_frames = int(min(wanted, self.lengths.max()))

    def segments(
        self, rows: NDArray[np.int64], starts: NDArray[np.int64], frames: int
    ) -> tuple[Tensor, Tensor]:
        """Return `frames` of each clip from a start on: levels (B, F, T), and power (B, T), 1 if unknown."""
        pieces = [
            np.asarray(self._store.frames(self.clips[row]), np.float32).take(
                np.arange(start, start + frames), axis=0, mode="wrap"
            )
            for row, start in zip(rows, starts, strict=True)
        ]
        stacked = torch.from_numpy(np.stack(pieces)).to(self.device)  # (B, T, F or F + 1)
        levels = stacked[..., : self.bands].transpose(1, 2)  # (B, F, T)
        if not self.recorded:
            return levels, torch.ones_like(levels[:, 0])
        return levels, 10 ** (stacked[..., self.bands] / 10)

    def random_starts(
        self, rows: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return where a random segment of each clip begins."""
        latest = np.maximum(0, self.lengths[rows] - self.segment_frames)
        return np.asarray(random.integers(0, latest + 1))

    @cached_property
    def usual(self) -> tuple[float, float]:
        """Mean and variance of all values of all clips, for `network` to standardise by."""
        count, total, squares = 0, 0.0, 0.0
        for clip in self.clips:
            levels = np.asarray(self._store.frames(clip), np.float64)[:, : self.bands]
            count += levels.size
            total += float(levels.sum())
            squares += float(np.square(levels).sum())
        mean = total / count
        return mean, max(squares / count - mean**2, 0.0)

    def fingerprint(self) -> str:
        """Return what tells these clips from others: names, attributes, lengths and some frames."""
        digest = hashlib.sha256()
        for clip, length in zip(self.clips, self.lengths, strict=True):
            known = sorted(clip.attributes.items())
            digest.update(f"{clip.machine_key} {clip.name} {clip.domain} {known} {length}".encode())
            frames = self._store.frames(clip)
            digest.update(np.ascontiguousarray(frames[:: max(1, length // 4)]).tobytes())
        return digest.hexdigest()


def segment_starts(length: int, segment: int) -> NDArray[np.int64]:
    """Return the starts of the fewest segments that cover a clip and overlap by 75 % or more."""
    if length <= segment:
        return np.zeros(1, np.int64)
    count = 1 + -(-(length - segment) * OVERLAP // segment)
    return np.linspace(0, length - segment, count).round().astype(np.int64)


def is_stored(clips: Sequence[Clip]) -> bool:
    """Whether clips are rows of features and not recordings."""
    return bool(clips) and clips[0].row is not None
