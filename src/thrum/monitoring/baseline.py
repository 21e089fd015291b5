"""The normal sound that a monitor knows of one machine, clip by clip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from thrum import audio, storage
from thrum.errors import StorageError
from thrum.monitoring.detail import ENVELOPE_HZ, SPECTRUM_HZ, detail_of
from thrum.monitoring.heard import RATE, hear_features, hear_sound
from thrum.monitoring.states import States, found_states
from thrum.types import Clip

FORMAT = 1
"""Of a baseline on disk; raised when an older thrum could no longer read it."""
STRANGER = 3.0
"""Deviations by which p-values of added clips are lower than chance has it: then normal has changed."""


@dataclass(frozen=True)
class Known:
    """One clip that a baseline knows.

    Parameters
    ----------
    name, path
        What it is called, and where it lay.
    sha256
        Of its content, so that it is recognised when it comes again.
    state
        The operating state that it is of.
    calibrates
        Whether new clips are ranked among it. Where normal sound has changed, what was normal before is still
        compared with, but no longer ranked among.
    fault
        A confirmed fault: never learnt from, only counted.
    channel, stretch, row
        Which part of its file it is, as `thrum.types.Clip` has them.
    """

    name: str
    path: str
    sha256: str
    state: str = "normal"
    calibrates: bool = True
    fault: bool = False
    channel: int | None = None
    stretch: tuple[float, float] | None = None
    row: tuple[str, int] | None = None

    @classmethod
    def of(cls, clip: Clip, state: str, *, fault: bool = False) -> Self:
        """Return what is kept of a clip in an operating state."""
        return cls(
            clip.name,
            str(clip.path),
            content_of(clip),
            state,
            fault=fault,
            channel=clip.channel,
            stretch=clip.stretch,
            row=clip.row,
        )

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what a line of a baseline on disk says."""
        parts = {
            part: tuple(told[part]) for part in ("stretch", "row") if told.get(part) is not None
        }
        return cls(**{**told, **parts})

    def clip(self, key: tuple[str, str]) -> Clip:
        """Return the clip that it was, of a machine: its file may be gone, or be another by now."""
        return Clip(
            Path(self.path),
            *key,
            "test",
            channel=self.channel,
            stretch=self.stretch,
            row=self.row,
            name=self.name,
        )


