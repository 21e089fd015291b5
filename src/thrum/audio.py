"""Recordings: read, resample, write. Audio is float32 in [-1, 1]; one clip is (S,)."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from thrum import storage
from thrum.errors import AudioError
from thrum.types import Clip

SUFFIXES = frozenset({".wav", ".flac"})

_STEPS = 1 << 15  # of 16-bit sound, from 0 to 1
_UNKNOWN_SIZE = 0x7FFF_F000
"""From here on, the size of a wav file's data says that it was written to a pipe and not known."""


def read(path: Path, *, channel: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Read a wav or flac file as mono.

    Parameters
    ----------
    path
        Any file that libsndfile reads, any rate, any number of channels.
    channel
        The channel to keep, from 0; None takes the mean of all channels.

    Returns
    -------
    audio, sample_rate
        float32 (S,) in [-1, 1], and samples per second.

    Raises
    ------
    AudioError
        Where the file is missing, is no audio, is cut short, is empty, holds NaN or infinite
        samples, or has no such channel.
    """
    try:
        with soundfile.SoundFile(path) as file:
            announced, sample_rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)  # (S, C)
    except FileNotFoundError as error:
        raise AudioError(f"no recording at {path}") from error
    except soundfile.LibsndfileError as error:
        if not path.exists():
            raise AudioError(f"no recording at {path}") from error
        raise AudioError(
            f"{path} cannot be read as audio ({_reason(error)}): wanted a whole wav or flac file; "
            f"copy it again, convert it or move it away"
        ) from error
    _check_length(path, samples, announced)
    if channel is None:
        audio = samples.mean(axis=1)  # (S,)
    elif 0 <= channel < samples.shape[1]:
        audio = samples[:, channel]  # (S,)
    else:
        raise AudioError(f"{path} has {samples.shape[1]} channels, channel {channel} was asked for")
    if not np.isfinite(audio).all():
        bad = int((~np.isfinite(audio)).sum())
        raise AudioError(
            f"{path} holds {bad} samples that are NaN or infinite: export the recording again"
        )
    return np.ascontiguousarray(audio, dtype=np.float32), sample_rate


def read_clip(clip: Clip, *, sample_rate: int) -> NDArray[np.float32]:
    """Read the audio of a clip, brought to `sample_rate`. Returns float32 (S,)."""
    if clip.row is not None:
        raise AudioError(
            f"{clip.name} is a row of features in {clip.path}, not a recording: "
            f"use the embedder 'precomputed'"
        )
    audio, rate = read(clip.path, channel=clip.channel)
    return resample(audio, rate, sample_rate)


def resample(audio: NDArray[np.float32], rate: int, wanted_rate: int) -> NDArray[np.float32]:
    """Bring audio (S,) or (S, C) from `rate` to `wanted_rate` samples per second (soxr, HQ)."""
    if rate == wanted_rate:
        return audio
    return cast("NDArray[np.float32]", soxr.resample(audio, rate, wanted_rate, quality="HQ"))


def write(path: Path, audio: NDArray[Any], sample_rate: int) -> None:
    """Write audio (S,) or (S, C) in [-1, 1] as 16-bit wav or flac by the suffix, atomically.

    Samples are rounded to the nearest step (libsndfile would take the next one below, which moves all of
    them by half a step); what lies outside is clipped.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise AudioError(f"cannot write {path}: the suffix must be .wav or .flac")
    steps = np.rint(np.asarray(audio, np.float64) * _STEPS).clip(-_STEPS, _STEPS - 1)
    with storage.replacing(path) as temporary:
        soundfile.write(
            temporary,
            steps.astype(np.int16),
            sample_rate,
            subtype="PCM_16",
            format=suffix[1:].upper(),
        )


def _check_length(path: Path, samples: NDArray[np.float32], announced: int) -> None:
    if len(samples) == 0:
        raise AudioError(f"{path} holds no sound (0 seconds): record it again or move it away")
    if len(samples) < announced:
        raise AudioError(
            f"{path} is cut short: its header announces {announced} samples, {len(samples)} are "
            f"there; copy it again"
        )
    missing_bytes = _missing_bytes(path)
    if missing_bytes > 0:
        raise AudioError(
            f"{path} is cut short: its header announces {missing_bytes} bytes more than are there; "
            f"copy it again"
        )


def _missing_bytes(path: Path) -> int:
    """Return by how many bytes a RIFF wav file ends before the sound that its header announces.

    libsndfile silently shortens the length of such a file to what is there.
    """
    with path.open("rb") as file:
        if not re.fullmatch(rb"RIFF.{4}WAVE", file.read(12), re.DOTALL):
            return 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                end = file.tell() + size
                return 0 if size >= _UNKNOWN_SIZE else end - path.stat().st_size
            file.seek(size + size % 2, os.SEEK_CUR)
    return 0


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).rstrip(".")
