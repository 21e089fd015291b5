"""Long recordings as many clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from thrum import audio
from thrum.datasets import Cutting, open_dataset
from thrum.errors import ConfigError

RATE = 100


def write(path: Path, seconds: float, *, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * rate))
    soundfile.write(path, sound, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.mark.parametrize(
    ("cutting", "seconds", "wanted"),
    [
        (Cutting(), 30.0, []),
        (Cutting(), 40.0, [(0, 10), (10, 10), (20, 10), (30, 10)]),
        (Cutting(), 34.5, [(0, 10), (10, 10), (20, 10), (24.5, 10)]),
        (Cutting(0), 1e6, []),
        (Cutting(4), 10.0, [(0, 4), (4, 4), (6, 4)]),
        (Cutting(4), 4.0, []),
        (Cutting(4, 2), 8.0, [(0, 4), (2, 4), (4, 4)]),
        (Cutting(hop_seconds=5), 31.0, [(0, 10), (5, 10), (10, 10), (15, 10), (20, 10), (21, 10)]),
    ],
)
def test_what_long_recordings_are_cut_into(cutting: Cutting, seconds: float, wanted) -> None:
    assert cutting.stretches(seconds) == wanted


@pytest.mark.parametrize("words", [(-1, None), (float("nan"), None), (4, 5), (0, 2), (4, 0)])
def test_cuttings_that_have_no_meaning(words) -> None:
    with pytest.raises(ConfigError):
        Cutting(*words)


def test_clips_of_a_long_recording_hold_its_sound_once(tmp_path: Path) -> None:
    path = write(tmp_path / "press" / "normal" / "hour.wav", 45.0)
    clips = open_dataset(tmp_path).clips
    assert [clip.name for clip in clips] == [
        f"normal/hour.wav#t={start},{start + 10}" for start in (0, 10, 20, 30)
    ] + ["normal/hour.wav#t=35,45"]
    whole, _ = audio.read(path)
    for clip in clips:
        start = round(clip.stretch[0] * RATE)
        np.testing.assert_array_equal(
            audio.read_clip(clip, sample_rate=RATE), whole[start : start + 10 * RATE]
        )


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32"])
def test_formats_that_cannot_be_sought_in(tmp_path: Path, subtype: str) -> None:
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 8000 * 35)
    path = tmp_path / "press" / "a.wav"
    path.parent.mkdir()
    soundfile.write(path, sound, 8000, subtype=subtype)
    whole, _ = audio.read(path)
    clips = list(open_dataset(tmp_path))
    assert len(clips) == 4
    for clip in [*clips, *reversed(clips)]:  # backwards, too
        start = round(clip.stretch[0] * 8000)
        np.testing.assert_array_equal(
            audio.read_clip(clip, sample_rate=8000), whole[start : start + 80000]
        )


def test_a_recording_that_cannot_be_opened_stays_one_clip(tmp_path: Path) -> None:
    write(tmp_path / "press" / "a.wav", 1)
    (tmp_path / "press" / "b.wav").write_bytes(b"words")
    assert [clip.stretch for clip in open_dataset(tmp_path)] == [None, None]
