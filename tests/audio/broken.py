"""Sound in every format, and files whose heads a fault of the disk or of the recorder has changed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from thrum import audio
from thrum.errors import AudioError

RATE = 16000
SAMPLES = 24000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "wavex.wav": ("WAVEX", "PCM_24"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "gsm.wav": ("WAV", "GSM610"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
HEADS = {"flac": 60, "mp3": 250, "ogg": 200, "opus": 200, "w64": 140, "rf64": 110}
SLACK = {"mp3": 2400}
"""Samples that an encoder adds at the ends and a decoder may take away again."""


def content_of(name: str) -> bytes:
    """Return a second and a half of noise in a format."""
    file_format, subtype = FORMATS[name]
    rate = 48000 if name == "opus" else RATE
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, SAMPLES)
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=file_format, subtype=subtype)
    return file.getvalue()


def mutated(content: bytes, head: int, random: np.random.Generator) -> bytes:
    """Return the content with one to four bytes of its head changed, or cut, or longer."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(0, head))
        kind = random.integers(0, 4)
        if kind == 0:
            changed[at] ^= 1 << random.integers(0, 8)
        elif kind == 1:
            changed[at] = random.integers(0, 256)
        elif kind == 2:
            changed[at] = random.choice([0, 0xFF, 0x7F, 0x80])
        else:
            width = int(random.choice([2, 4]))
            changed[at : at + width] = bytes(random.choice([0, 0xFF]) for _ in range(width))
    if random.random() < 0.1:
        changed = changed[: random.integers(1, len(changed))]
    return bytes(changed)


def outcome(path: Path, whole: int, slack: int) -> str:
    """Return how a file is taken: ``refused``, ``whole``, ``said``; or in capitals what must not be."""
    try:
        samples, told = len(audio.read(path)[0]), audio.describe(path)
        notes = told.notes
    except AudioError as error:
        return "refused" if str(path) in str(error) else f"NOT NAMED: {error}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"RAISED {type(error).__name__}: {error}"
    if samples * told.channels >= whole - slack:
        return "whole"
    return "said" if notes else f"SHORTENED to {samples} of {whole}"


def outcomes(folder: Path, name: str, *, count: int, seed: int) -> Iterator[tuple[bytes, str]]:
    """Yield mutated files of a format, and how each is taken."""
    content = content_of(name)
    random = np.random.default_rng(seed)
    suffix = name.rpartition(".")[2]
    path = folder / f"whole.{suffix}"
    path.write_bytes(content)
    whole = len(audio.read(path)[0])
    for number in range(count):
        path = folder / f"{number}.{suffix}"
        changed = mutated(content, HEADS.get(name, 80), random)
        path.write_bytes(changed)
        yield changed, outcome(path, whole, SLACK.get(name, 0))
        path.unlink()
