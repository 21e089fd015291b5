"""Each thing that spoils learning is found, and found where it is only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import machines
from thrum.datasets import open_dataset
from thrum.datasets.check import Report, check

RATE = 16000
Sound = NDArray[np.float64]


def clip(seed: int, *, rate: int = RATE, seconds: float = 1.0) -> Sound:
    random = np.random.default_rng(seed)
    return machines.tone(random, 110, seconds=seconds, rate=rate).astype(np.float64)


def write(
    folder: Path, name: str, sound: Sound, *, rate: int = RATE, subtype: str = "FLOAT"
) -> None:
    path = folder / "press" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype=subtype)


def report(folder: Path) -> Report:
    return check(open_dataset(folder))


def kinds(found: Report) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.clips for finding in found.findings}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Twelve normal clips of a machine, 16 bits, with nothing to find."""
    for number in range(12):
        write(tmp_path, f"train/{number:02d}.wav", clip(number), subtype="PCM_16")
    return tmp_path


def test_nothing_is_found_where_nothing_is(good: Path) -> None:
    write(good, "test/normal/1.wav", clip(100), subtype="PCM_16")
    write(good, "test/anomaly/1.wav", np.sign(clip(101)) * 0.05 + clip(101), subtype="PCM_16")
    found = report(good)
    assert kinds(found) == {}
    assert found.ok


def offset(sound: Sound) -> Sound:
    return sound + 0.05


def clipped(sound: Sound) -> Sound:
    return np.clip(3 * sound, -0.5, 0.5)


def dropped(sound: Sound) -> Sound:
    sound[5000:5200] = 0
    sound[9000:9100] = sound[9000]
    return sound


def repeated(sound: Sound) -> Sound:
    for start in (4000, 8000):
        sound[start + 480 : start + 960] = sound[start : start + 480]
    return sound


def hum(sound: Sound) -> Sound:
    time = np.arange(len(sound)) / RATE
    return 0.2 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 150 * time) + 1e-3 * sound


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("silence", np.zeros_like),
        ("constant", lambda sound: np.full_like(sound, 0.003)),
        ("offset", offset),
        ("clipping", clipped),
        ("beyond full scale", lambda sound: sound * 32768 / 0.5),
        ("dropouts", dropped),
        ("repeated buffers", repeated),
        ("mains hum", hum),
        ("short", lambda sound: sound[:1600]),
        ("level", lambda sound: sound / 20),
        ("spectrum", lambda sound: np.diff(sound, n=3, prepend=[0, 0, 0])),
    ],
)
def test_what_spoils_a_clip(good: Path, kind: str, spoil: Callable[[Sound], Sound]) -> None:
    write(good, "train/spoilt.wav", spoil(clip(50)))
    found = report(good)
    assert kinds(found)[kind] == ("train/spoilt.wav",)
    allowed = {kind, "level", "spectrum"} | ({"clipping"} if kind == "beyond full scale" else set())
    assert set(kinds(found)) <= allowed
    assert found.ok  # warnings
    assert {finding.severity for finding in found.findings} == {"warning"}


def test_channels_that_cancel(good: Path) -> None:
    sound = clip(50)
    write(good, "train/mirror.wav", np.stack([sound, -0.95 * sound], axis=1))
    write(good, "train/stereo.wav", np.stack([clip(51), clip(52)], axis=1))
    assert kinds(report(good))["opposite channels"] == ("train/mirror.wav",)


def test_rates_that_differ_between_training_and_test(good: Path) -> None:
    write(good, "test/anomaly/1.wav", clip(60, rate=22050), rate=22050)
    (finding,) = [f for f in report(good).findings if f.kind == "rates"]
    assert finding.says.startswith("22050 Hz where training clips have 16000 Hz")
    assert finding.clips == ("test/anomaly/1.wav",)


def test_few_clips(tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path, f"{number}.wav", clip(number))
    assert list(kinds(report(tmp_path))) == ["few clips"]
    write(tmp_path, "9.wav", clip(9))
    assert kinds(report(tmp_path)) == {}


@pytest.mark.parametrize(
    ("place", "kind", "ok"),
    [
        ("test/anomaly/x.flac", "copies as normal and anomaly", False),
        ("test/normal/x.flac", "copies in training and test", False),
        ("train/x.flac", "copies", True),
        ("../lathe/x.flac", "copies of machines", True),
    ],
)
def test_one_recording_twice(good: Path, place: str, kind: str, ok: bool) -> None:
    sound, _ = soundfile.read(good / "press" / "train" / "03.wav", dtype="int16")
    path = good / "press" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, RATE)
    found = report(good)
    copies = [finding for finding in found.findings if finding.kind.startswith("copies")]
    assert [finding.kind for finding in copies] == [kind]
    assert set(copies[0].clips) >= {"press/id_00/train/03.wav"}
    assert copies[0].count == 2
    assert found.ok == ok


def test_the_files_own_oddities(good: Path) -> None:
    path = good / "press" / "train" / "05.wav"
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)
    (finding,) = report(good).findings
    assert (finding.kind, finding.clips) == ("odd file", ("train/05.wav",))
    assert "never finished" in finding.says


def test_quiet_sound_of_few_steps_is_neither_clipped_nor_dropped(tmp_path: Path) -> None:
    for number in range(10):
        quiet = np.random.default_rng(number).normal(size=RATE) * 1.2 / 32768
        write(tmp_path, f"{number}.wav", quiet, subtype="PCM_16")
    assert kinds(report(tmp_path)) == {}


def test_windows_of_a_long_recording_are_named_by_time(tmp_path: Path) -> None:
    sound = clip(1, seconds=120.0)
    sound[50 * RATE : 60 * RATE] = 0
    write(tmp_path, "hour.wav", sound)
    found = kinds(report(tmp_path))
    assert found["silence"] == ("hour.wav#t=50,60",)
