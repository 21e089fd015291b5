"""What the network is given of a clip: log-mel, the waveform for TgramNet, wav2vec 2.0, on one time axis."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thrum import audio
from thrum.embedders.logmel import FFT_SIZE, HOP, LogMel
from thrum.embedders.precomputed import Precomputed
from thrum.embedders.store import EmbeddingStore, embed_into
from thrum.systems.self_supervised.wav2vec2 import Wav2Vec2Features
from thrum.types import Clip, Progress

CACHED_BYTES = 2 << 30  # of audio kept in memory
PROBES = 64  # samples of a clip that its fingerprint is made of


class Inputs:
    """The inputs of some clips, any stretch of each.

    Lengths and places are counted in samples of recordings, in frames of features. A stretch that goes
    beyond the end of its clip goes on at the clip's beginning. The frames of the log-mel spectrogram are
    the time axis: TgramNet's lie on it by construction, wav2vec 2.0's are interpolated to it.

    Parameters
    ----------
    clips
        Recordings, or rows of ``.npz`` files; these have ``logmel`` only.
    features
        Which to return, as of `Config.features`.
    folder
        Where rows of ``.npz`` files and wav2vec 2.0 features are kept, so that they are made once.
    wav2vec2
        The model; wanted where its features are.
    device
        Where log-mel spectrograms are computed and batches are put.
    progress
        Told how many clips are prepared.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        features: Sequence[str],
        folder: Path,
        wav2vec2: Wav2Vec2Features | None = None,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.clips = list(clips)
        self.features = tuple(features)
        self.device = device
        self.wav2vec2 = wav2vec2 if "wav2vec2" in self.features else None
        self.recorded = not is_stored(self.clips)
        self._logmel = LogMel().to(device)
        self._cache: dict[int, NDArray[np.float32]] = {}
        self._cached_bytes = 0
        if not self.recorded:
            self._store = EmbeddingStore(folder / "features")
            embed_into(self._store, self.clips, Precomputed(), progress=progress)
        elif self.wav2vec2 is not None:
            self._store = EmbeddingStore(folder / "wav2vec2")
            embed_into(self._store, self.clips, self.wav2vec2.to(device), progress=progress)
        self.lengths = self._measured(progress)

    @property
    def bands(self) -> int:
        """F, of the log-mel spectrogram."""
        return LogMel.embedding_size if self.recorded else self._store.embedding_size

    def native_length(self, seconds: float) -> int:
        """Return a duration in samples of recordings, in frames of features."""
        rate = LogMel.sample_rate if self.recorded else 1 / LogMel.hop_seconds
        return max(1, round(seconds * rate))

    def batch(self, rows: Sequence[int], starts: Sequence[int], length: int) -> dict[str, Tensor]:
        """Return a stretch of each clip by feature.

        Returns
        -------
        dict
            ``logmel`` (B, F, T), ``tgram`` the waveform (B, S), ``wav2vec2`` (B, D, T): those asked for.
        """
        places = [np.arange(start, start + length) for start in starts]
        pairs = list(zip(rows, places, strict=True))
        if not self.recorded:
            stretches = [
                np.asarray(self._store.frames(self.clips[row]), np.float32).take(
                    place, axis=0, mode="wrap"
                )
                for row, place in pairs
            ]
            return {"logmel": torch.from_numpy(np.stack(stretches)).transpose(1, 2).to(self.device)}
        waves = np.stack([self._audio(row).take(place, mode="wrap") for row, place in pairs])
        sound = torch.from_numpy(waves).to(self.device)  # (B, S)
        made: dict[str, Tensor] = {}
        for feature in self.features:
            if feature == "logmel":
                levels, _ = self._logmel.frames(sound)  # (B, T, F)
                made[feature] = levels.transpose(1, 2).clone()  # a clone can be learnt from
            elif feature == "tgram":
                made[feature] = sound
            else:
                made[feature] = self._pretrained(rows, starts, length)
        return made

    @cached_property
    def fingerprint(self) -> str:
        """What tells these clips from others: their names, attributes, lengths and some samples.

        It reads all of them, hence once.
        """
        model = self.wav2vec2 and self.wav2vec2.settings
        digest = hashlib.sha256(f"{self.features} {model}".encode())
        for row, (clip, length) in enumerate(zip(self.clips, self.lengths, strict=True)):
            attributes = sorted(clip.attributes.items())
            digest.update(f"{clip.machine_key} {clip.name} {attributes} {length}".encode())
            content = self._audio(row) if self.recorded else self._store.frames(clip)
            digest.update(np.ascontiguousarray(content[:: max(1, length // PROBES)]).tobytes())
        return digest.hexdigest()

    def mean_levels(self) -> NDArray[np.float32]:
        """Return the mean log-mel spectrum (N, F) of each clip."""
        if not self.recorded:
            return np.stack([self._store.frames(clip).mean(0, np.float32) for clip in self.clips])
        means = [
            self._logmel.scenes(torch.from_numpy(self._audio(row))[None]).cpu().numpy()[0]
            for row in range(len(self.clips))
        ]
        return np.stack(means)

    def _measured(self, progress: Progress | None) -> NDArray[np.int64]:
        lengths = np.zeros(len(self.clips), dtype=np.int64)
        for row, clip in enumerate(self.clips):
            lengths[row] = len(self._audio(row) if self.recorded else self._store.frames(clip))
            if progress is not None and self.recorded:
                progress("read", row + 1, len(self.clips))
        return lengths

    def _audio(self, row: int) -> NDArray[np.float32]:
        """Return a clip's audio (S,), from memory where there is room for it."""
        samples = self._cache.get(row)
        if samples is None:
            samples = audio.read_clip(self.clips[row], sample_rate=LogMel.sample_rate)
            if self._cached_bytes + samples.nbytes <= CACHED_BYTES:
                self._cache[row] = samples
                self._cached_bytes += samples.nbytes
        return samples

    def _pretrained(self, rows: Sequence[int], starts: Sequence[int], length: int) -> Tensor:
        """Return wav2vec 2.0 features (B, D, T) at the centres of the log-mel frames."""
        count = 1 + max(length, FFT_SIZE) // HOP
        stretches = []
        for row, start in zip(rows, starts, strict=True):
            samples = (start + np.arange(count) * HOP) % max(1, int(self.lengths[row]))
            frames = np.asarray(self._store.frames(self.clips[row]))
            stretches.append(interpolated(frames, samples / LogMel.sample_rate))
        return torch.from_numpy(np.stack(stretches)).transpose(1, 2).to(self.device)


def interpolated(
    frames: NDArray[np.floating[Any]], seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return wav2vec 2.0 frames (N, D) at given times (T,), on straight lines between them: (T, D)."""
    places = (seconds - Wav2Vec2Features.first_seconds) / Wav2Vec2Features.hop_seconds
    places = np.clip(places, 0, len(frames) - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (places - before).astype(np.float32)[:, None]
    return (1 - share) * frames[before].astype(np.float32) + share * frames[after]


def is_stored(clips: Sequence[Clip]) -> bool:
    """Whether clips are rows of features and not recordings."""
    return bool(clips) and clips[0].row is not None
