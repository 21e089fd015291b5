"""Clips of files, read as those were that the machine was learnt from."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from thrum_edge.errors import EdgeError

SUFFIXES = (".wav", ".flac")
LONGER = 1.5
"""Times as long as any clip learnt: beyond, a recording is cut like those."""


@dataclass(frozen=True)
class Clip:
    """Samples (S,), where they are from, and the stretch of a longer recording in seconds."""

    file: str
    samples: NDArray[np.float32]
    stretch: tuple[float, float] | None = None


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the recordings meant by files and folders, those of a folder in the order of their names."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [each for each in sorted(path.rglob("*")) if each.suffix.lower() in SUFFIXES]
        yield from (each for each in found if each.is_file() and not each.name.startswith("."))


def clips(path: Path, told: Mapping[str, Any]) -> Iterator[Clip]:
    """Yield a recording as clips such as were learnt: one, or windows of a longer one.

    Parameters
    ----------
    told
        What the model says of how sound was read.

    Raises
    ------
    EdgeError
        Where it is missing, no wav or flac, cut short, at another rate, without the channel that is meant, or
        holds samples that are no numbers.
    """
    if not path.is_file():
        raise EdgeError(f"no recording at {path}")
    _require_whole(path)
    try:
        with soundfile.SoundFile(path) as file:
            _require_alike(path, file, told)
            for start, seconds in _stretches(file.frames / file.samplerate, told):
                first = round(start * file.samplerate)
                file.seek(first)
                wanted = round((start + seconds) * file.samplerate) - first
                block = file.read(wanted, dtype="float32", always_2d=True)
                if len(block) < wanted:
                    raise EdgeError(f"{path} is cut short in its sound: copy it again")
                samples = _mono(path, block, told["channel"])
                whole = start == 0 and wanted == file.frames
                yield Clip(str(path), samples, None if whole else (start, start + seconds))
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError) as error:
        raise EdgeError(f"{path} cannot be read: {error}; copy it again") from error


def _require_alike(path: Path, file: soundfile.SoundFile, told: Mapping[str, Any]) -> None:
    rate, channel = told["sample_rate"], told["channel"]
    if file.samplerate != rate:
        raise EdgeError(
            f"{path} has {file.samplerate} samples per second, wanted {rate}: record at {rate} Hz, or "
            f"bring it there (sox in.wav -r {rate} out.wav)"
        )
    if file.frames == 0:
        raise EdgeError(f"{path} holds no sound (0 seconds): record it again")
    if channel is not None and file.channels not in told["channels"]:
        raise EdgeError(
            f"{path} has {file.channels} channels, and channel {channel} of {told['channels']} was learnt: "
            f"record as before"
        )


def _mono(path: Path, block: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    samples = block.mean(axis=1) if channel is None else block[:, channel]
    bad = int((~np.isfinite(samples)).sum())
    if bad:
        raise EdgeError(f"{path} holds {bad} samples that are NaN or infinite: record it again")
    return np.ascontiguousarray(samples, np.float32)


def _stretches(seconds: float, told: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return (start, seconds) of the clips of a recording; the last one ends where it does."""
    length, hop = told["seconds"], told["hop_seconds"]
    if seconds <= LONGER * told["longest_seconds"]:
        return [(0.0, seconds)]
    hop = hop if hop and hop <= length else length
    last = seconds - length
    starts = [number * hop for number in range(math.floor(last / hop + 1e-9) + 1)]
    if last - starts[-1] > 1e-3:
        starts.append(last)
    return [(start, length) for start in starts]


def _require_whole(path: Path) -> None:
    """Raise an `EdgeError` where a file ends before the sound that it announces; libsndfile would not say."""
    with path.open("rb") as file:
        magic = file.read(12)
        if not magic:
            raise EdgeError(f"{path} holds nothing, 0 bytes: record it again")
        if magic[:4] == b"fLaC":
            return
        if magic[:4] != b"RIFF" or magic[8:] != b"WAVE":
            raise EdgeError(f"{path} is neither wav nor flac: convert it")
        _require_whole_wav(path, file)


def _require_whole_wav(path: Path, file: BinaryIO) -> None:
    length = path.stat().st_size
    place = 12
    while place + 8 <= length:
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            there = length - place - 8
            if size > there:
                raise EdgeError(
                    f"{path} is cut short: its header announces {size - there} bytes more than are there; "
                    f"copy it again"
                )
            if size == 0 and there:
                raise EdgeError(
                    f"{path} has a header that was never finished, as where a recorder loses power: mend it "
                    f"(sox --ignore-length in.wav out.wav)"
                )
            return
        place += 8 + size + size % 2
    raise EdgeError(f"{path} does not say where its sound is: copy it again")