@dataclass(frozen=True)
class Baseline:
    """What a monitor knows of normal sound.

    Parameters
    ----------
    clips
        N normal clips; none where only their scores are known, of a run of an older version.
    left_out
        (N,) their scores, as if none had been learnt.
    bands, levels_db, spectra, envelopes
        What they sound like: (N, F), (N,), (N, 2049), (N, 399); the last three are empty for features.
    faults, fault_scores
        Confirmed faults, and their scores when they were confirmed.
    system
        The checksum of the run's system that the scores come from, where no system was kept beside.
    """

    clips: tuple[Known, ...]
    left_out: NDArray[np.float64]
    bands: NDArray[np.float32]
    levels_db: NDArray[np.float64]
    spectra: NDArray[np.float16]
    envelopes: NDArray[np.float16]
    faults: tuple[Known, ...] = ()
    fault_scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    system: str = ""

    @classmethod
    def unheard(cls, left_out: NDArray[np.float64]) -> Self:
        """Return the baseline of a run that kept scores alone."""
        return cls((), left_out, *_SoundOf.room_for(0, bands=0))

    @classmethod
    def of(
        cls,
        clips: Sequence[Clip],
        left_out: NDArray[np.float64],
        states: Sequence[str] | None = None,
    ) -> Self:
        """Return the baseline of normal clips with these left-out scores (N,).

        `states` tells their operating states; None finds them.
        """
        sound = _heard_all(clips)
        if states is None:  # features have no decibels by which states could be apart
            states = found_states(sound.bands) if len(sound.levels_db) else ["normal"] * len(clips)
        names = list(states)
        known = [Known.of(clip, name) for clip, name in zip(clips, names, strict=True)]
        return cls(tuple(known), left_out, *sound)

    @property
    def states(self) -> States | None:
        """The operating states; None where no clip is known."""
        if not self.clips:
            return None
        levels = self.levels_db if len(self.levels_db) else None
        return States.of(self.bands, [clip.state for clip in self.clips], levels)

    def calibration(self) -> dict[str, NDArray[np.float64]]:
        """Return, by operating state, the left-out scores that new clips are ranked among."""
        if not self.clips:
            return {"normal": self.left_out}
        ranked = np.array([clip.calibrates for clip in self.clips])
        states = np.array([clip.state for clip in self.clips])
        names = sorted({clip.state for clip in self.clips})
        return {name: self.left_out[ranked & (states == name)] for name in names}

    def place(self, sha256: str) -> int | None:
        """Return which of the clips has this content."""
        return next((n for n, clip in enumerate(self.clips) if clip.sha256 == sha256), None)

    def with_clips(
        self,
        clips: Sequence[Clip],
        states: Sequence[str],
        left_out: NDArray[np.float64],
        *,
        renewed: Sequence[str] = (),
    ) -> Self:
        """Return the baseline with more normal clips.

        Parameters
        ----------
        states
            Of the new clips.
        left_out
            Of all clips, those there were first.
        renewed
            States in which the new clips alone are ranked among from now on.
        """
        new = _heard_all(clips)
        before = tuple(
            replace(clip, calibrates=clip.calibrates and clip.state not in renewed)
            for clip in self.clips
        )
        added = tuple(Known.of(clip, state) for clip, state in zip(clips, states, strict=True))
        return replace(
            self,
            clips=before + added,
            left_out=left_out,
            bands=np.concatenate([self.bands, new.bands]),
            levels_db=np.concatenate([self.levels_db, new.levels_db]),
            spectra=np.concatenate([self.spectra, new.spectra]),
            envelopes=np.concatenate([self.envelopes, new.envelopes]),
        )

    def without(self, places: Sequence[int], left_out: NDArray[np.float64]) -> Self:
        """Return the baseline without some clips; `left_out` is of those that stay."""

        def kept(values: NDArray[Any]) -> NDArray[Any]:
            return np.delete(values, list(places), axis=0) if len(values) else values

        stay = tuple(clip for place, clip in enumerate(self.clips) if place not in set(places))
        return replace(
            self,
            clips=stay,
            left_out=left_out,
            bands=kept(self.bands),
            levels_db=kept(self.levels_db),
            spectra=kept(self.spectra),
            envelopes=kept(self.envelopes),
        )

    def with_faults(
        self, clips: Sequence[Clip], states: Sequence[str], scores: NDArray[np.float64]
    ) -> Self:
        """Return the baseline with confirmed faults, which are never learnt from."""
        faults = tuple(
            Known.of(clip, state, fault=True) for clip, state in zip(clips, states, strict=True)
        )
        return replace(
            self,
            faults=self.faults + faults,
            fault_scores=np.concatenate([self.fault_scores, scores]),
        )

    def save(self, folder: Path, name: str) -> None:
        """Write the baseline as ``<name>.safetensors`` and ``<name>.json``."""
        tensors = {
            key: torch.from_numpy(np.ascontiguousarray(getattr(self, key))) for key in _ARRAYS
        }
        told = {
            "baseline": FORMAT,
            "system": self.system,
            "clips": [vars(clip) for clip in self.clips],
            "faults": [vars(clip) for clip in self.faults],
        }
        storage.save_state(folder, tensors, told, name=name)

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote; a `StorageError` where it is damaged, or of another version."""
        tensors, told = storage.load_state(folder, name=name)
        if told.get("baseline") != FORMAT:
            raise StorageError(
                f"{folder / name}.json is a baseline of format {told.get('baseline')!r}, this version of "
                f"thrum reads format {FORMAT}: use the version that wrote it, or train again"
            )
        try:
            arrays = {key: tensors[key].numpy() for key in _ARRAYS}
            clips, faults = (
                tuple(Known.from_json(one) for one in told[part]) for part in ("clips", "faults")
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{folder / name}.json does not hold a baseline: {error}") from error
        return cls(clips=clips, faults=faults, system=told.get("system", ""), **arrays)


_ARRAYS = ("left_out", "bands", "levels_db", "spectra", "envelopes", "fault_scores")


def are_stranger(p: NDArray[np.float64], known: int) -> bool:
    """Whether p-values (B,) beside `known` clips are lower than chance has it, by `STRANGER` deviations.

    Their mean is about 1/2, with variance (1 / B + 1 / n) / 12 for the clips and for those they are ranked
    among.
    """
    deviation = np.sqrt((1 / max(len(p), 1) + 1 / max(known, 1)) / 12)
    return bool(len(p) and (0.5 - p.mean()) / deviation > STRANGER)


def content_of(clip: Clip) -> str:
    """Return what tells the content of a clip from all others: its file, and the part of it."""
    part = f"{clip.channel} {clip.stretch} {clip.row}"
    if clip.row is not None:
        status = clip.path.stat()
        part += f" {clip.path.name} {status.st_size}"
        return hashlib.sha256(part.encode()).hexdigest()
    status = clip.path.stat()
    whole = _checksum(clip.path, status.st_size, status.st_mtime_ns)
    return hashlib.sha256((whole + part).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _checksum(path: Path, size: int, modified_ns: int) -> str:
    """Return the checksum of a file; a day of sound is thousands of clips of one file."""
    return storage.sha256(path)


class _SoundOf(NamedTuple):
    """What N clips sound like; of features, the last three are empty."""

    bands: NDArray[np.float32]
    levels_db: NDArray[np.float64]
    spectra: NDArray[np.float16]
    envelopes: NDArray[np.float16]

    @classmethod
    def room_for(cls, clips: int, *, bands: int, detailed: bool = True) -> Self:
        """Return arrays to be filled: rows kept one by one would break up the memory of what is read."""
        rows = clips if detailed else 0
        return cls(
            np.zeros((clips, bands), np.float32),
            np.zeros(rows),
            np.zeros((rows, len(SPECTRUM_HZ)), np.float16),
            np.zeros((rows, len(ENVELOPE_HZ)), np.float16),
        )


def _heard_all(clips: Sequence[Clip]) -> _SoundOf:
    """Return what clips sound like, in the large and, of recordings, in detail."""
    found = _SoundOf.room_for(0, bands=0)
    for row, clip in enumerate(clips):
        sound = None if clip.row is not None else audio.read_clip(clip, sample_rate=RATE)
        heard = hear_features(clip) if sound is None else hear_sound(sound)
        if row == 0:
            found = _SoundOf.room_for(
                len(clips), bands=heard.bands.size, detailed=sound is not None
            )
        found.bands[row] = heard.bands
        if sound is not None and heard.level_db is not None:
            detail = detail_of(sound)
            found.levels_db[row] = heard.level_db
            found.spectra[row], found.envelopes[row] = detail.spectrum, detail.envelope
    return found
