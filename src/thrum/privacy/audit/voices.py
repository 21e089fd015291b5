"""Spoken words to mix in: synthesised by espeak-ng where it is installed, or one's own recordings."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thrum import audio
from thrum.embedders.base import Embedder
from thrum.errors import DataError, ThrumError

WORDS = (
    "stop",
    "start",
    "seven",
    "order",
    "machine",
    "morning",
    "price",
    "danger",
    "yes",
    "number",
)
ESPEAK_VOICES = (
    *("en+m1", "en+m3", "en+m5", "en+m7", "en-us+m2", "en-us+m4"),
    *("en+f1", "en+f3", "en+f5", "en-us+f2", "en-us+f4"),
)
SUFFIXES = (".wav", ".flac", ".ogg")


@dataclass(frozen=True, eq=False)
class Voice:
    """One word, spoken by somebody.

    Parameters
    ----------
    audio
        (S,) at 16 kHz.
    word
        Which.
    speaker
        Whose voice.
    woman
        Whether it is a woman's.
    attacked
        Whether it speaks in the clips that are attacked; the attacker learns from other voices.
    """

    audio: NDArray[np.float32]
    word: str
    speaker: str
    woman: bool
    attacked: bool


def voices(folder: Path | None) -> list[Voice]:
    """Return words to mix in: from a folder, or synthesised; none where there is neither.

    Raises
    ------
    DataError
        Where the folder is not ``speaker/word.wav``, or has fewer than four speakers.
    """
    if folder is not None:
        return _recorded(folder)
    return _synthesised() if shutil.which("espeak-ng") else []


def _recorded(folder: Path) -> list[Voice]:
    """Read ``<speaker>/<word>….wav``; speakers whose name begins with ``f`` are women."""
    if not folder.is_dir():
        raise DataError(
            f"--speech is {folder}, and there is no such folder: wanted <speaker>/<word>.wav in it"
        )
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    speakers = sorted({path.parent.name for path in paths})
    if len(speakers) < 4:
        raise DataError(
            f"{folder} has recordings of {len(speakers)} speakers, wanted 4 or more as "
            f"{folder}/<speaker>/<word>.wav: the attacker learns from some, and others are "
            f"attacked. The name of a woman's folder begins with f"
        )
    found = []
    for path in paths:
        word = path.stem.rstrip("0123456789_- ")
        found.append(_voice(path, word, path.parent.name, speakers))
    return found


def _synthesised() -> list[Voice]:
    found = []
    speakers = sorted(ESPEAK_VOICES)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "word.wav"
        for speaker in speakers:
            for word in WORDS:
                words = ["espeak-ng", "-v", speaker, "-s", "150", "-w", str(path), word]
                done = subprocess.run(words, check=False, capture_output=True)
                if done.returncode != 0:
                    raise ThrumError(
                        f"espeak-ng failed: {done.stderr.decode(errors='replace').strip()}"
                    )
                found.append(_voice(path, word, speaker, speakers))
    return found


def _voice(path: Path, word: str, speaker: str, speakers: list[str]) -> Voice:
    sound, rate = audio.read(path)
    sound = _trimmed(audio.resample(sound, rate, Embedder.sample_rate))
    woman = speaker.rpartition("+")[2].startswith("f")
    of_their_kind = [one for one in speakers if one.rpartition("+")[2].startswith("f") is woman]
    return Voice(sound, word, speaker, woman, of_their_kind.index(speaker) % 3 == 2)


def _trimmed(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is not silence."""
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max(initial=0.0))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound
